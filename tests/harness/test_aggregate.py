"""Records -> results, where items have failed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.harness.aggregate import aggregate
from evalkit.types import Cell, Prompt, Record, Result

SETTINGS: Mapping[str, Any] = {
    "tasks": {"t": {"metrics": ["acc", "bleu"], "family": "qa", "version": 1, "data": "d"}},
    "model": {"model": "m", "hash": "h", "dtype": "none"},
    "seeds": [1],
    "limit": None,
}


def _record(name: str, *, error: str = "", variant: str = "", level: str = "", seed: int = 1) -> Record:
    scores = {} if error else {"acc": (1.0,), "bleu": (4.0, 4.0, *(4.0, 3.0, 2.0, 1.0) * 2)}
    return Record(
        cell=Cell(task="t", protocol="p", shots=0, seed=seed, variant=variant),
        doc_id=name,
        cluster="",
        level=level,
        prompt=Prompt(contexts=()),
        continuations=(),
        responses=(),
        gold="g",
        prediction="",
        scores=scores,
        error=error,
    )


def _result(results: Sequence[Result], metric: str, source: str = "model", level: str = "") -> Result:
    (found,) = [r for r in results if (r.metric, r.source, r.level) == (metric, source, level)]
    return found


def test_a_cell_in_which_every_item_failed_has_no_value() -> None:
    results = aggregate([_record("a", error="too long"), _record("b", error="too long")], SETTINGS)
    for metric in ("acc", "bleu"):
        result = _result(results, metric)
        assert math.isnan(result.value) and math.isnan(result.low) and math.isnan(result.high)
        assert (result.n, result.failed) == (0, 2)


def test_a_failed_item_is_counted_and_never_scored_as_wrong() -> None:
    results = aggregate([_record("a"), _record("b", error="too long"), _record("c")], SETTINGS)
    for metric in ("acc", "bleu"):
        result = _result(results, metric)
        assert (result.value, result.n, result.failed) == (100.0, 2, 1)


def test_a_control_or_level_may_fail_as_a_whole() -> None:
    records = [
        _record("a", level="easy"),
        _record("b", level="hard", error="e"),
        _record("a", variant="none", error="e"),
    ]
    results = aggregate(records, SETTINGS)
    assert _result(results, "acc").value == 100.0
    assert math.isnan(_result(results, "acc", level="hard").value)
    assert math.isnan(_result(results, "acc", source="control:none").value)


def test_several_seeds_of_one_document_are_one_document() -> None:
    records = [_record(name, seed=seed) for name in "ab" for seed in (1, 2, 3)]
    assert _result(aggregate(records, SETTINGS), "acc").n == 2
