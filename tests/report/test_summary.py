"""The summary in words: the best model of each family, and what there is of a trend."""

from __future__ import annotations

import pytest

from evalkit.report.measurements import Measurement
from evalkit.report.models import ModelFacts
from evalkit.report.pages import result_tables, summary
from evalkit.report.selection import select

SIZES = {"a": 10**6, "b": 10**7, "c": 10**8, "d": 10**9}


def measured(
    task: str, values: dict[str, float], *, family: str = "qa", half: float = 1.0, **more
) -> list[Measurement]:
    return [
        Measurement(
            model=ModelFacts(name=f"m-{name}", family="m", parameters=SIZES[name]), task=task, family=family,
            metric="acc", value=value, low=value - half, high=value + half, scale=100.0, ceiling=100.0, n=100, **more,
        )
        for name, value in values.items()
    ]  # fmt: skip


def sentences(*groups: list[Measurement]) -> list[str]:
    selection = select([m for group in groups for m in group], predict=None)
    return summary.sentences(selection, result_tables.judged(selection))


def test_the_best_of_one_task_and_whether_it_is_clear():
    clear = sentences(measured("t", {"a": 20.0, "b": 40.0}))
    assert clear[0].startswith(
        "2 models, a (1M parameters) and b (10M parameters): 1 task in 1 family, with 0 examples"
    )
    assert clear[1] == "qa: b is best (t, acc 40.0; next a 20.0)."
    assert "with intervals that overlap" in sentences(measured("t", {"a": 39.0, "b": 40.0}))[1]
    assert sentences(measured("t", {"a": 40.0, "b": 40.0}))[1] == "qa: the best models are equal (t, acc 40.0)."


def test_the_best_of_several_tasks():
    one, two, three = ({"a": 20.0, "b": 40.0}, {"a": 30.0, "b": 50.0}, {"a": 60.0, "b": 10.0})
    assert sentences(measured("t", one), measured("u", two))[1] == "qa: b is best on both tasks."
    mixed = sentences(measured("t", one), measured("u", two), measured("v", three))
    assert mixed[1] == "qa: b is best on 2 of 3 tasks, a on 1."


def test_less_is_better_where_it_is():
    perplexity = measured("t", {"a": 20.0, "b": 40.0}, higher_is_better=False)
    assert sentences(perplexity)[1].startswith("qa: a is best")


def test_the_fewest_shots_count():
    zero, four = measured("t", {"a": 20.0, "b": 40.0}), measured("t", {"a": 90.0, "b": 10.0}, shots=4)
    said = sentences(zero, four)
    assert "b is best" in said[1] and "with 0 and 4 examples" in said[0]


def test_trends_are_counted():
    up, level = {"a": 10.0, "b": 30.0, "c": 50.0, "d": 70.0}, {"a": 30.0, "b": 30.0, "c": 30.0, "d": 30.0}
    said = sentences(
        measured("t", up), measured("u", level), measured("v", {"a": 70.0, "b": 50.0, "c": 30.0, "d": 10.0})
    )
    assert said[-1] == (
        "Of 3 tasks at the fewest shots, ability grows with size on 1, falls with size on 1 and stays the same on 1."
    )
    assert said[0].startswith("4 models of 1M to 1B parameters: 3 tasks")


def test_a_single_model_is_set_against_a_guess():
    good, bad = measured("t", {"a": 60.0}, chance=50.0), measured("u", {"a": 50.5}, chance=50.0)
    said = sentences(good, bad, measured("v", {"a": 50.0}))
    assert said[1].startswith("Its whole interval is better than a guess on 1 of the 2 tasks")
    assert len(said) == 3


@pytest.mark.parametrize(("names", "sizes"), [("a", "one size"), ("ab", "2 sizes"), ("abc", "3 sizes")])
def test_too_few_sizes_for_a_trend(names, sizes):
    said = sentences(measured("t", {name: 30.0 + i for i, name in enumerate(names)}))
    assert said[-1] == f"Whether ability grows with size cannot be judged from {sizes}: that takes at least 4."
