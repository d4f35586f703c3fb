"""The columns of a run's scores: the same, however the records come together."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from evalkit.runs.columns import CellColumns
from evalkit.runs.scores import Scores
from evalkit.types import Cell, Prompt, Record

CELLS = [Cell(task=task, protocol="p", shots=0, seed=seed) for task in ("a", "b") for seed in (1, 2)]


def record(cell, name, **changes):
    base = Record(
        cell=cell, doc_id=name, cluster=f"story {int(name) // 2}" if cell.task == "b" else "", level="odd",
        prompt=Prompt(contexts=(), cut=int(name) % 3), continuations=(), responses=(), gold="", prediction="",
        scores={"acc": (float(name) * cell.seed,), "own": ()}, baselines={"first": {"acc": (1.0,)}},
        chance={"acc": 0.25}, values={"own": [name, cell.seed]},
    )  # fmt: skip
    return replace(base, **changes)


def records():
    failed = {"error": "too long", "scores": {}, "baselines": {}, "chance": {}, "values": {}}
    return [record(cell, str(n), **(failed if n == 7 else {})) for cell in CELLS for n in range(12)]


def facts(scores, task):
    sample = scores.sample(task, [cell for cell in scores.cells if cell.task == task])
    places, table = sample.statistics("acc")
    return (
        [sample.id(place) for place in range(len(sample.seeds))], sample.seeds.tolist(), places.tolist(),
        table.tolist(), sample.values("own", places), sample.units(places), sample.count(places),
        sample.failed.tolist(), sample.truncated.tolist(), sample.chances("acc")[1].tolist(), sample.baselines,
        sample.metrics, sample.statistics("acc", baseline="first")[1].tolist(), sample.statistics("none")[1].shape,
    )  # fmt: skip


def test_what_is_held_is_what_the_records_say():
    scores = Scores(records())
    names, seeds, places, table, values, units, documents, failed, truncated, *_ = facts(scores, "b")
    assert names == sorted(str(n) for n in range(12) for _ in (1, 2)) and seeds == [1, 2] * 12
    assert table == [[float(names[i]) * seeds[i]] for i in places] and documents == 11
    assert values == [[str(n), seed] for n in (*range(7), *range(8, 12)) for seed in (1, 2)]
    assert units[:2] == ["passage story 0"] * 2 and facts(scores, "a")[5][:2] == ["document 0"] * 2
    assert [names[i] for i in failed] == ["7", "7"] and len(truncated) == 16
    assert len(scores) == 48 and (CELLS[0], "3") in scores
    assert (CELLS[0], "12") not in scores and (replace(CELLS[0], shots=1), "3") not in scores
    assert set(scores) == {r.key for r in records()}
    assert scores.errors(CELLS[0]) == (("too long",), 12) and len(scores.without(["a"])) == 24


@pytest.mark.parametrize("seed", range(5))
def test_merged_in_any_order_they_are_the_same(seed):
    rng = random.Random(seed)
    shuffled = rng.sample(records(), 48)
    merged = Scores()
    while shuffled:
        part, shuffled = shuffled[: rng.randint(1, 9)], shuffled[9:] if len(shuffled) > 9 else []
        merged.update(Scores(part))
    expected = Scores(r for r in records() if r.key in merged)
    assert len(merged) == len(expected)
    for task in ("a", "b"):
        assert facts(merged, task) == facts(expected, task)


def test_another_number_of_statistics_is_refused_and_leaves_nothing():
    scores = Scores(records())
    odd = record(CELLS[0], "12", scores={"other": (1.0,), "acc": (1.0, 2.0)})
    with pytest.raises(ValueError, match="2 statistics of 'acc', where others have 1"):
        scores.add(odd)
    assert odd.key not in scores and len(scores) == 48
    with pytest.raises(ValueError, match="2 statistics"):
        scores.update(Scores([odd]))
    scores.add(record(CELLS[0], "13", scores={"other": (1.0, 2.0)}))  # what was refused has left no width


def test_all_cells_of_a_task_have_as_many_statistics():
    odd = {"acc": (1.0, 2.0)}
    scores = Scores([record(CELLS[0], "1"), record(CELLS[2], "1", scores=odd)])  # of another task
    with pytest.raises(ValueError, match="2 statistics"):
        scores.add(record(CELLS[1], "1", scores=odd))
    with pytest.raises(ValueError, match="2 statistics"):
        scores.update(Scores([record(CELLS[1], "1", scores=odd)]))
    assert len(scores) == 2 and scores.cells == (CELLS[0], CELLS[2])


def test_the_order_of_metrics_is_that_of_the_documents():
    pairs = [("2", ("c",)), ("0", ("b", "a")), ("1", ("a", "c"))]
    scores = Scores(record(CELLS[0], name, scores=dict.fromkeys(names, (0.0,))) for name, names in pairs)
    assert scores.sample("a", [CELLS[0]]).metrics == ["b", "a", "c"]


def test_a_document_takes_few_bytes():
    held = CellColumns()
    for number in range(1000):
        held.add(number, record(CELLS[0], "1", values={}), 0)
    arrays = [
        held.documents,
        held.offsets,
        held.answers,
        *(a for column in held.statistics.values() for a in (column.rows, column.numbers)),
    ]
    assert sum(a.itemsize * len(a) for a in arrays) + len(held._seen) <= 52 * 1000
    assert np.all(held.statistics["", "acc"].table()[0] == np.arange(1000))
