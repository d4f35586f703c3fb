"""Means of groups: weights, shots, intervals."""

from __future__ import annotations

import math

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


def records(task: str, rights: list[int], *, shots: int = 0) -> list[Record]:
    cell = Cell(task=task, protocol="lm-eval", shots=shots, seed=1)
    return [
        Record(
            cell=cell, doc_id=str(i), cluster="", level="", prompt=Prompt(contexts=()), continuations=(), responses=(),
            gold="", prediction="", scores={"acc": (float(right),), "own": ()},
        )
        for i, right in enumerate(rights)
    ]  # fmt: skip


def grouped(weighting: str, rows: list[Result], found: list[Record], *, metric: str = "acc") -> list[Result]:
    settings = {"groups": {"both": {"tasks": ["a", "b"], "metrics": {metric: weighting}}}}
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
