"""The documents on which two runs differ, worst first, with the models' answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit import metrics
from evalkit.comparison.comparable import Pair, pair_up
from evalkit.comparison.comparison import Comparison, Finding
from evalkit.comparison.evidence import Evidence, Key, Sheet
from evalkit.metrics.base import Array, Metric
from evalkit.runs.store import read_record
from evalkit.types import Record


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A document whose score differs. base, new: its scores in points, over all seeds; gain: above zero is better.

    document: its id, or its hashed id where both sides are baseline files. prompt, gold and the predictions are empty
    where neither side is a run.
    """

    task: str
    protocol: str
    shots: int
    template: str
    metric: str
    document: str
    base: float
    new: float
    gain: float
    prompt: str
    gold: str
    base_prediction: str
    new_prediction: str


def flips(base: Evidence, new: Evidence, *, allow: Sequence[str] = (), limit: int | None = None) -> list[Flip]:
    """Return the documents that differ in each task's primary metric, worst first; at most `limit` per task and shots.

    Raises CompareError when the runs cannot be compared.
    """
    pairs, _ = pair_up(base, new, allow=allow)
    differing = [flip for pair in pairs for flip in of_pair(pair, base=base, new=new, limit=limit)]
    return sorted(differing, key=lambda flip: flip.gain)


def of_pair(pair: Pair, *, base: Evidence, new: Evidence, limit: int | None = None) -> Iterator[Flip]:
    """Yield the documents that differ in one task's primary metric, worst first."""
    name = pair.metrics[0]
    metric = metrics.get(name, pair.base.rules[name])
    before, after = _document_scores(pair, metric)
    gains = np.nan_to_num((after - before) * (1.0 if metric.higher_is_better else -1.0))
    order = [int(i) for i in np.argsort(gains, kind="stable") if gains[i] != 0][:limit]
    for i in order:
        seed = int(pair.shared[i].argmax())  # the first that both have scored
        ours = _record(base, pair.base, int(pair.base_rows[i]), int(pair.base_seeds[seed]))
        theirs = _record(new, pair.new, int(pair.new_rows[i]), int(pair.new_seeds[seed]))
        record = theirs or ours
        yield Flip(
            **pair.base.key._asdict(), metric=name,
            document=record.doc_id if record else f"{int(pair.base.ids[pair.base_rows[i]]):08x}",
            base=float(before[i]), new=float(after[i]), gain=float(gains[i]),
            prompt=record.prompt.contexts[0] if record and record.prompt.contexts else "",
            gold=record.gold if record else "",
            base_prediction=ours.prediction if ours else "", new_prediction=theirs.prediction if theirs else "",
        )  # fmt: skip


def worst(pairs: Sequence[Pair], base: Evidence, new: Evidence, comparison: Comparison, *, limit: int) -> list[Flip]:
    """Return the documents to list, task by task: the worst task first, in each task the largest loss.

    Where several tasks changed they share the places, those that fail the comparison before all others.
    """
    failing = {_key(finding) for finding in comparison.failing}
    ranks: dict[Key, int] = {}
    for rank, finding in enumerate(comparison.gating):
        ranks.setdefault(_key(finding), rank)  # of several metrics the worst
    ranked = sorted(pairs, key=lambda pair: ranks.get(_key(pair.base), len(ranks)))
    flips = [list(of_pair(pair, base=base, new=new, limit=limit)) for pair in ranked]
    taken = [0] * len(flips)
    for fails in (True, False):
        group = [i for i, pair in enumerate(ranked) if (_key(pair.base) in failing) == fails]
        while sum(taken) < limit and (open_ := [i for i in group if taken[i] < len(flips[i])]):
            for i in open_[: limit - sum(taken)]:
                taken[i] += 1
    return [flip for own, count in zip(flips, taken, strict=True) for flip in own[:count]]


def _key(cell: Finding | Sheet) -> Key:
    return Key(cell.task, cell.protocol, cell.shots, cell.template)


def _document_scores(pair: Pair, metric: Metric) -> tuple[Array, Array]:
    """Score every document by itself, in points -> two (n,)."""
    counts = np.maximum(1, pair.shared.sum(axis=1))
    scores = []
    for statistics in pair.statistics(metric.name):
        table = np.where(pair.shared[..., None], statistics, 0.0).sum(axis=1)
        scores.append(metric.aggregate(table, counts) * metric.scale)
    return scores[0], scores[1]


def _record(evidence: Evidence, sheet: Sheet, row: int, seed: int) -> Record | None:
    """Read a document's record of a seed, given by its column; a baseline file has none."""
    if sheet.places is None:
        return None
    return read_record(evidence.path, int(sheet.places[row, seed]))
