"""Means of groups: weights, shots, intervals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from evalkit.harness.groups import group_results
from evalkit.metrics.values import make
from evalkit.types import Cell, Prompt, Record, Result

OWN = {"acc": make("acc", aggregation="mean", share=True), "own": make("own", aggregation=max)}


def result(task: str, value: float, n: int, *, shots: int = 0, metric: str = "acc") -> Result:
    return Result(
        model="m", task=task, family="imported", protocol="lm-eval", shots=shots, metric=metric, source="model",
        level="", value=value, low=math.nan, high=math.nan, n=n, failed=1, truncated=0, chance=25.0,
        signature=f"task:{task}.v1|protocol:lm-eval|shots:{shots}|model:m@h",
    )  # fmt: skip


def records(task: str, rights: list[int], *, shots: int = 0, seed: int = 1, story: int = 1) -> list[Record]:
    """story: how many documents share a passage."""
    cell = Cell(task=task, protocol="lm-eval", shots=shots, seed=seed)
    return [
        Record(
            cell=cell, doc_id=str(i), cluster=f"story {i // story}" if story > 1 else "", level="",
            prompt=Prompt(contexts=()), continuations=(), responses=(), gold="", prediction="",
            scores={"acc": (float(right),), "own": ()},
        )
        for i, right in enumerate(rights)
    ]  # fmt: skip


def grouped(
    weighting: str,
    rows: list[Result],
    found: list[Record],
    *,
    metric: str = "acc",
    data: tuple[str, str] = ("of a", "of b"),
) -> list[Result]:
    settings = {
        "groups": {"both": {"tasks": ["a", "b"], "metrics": {metric: weighting}}},
        "tasks": {"a": {"data": data[0]}, "b": {"data": data[1]}},
    }
    return group_results(found, settings, results=rows, own={"a": OWN, "b": OWN})


FOUND = [*records("a", [1, 0, 1, 0]), *records("b", [1] * 10 + [0] * 2)]
ROWS = [result("a", 50.0, 4), result("b", 1000 / 12, 12)]


def test_weights_by_size_or_equal():
    [by_size] = grouped("size", ROWS, FOUND)
    assert by_size.value == pytest.approx(75.0)
    assert (by_size.task, by_size.n, by_size.failed, by_size.chance) == ("both", 16, 2, 25.0)
    assert by_size.signature == "group:both|tasks:2|weights:size|protocol:lm-eval|shots:0|model:m@h"
    assert by_size.low < 75.0 < by_size.high
    [equal] = grouped("equal", ROWS, FOUND)
    assert equal.value == pytest.approx(50 / 2 + 1000 / 24)


def test_an_order_of_records_changes_nothing():
    assert grouped("size", ROWS, FOUND) == grouped("size", ROWS, FOUND[::-1])


def test_a_task_of_one_number_of_shots_is_in_every_mean():
    rows = [ROWS[0], result("b", 80.0, 12), result("b", 90.0, 12, shots=5)]
    found = grouped("equal", rows, [*FOUND, *records("b", [1] * 12, shots=5)])
    assert [(r.shots, r.value) for r in found] == [(0, 65.0), (5, 70.0)]
    one_each = [result("a", 50.0, 4), result("b", 90.0, 12, shots=5)]
    assert [(r.shots, r.value) for r in grouped("equal", one_each, FOUND)] == [(5, 70.0)]


def test_values_that_cannot_be_summed_have_no_interval():
    rows = [result("a", 2.0, 4, metric="own"), result("b", 4.0, 12, metric="own")]
    [found] = grouped("equal", rows, FOUND, metric="own")
    assert found.value == 3.0 and math.isnan(found.low)


def width(found: list[Record], **about) -> float:
    """Return the width of an equal mean of two tasks of 20 documents."""
    [mean] = grouped("equal", [result("a", 50.0, 20), result("b", 50.0, 20)], found, **about)
    return mean.high - mean.low


def test_seeds_of_a_document_are_not_documents():
    """Three seeds that answer alike say no more than one; the documents of a passage hang together."""
    once = [*records("a", [1, 0] * 10), *records("b", [1, 1, 0, 0] * 5)]
    thrice = [r for seed in (1, 2, 3) for task, rights in (("a", [1, 0] * 10), ("b", [1, 1, 0, 0] * 5))
              for r in records(task, rights, seed=seed)]  # fmt: skip
    assert width(thrice) == pytest.approx(width(once))
    # Of a mean of two independent shares of 20 the standard error is sqrt(2 x 0.25 / 19) / 2, Student's t of about 38.
    assert width(once) == pytest.approx(2 * 2.02 * 100 * math.sqrt(0.5 / 19) / 2, rel=0.05)
    passages = [*records("a", [1, 0] * 10, story=2), *records("b", [1, 1, 0, 0] * 5, story=2)]
    assert width(passages) == pytest.approx(2 * 2.26 * 100 * math.sqrt(0.25 / 9) / 2, rel=0.05)


def test_a_document_of_two_tasks_is_one_unit():
    """Two wordings of the same questions, answered alike, leave one task's interval."""
    same = [*records("a", [1, 0] * 10), *records("b", [1, 0] * 10)]
    apart, together = width(same), width(same, data=("one file", "one file"))
    assert together == pytest.approx(math.sqrt(2) * apart, rel=0.05)


def test_few_units_have_a_wide_interval_a_single_one_none():
    rows = [result("a", 50.0, 2), result("b", 50.0, 2)]
    [few] = grouped("equal", rows, [*records("a", [1, 0]), *records("b", [1, 0])])
    # Two tasks of a right and a wrong document each: an error of sqrt(2 x 0.25) / 2, Student's t of 2.
    reach = 4.303 * math.sqrt(0.5) / 2 / 0.25
    assert (few.low, few.high) == pytest.approx([100 / (1 + math.exp(x)) for x in (reach, -reach)], rel=0.01)
    assert few.units == 4
    [lone] = grouped("equal", [result("a", 100.0, 1), ROWS[1]], [*records("a", [1]), *FOUND[4:]])
    assert math.isnan(lone.low) and lone.units == 1


def test_rare_classes_are_covered_in_a_mean():
    """Of two tasks whose rarest outcome has a share of 1%: without the added documents, 70 of 100 intervals hold it."""
    metric = make("mcc", aggregation="matthews_corrcoef", classes=2)
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(100):
        found = []
        for task in ("a", "b"):
            for i, cell in enumerate(rng.choice(4, p=(0.81, 0.09, 0.09, 0.01), size=40)):
                [record] = records(task, [0])
                scores = {"mcc": metric.of((cell // 2, cell % 2))}
                found.append(replace(record, doc_id=str(i), scores=scores))
        values = [float(metric.aggregate(np.sum([r.scores["mcc"] for r in found if r.cell.task == task], axis=0),
                                         np.asarray(40.0))) for task in ("a", "b")]  # fmt: skip
        rows = [result(task, value, 40, metric="mcc") for task, value in zip(("a", "b"), values, strict=True)]
        settings = {
            "groups": {"both": {"tasks": ["a", "b"], "metrics": {"mcc": "equal"}}},
            "tasks": {"a": {"data": "of a"}, "b": {"data": "of b"}},
        }
        [mean] = group_results(found, settings, results=rows, own={"a": {"mcc": metric}, "b": {"mcc": metric}})
        assert mean.low <= mean.value <= mean.high and mean.units == 80
        inside += mean.low <= 0.0 <= mean.high
    assert inside >= 95
