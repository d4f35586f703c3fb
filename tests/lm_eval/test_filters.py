"""Filters on answers, one by one; whole chains are compared with lm-eval in test_golden."""

from __future__ import annotations

import pytest

from evalkit.lm_eval.tasks.filters import Step, apply

ROW = {"choices": ["guilty", "guilty of all", "free"]}


@pytest.mark.parametrize(
    ("step", "answers", "left"),
    [
        (Step("take_first"), ["a", "b"], "a"),
        (Step("take_first_k", {"k": 2}), ["a", "b", "c"], ["a", "b"]),
        (Step("majority_vote"), ["a", "b", "b"], ["b"]),
        (Step("remove_whitespace"), [" a\n"], ["a"]),
        (Step("lowercase"), ["Ab"], ["ab"]),
        (Step("uppercase"), ["Ab"], ["AB"]),
        (Step("map", {"mapping_dict": {"a": 1}, "default_value": 0}), ["a", "b"], [1, 0]),
        (Step("regex"), ["so #### 1,200.", "none"], ["1,200.", "[invalid]"]),
        (Step("regex", {"regex_pattern": r"(x)|(\d)", "group_select": -1}), ["x 7"], ["7"]),
        (Step("regex", {"regex_pattern": r"(x?)(y?)", "fallback": "-"}), ["a"], ["-"]),
        (Step("regex_pos"), ["[('ran', 'VERB'), ('it', 'PRON')]", "?"], [["VERB", "PRON"], ["invalid"]]),
        (Step("format_span"), ["person: Ann, none $$ places: Oslo"], ["per: ann $ loc: oslo"]),
        (Step("multi_choice_regex", {"regex_pattern": r"(\([A-Z]\))"}), ["it is (B)."], ["(B)"]),
        (Step("multi_choice_regex", {"ignore_case": True}), ["GUILTY of all"], ["(B)"]),
        (Step("multi_choice_regex"), ["Answer: C", "?"], ["(C)", "[invalid]"]),
        (Step("custom", {"filter_fn": lambda answers, rows: [len(rows) for _ in answers]}), ["a"], 1),
    ],
)
def test_one_step(step, answers, left):
    assert apply([step], [answers], ROW) == [left]


def test_a_class_of_the_tasks_own():
    class Cut:
        def __init__(self, at):
            self.at = at

        def apply(self, answers, rows):
            return [[text[: self.at] for text in some] for some in answers]

    assert apply([Step(Cut, {"at": 1}), Step("take_first")], [["abc"], ["de"]], ROW) == ["a", "d"]
