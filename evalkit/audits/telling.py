"""Which metric tells soonest: how many documents each needs to tell neighbouring models apart, in pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from evalkit.audits.items import Answers
from evalkit.metrics.base import Array, Metric
from evalkit.stats import intervals
from evalkit.stats.intervals import NORMAL

# Standard errors that a change has to have to be found at a two-sided 5% with a power of 80%.
REACH = NORMAL + 0.841621


@dataclass(frozen=True, kw_only=True)
class Tells:
    """How soon a metric tells.

    documents: the median, over neighbouring models, of the documents that a paired test needs to find the difference at
    5% with a power of 80%; infinite where more than half of the pairs are in the wrong order. ordered: pairs in the
    right order, of all of them.
    """

    metric: str
    documents: float
    ordered: int
    pairs: int


def tells(pairs: Sequence[tuple[Answers, Answers]]) -> list[Tells]:
    """Rate the metrics that all these runs have, the soonest first. pairs: of a worse and a better model."""
    if not pairs:
        return []
    names = [m for m in pairs[0][0].metrics if all(m in side.metrics for pair in pairs for side in pair)]
    rated = []
    for name in names:
        needed = [documents_needed(pairs[0][0].metrics[name], *_tables(name, *pair)) for pair in pairs]
        right = sum(math.isfinite(number) for number in needed)
        rated.append(Tells(metric=name, documents=median(needed), ordered=right, pairs=len(pairs)))
    return sorted(rated, key=lambda each: each.documents)


def _tables(metric: str, worse: Answers, better: Answers) -> tuple[Array, Array, list[str]]:
    names = sorted(set(worse.documents) & set(better.documents))
    units = [worse.documents[name].unit for name in names]
    return worse.table(metric, names), better.table(metric, names), units


def documents_needed(metric: Metric, worse: Array, better: Array, units: Sequence[str]) -> float:
    """Return how many documents tell two models apart; infinite where they are in the wrong order, or equal.

    worse, better: (n, k) statistics of the same documents. units: the passage of each, or its own name.
    """
    if not len(units):
        return math.inf
    before, after = (intervals.tabled(side, units)[1] for side in (worse, better))
    if len(before) < 2:
        return math.inf
    changes = intervals.deviations(metric, after) - intervals.deviations(metric, before)
    spread = intervals.noise(changes, metric.weights(after[:, :-1], after[:, -1]))
    gain = float(np.subtract(*(intervals.score_sums(metric, side.sum(axis=0)) for side in (after, before))))
    gain = gain if metric.higher_is_better else -gain
    if not gain > 0 or not spread.variance >= 0:
        return math.inf
    return len(units) * REACH**2 * spread.variance / gain**2
