"""Two whole runs: verdicts, what cannot be compared, and that order and seeds of records change nothing."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from evalkit.api import evaluate
from evalkit.comparison import formatting
from evalkit.comparison.baseline import read
from evalkit.comparison.comparable import pair_up
from evalkit.comparison.comparison import Settings, compare
from evalkit.comparison.flips import flips
from evalkit.errors import CompareError, UsageError
from tests.comparison.made import Made, binary, write_run

GOOD, BAD = "1101" * 30, "1000" * 30
BASE = {"one": Made(scores=binary(GOOD)), "two": Made(scores=binary("10" * 60))}


def against(tmp_path, new, base=None, **settings):
    """Compare made-up tasks."""
    a = write_run(tmp_path / "a", base or BASE, model="old")
    b = write_run(tmp_path / "b", new, model="new")
    return compare(read(a), read(b), Settings(resamples=500, **settings))[0]


def test_worse_better_and_undecided(tmp_path):
    new = {"one": Made(scores=binary(BAD)), "two": Made(scores=binary("10" * 59 + "11"))}
    found = against(tmp_path, new)
    one, two = found.findings
    assert (one.verdict, one.change, one.method) == ("worse", -50.0, "McNemar")
    assert (one.base, one.new, one.documents) == (75.0, 25.0, 120)
    assert (two.verdict, two.needed and two.needed > 120) == ("undecided", True)
    assert found.failing == [one]
    (tmp_path / "back").mkdir()
    back = against(tmp_path / "back", BASE, new)
    assert back.findings[0].verdict == "better" and not back.failing


def test_strict_fails_on_what_is_undecided(tmp_path):
    new = {"one": BASE["one"], "two": Made(scores=binary("10" * 59 + "11"))}
    found = against(tmp_path, new, strict=True)
    assert [f.verdict for f in found.findings] == ["same", "undecided"] and found.failing == [found.findings[1]]


def test_a_margin_of_one_task(tmp_path):
    new = {"one": Made(scores=binary("1" + GOOD[1:-1] + "0")), "two": Made(scores=binary("10" * 59 + "11"))}
    found = against(tmp_path, new, margins={"two": 6.0})
    assert [f.verdict for f in found.findings] == ["undecided", "same"]
    assert [f.margin for f in found.findings] == [None, 6.0]


def test_the_order_of_records_changes_nothing(tmp_path):
    a = write_run(tmp_path / "a", BASE)
    b = write_run(tmp_path / "b", BASE, order=-1)
    found, _ = compare(read(a), read(b), Settings())
    assert {f.verdict for f in found.findings} == {"same"} and not flips(read(a), read(b))


def test_two_comparisons_are_byte_identical(tmp_path):
    scores = {f"d{i}": {"f1": (i / 100,)} for i in range(40)}
    other = {f"d{i}": {"f1": ((i * 7 % 40) / 100,)} for i in range(40)}
    a = write_run(tmp_path / "a", {"t": Made(scores=scores, metrics=("f1",))})
    b = write_run(tmp_path / "b", {"t": Made(scores=other, metrics=("f1",))})
    first, second = (json.dumps(compare(read(a), read(b), Settings())[0].to_json()) for _ in range(2))
    assert first == second and '"method": "permutation"' in first


CHANGES = {
    "task": {"version": 2},
    "protocol": {"protocol": "gpt3"},
    "data": {"data": "d1"},
    "seeds": {"seeds": (2,)},
    "documents": {"scores": binary(GOOD[:-1])},
}


@pytest.mark.parametrize("field", CHANGES)
def test_what_differs_is_named_and_can_be_allowed(tmp_path, field):
    new = {**BASE, "one": replace(BASE["one"], **CHANGES[field])}
    with pytest.raises(CompareError, match=rf"\({field} differ\): one at 0 shots.*\(--allow {field} compares them"):
        against(tmp_path, new)
    (tmp_path / "again").mkdir()
    found = against(tmp_path / "again", new, allow=(field,))
    assert not any(f.differing for f in found.findings) and "one at 0 shots" in found.notes[0]
    assert found.findings[0].documents == 120 - (field == "documents")


def test_other_metrics_are_named(tmp_path):
    new = {
        **BASE,
        "one": Made(scores={d: {"exact_match": (1.0,)} for d in BASE["one"].scores}, metrics=("exact_match",)),
    }
    with pytest.raises(CompareError, match=r"\(metric differ\): .* metrics acc and exact_match"):
        against(tmp_path, new)


def test_missing_records_are_counted(tmp_path):
    new = {**BASE, "one": Made(scores=dict(list(BASE["one"].scores.items())[:-2]), documents=120)}
    with pytest.raises(CompareError, match=r"NEW holds 118 of its 120 documents.*2 documents scored in BASE only"):
        against(tmp_path, new)


def test_records_missing_on_both_sides_are_refused(tmp_path):
    cut = {"one": Made(scores=binary(GOOD[:-2]), documents=120)}
    with pytest.raises(CompareError, match="BASE holds 118 of its 120"):
        against(tmp_path, cut, cut)


def test_failed_items_are_left_out_if_both_failed_and_refused_if_one_did(tmp_path):
    failed = {**BASE, "one": Made(scores={**BASE["one"].scores, "doc-3": None})}
    found = against(tmp_path, failed, failed)
    assert found.findings[0].documents == 119
    (tmp_path / "again").mkdir()
    with pytest.raises(CompareError, match="1 documents scored in BASE only"):
        against(tmp_path / "again", failed)


def test_a_task_of_one_run_only(tmp_path):
    with pytest.raises(CompareError, match="two at 0 shots is in BASE only"):
        against(tmp_path, {"one": BASE["one"]})
    (tmp_path / "again").mkdir()
    assert len(against(tmp_path / "again", {"one": BASE["one"]}, allow=("tasks",)).findings) == 1


def test_wrong_names(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'documents'"):
        against(tmp_path, BASE, allow=("document",))
    (tmp_path / "again").mkdir()
    with pytest.raises(UsageError, match="unknown task 'three' in --margin"):
        against(tmp_path / "again", BASE, margins={"three": 1.0})


def test_the_first_metric_gates_and_all_on_demand(tmp_path):
    def both(bits):
        return {d: {"acc": (1.0,), "ppl": (-float(bit),)} for d, bit in zip(BASE["one"].scores, bits, strict=True)}

    old, new = ({"t": Made(scores=both(bits), metrics=("acc", "ppl"))} for bits in ("0" * 120, "1" * 120))
    found = against(tmp_path, new, old)
    assert [(f.verdict, f.gates) for f in found.findings] == [("undecided", True), ("worse", False)]
    assert not found.failing and math.isnan(found.findings[1].adjusted)
    (tmp_path / "again").mkdir()
    found = against(tmp_path / "again", new, old, all_metrics=True)
    assert [f.metric for f in found.failing] == ["ppl"] and found.findings[1].gain < 0 < found.findings[1].change


def test_a_likelihood_of_zero_is_a_regression(tmp_path):
    old, new = (
        {"t": Made(scores={f"d{i}": {"ppl": (-1.0 if i else first,)} for i in range(9)}, metrics=("ppl",))}
        for first in (-2.0, -math.inf)
    )
    [finding] = against(tmp_path, new, old).findings
    assert (finding.verdict, finding.method) == ("worse", "not finite")


def test_seeds_are_paired_within_documents(tmp_path):
    def several(bits):
        return {f"d{i}": [{"acc": (float(bit),)}, {"acc": (1.0,)}] for i, bit in enumerate(bits)}

    old, new = (Made(scores=several(bits), shots=2, seeds=(1, 2)) for bits in (GOOD, BAD))
    [finding] = against(tmp_path, {"t": new}, {"t": old}).findings
    assert (finding.seeds, finding.documents, finding.units, finding.verdict) == (2, 120, 120, "worse")
    assert finding.change == -25.0 and finding.method == "permutation"


def test_flips_come_worst_first_with_what_was_said(tmp_path):
    new = {**BASE, "one": Made(scores=binary("0" + GOOD[1:2] + "1" + GOOD[3:]))}
    a, b = write_run(tmp_path / "a", BASE), write_run(tmp_path / "b", new)
    worst, best = flips(read(a), read(b))
    assert (worst.document, worst.base, worst.new, worst.gain) == ("doc-0", 100.0, 0.0, -100.0)
    assert (best.document, best.gain) == ("doc-2", 100.0)
    assert (worst.prompt, worst.gold, worst.base_prediction) == ("Q: doc-0?\nA:", "gold | `of` <b>", "said *1*")
    assert len(flips(read(a), read(b), limit=1)) == 1


def alike(tmp_path, n, base=None, new=None, **settings):
    """Compare n documents that are all wrong in both runs."""
    sides = [replace(Made(scores=binary("0" * n)), **(side or {})) for side in (base, new)]
    return against(tmp_path, {"t": sides[1]}, {"t": sides[0]}, **settings).findings[0]


def test_equal_scores_of_other_answers_are_no_proof(tmp_path):
    found = alike(tmp_path, 20, new={"answer": "y"})
    assert (found.verdict, found.method, found.differing) == ("undecided", "no difference", 0)
    assert 15 < found.high < 20 and formatting.judgement(found) == "undecided (no difference seen)"


def test_a_margin_needs_as_many_alike_as_rule_out_rare_losses(tmp_path):
    """Of 20 alike, 15 points are not ruled out; (1 - 0.01)**367 is 2.5%."""
    found = alike(tmp_path, 20, new={"answer": "y"}, margins={"": 1.0})
    assert found.verdict == "undecided" and found.needed == pytest.approx(367, rel=0.01)
    assert formatting.judgement(found) == "undecided (no difference seen; about 370 documents would do)"
    (tmp_path / "more").mkdir()
    assert alike(tmp_path / "more", 380, new={"answer": "y"}, margins={"": 1.0}).verdict == "same"


def test_identical_is_for_identical_responses(tmp_path):
    found = alike(tmp_path, 3)
    assert (found.verdict, found.method) == ("same", "identical")
    assert formatting.judgement(found) == "same (identical)"


def test_texts_alone_agree_by_chance(tmp_path):
    """Without likelihoods, ten equal answers of two models prove nothing; those of one model are its answers."""
    texts = {"likelihood": 0.0}
    assert alike(tmp_path, 10, base=texts, new=texts).verdict == "undecided"
    run = write_run(tmp_path / "same", {"t": Made(scores=binary("01" * 5), likelihood=0.0)})
    assert compare(read(run), read(run), Settings())[0].findings[0].method == "identical"


def test_holm_in_words(tmp_path):
    """Seven of seven that differ are lost: p 0.0078 alone, 0.16 as one of 20 tasks."""
    other = {f"t{i:02}": Made(scores=binary("10" * 60)) for i in range(19)}
    old, new = ({**other, "falls": Made(scores=binary(bits + "10" * 50))} for bits in ("1" * 7, "0" * 7))
    comparison = against(tmp_path, new, old)
    first = comparison.gating[0]
    assert (first.task, first.verdict) == ("falls", "undecided") and first.high < 0
    words = "worse by itself (p 0.0078), but not after Holm's correction over 20 (p 0.16)"
    assert first.reason == words and words in formatting.judgement(first)


def test_a_margin_of_many_tasks(tmp_path):
    """380 alike show a margin of one point for one task, not for one of 20, unless the others show theirs."""
    scores = binary("0" * 380)
    old, new = ({f"t{i:02}": Made(scores=scores, answer=answer) for i in range(20)} for answer in "xy")
    found = against(tmp_path, new, old, margins={"": 1.0}).findings[0]
    assert found.verdict == "undecided" and found.needed == pytest.approx(665, rel=0.02)
    assert found.reason == "no difference seen; within 1 by itself, but not after Holm's correction over 20"


def test_too_few_that_differ_say_how_many_it_takes(tmp_path):
    """Four of four lost have p 0.0625 by the mid-p: five it takes, of one task."""
    old, new = (Made(scores=binary(bits + "1" * 36)) for bits in ("1111", "0000"))
    found = against(tmp_path, {"t": new}, {"t": old}).findings[0]
    assert found.reason == "4 differing documents, it takes at least 5 to reach p 0.05" and found.needed == 50


def test_three_documents_say_how_many_it_takes(tmp_path):
    old, new = (Made(scores={f"d{i}": {"f1": (x - i / 9,)} for i in range(3)}, metrics=("f1",)) for x in (1.0, 0.5))
    found = against(tmp_path, {"t": new}, {"t": old}).findings[0]
    assert (found.p, found.needed) == (0.125, 5) and found.method == "Student, documents"
    assert found.reason == "3 differing documents, it takes at least 5 to reach p 0.05"


def test_two_passages_say_how_many_it_takes(tmp_path):
    answers = {f"d{i}": {"acc": (float(i % 2),)} for i in range(30)}
    clusters = {name: f"p{int(name[1:]) % 2}" for name in answers}
    old, new = (
        Made(scores=scores, clusters=clusters) for scores in (answers, {name: {"acc": (1.0,)} for name in answers})
    )
    found = against(tmp_path, {"t": new}, {"t": old}, margins={"": 90.0}).findings[0]
    assert (found.verdict, found.units) == ("undecided", 2) and math.isnan(found.low) and found.needed == 45
    assert formatting.judgement(found) == (
        "undecided (2 passages, a test needs at least 3; at least 45 documents are needed)"
    )


def test_five_passages_that_lose_together_are_worse(tmp_path):
    """No exchange of five passages reaches 5%; Student's t over them does."""
    losses = (6, 5, 4, 6, 5)
    answers = {f"p{i} {j}": {"acc": (1.0,)} for i in range(5) for j in range(10)}
    others = {f"p{i} {j}": {"acc": (float(j >= losses[i]),)} for i in range(5) for j in range(10)}
    clusters = {name: name.split()[0] for name in answers}
    old, new = (Made(scores=scores, clusters=clusters) for scores in (answers, others))
    found = against(tmp_path, {"t": new}, {"t": old}).findings[0]
    assert (found.verdict, found.method, found.units) == ("worse", "Student", 5) and found.high < -30


def test_worst_first_and_what_does_not_gate_aside(tmp_path):
    def both(bits):
        return Made(
            scores={f"d{i}": {"acc": (float(b),), "ppl": (-1.0,)} for i, b in enumerate(bits)}, metrics=("acc", "ppl")
        )

    old = {name: both("10" * 40) for name in ("alike", "up", "down", "wavers")}
    new = {**old, "up": both("11" * 40), "down": both("00" * 40), "wavers": both("10" * 39 + "11")}
    comparison = against(tmp_path, new, old)
    assert [f.task for f in comparison.gating] == ["down", "wavers", "alike", "up"]
    assert [f.task for f in comparison.findings if f.gates] == list(old)
    assert formatting.aside(comparison) == "4 metrics do not gate: 3 undecided, 1 same, each by itself"
    header, rows = formatting.table([f for f in comparison.others if f.verdict == "undecided"])
    assert "95% interval" not in header and {len(row) for row in rows} == {len(header)}
    assert "95% interval" in formatting.table(comparison.gating)[0]


def test_values_without_shots_are_compared_whatever_other_shots_the_runs_have(tmp_path):
    runs = []
    for name, shots in (("base", [0, 2]), ("new", [0])):
        evaluate("pico", ["world_reading", "world_qa"], shots=shots, limit=20, out=tmp_path / name, cache=False)
        runs.append(read(tmp_path / name))
    _, allowed = pair_up(*runs, allow=["tasks"])
    assert len(allowed) == 2 and all("is in BASE only" in text for text in allowed)  # what has 2 shots
