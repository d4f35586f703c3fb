"""A value over several seeds, with an interval for both kinds of chance: which documents, and which seeds.

The value is the mean over the seeds. Its interval adds, in squares, the reach of the documents (all seeds of a document
are one observation) and that of the seeds, t standard errors of their mean. For two seeds t is 12.7, for three 4.3:
so few say little, and their interval is wide where they differ. A single seed has the interval of its documents alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.metrics import Metric
from evalkit.metrics.base import Array
from evalkit.stats import intervals as stats
from evalkit.stats.intervals import interval
from evalkit.stats.paired import LEAST_UNITS


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A document's statistics under one seed. cluster: documents of one cluster, or one id, are one unit."""

    statistics: Sequence[float]
    cluster: str


BySeed = Mapping[int, Sequence[Scored]]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A mean over seeds as shown (in points), with its 95% interval. per_seed: each seed's value. n: documents."""

    value: float
    low: float
    high: float
    per_seed: tuple[float, ...]
    n: int


def bracketed(low: float, high: float, *, form: str = ".1f", note: str = "") -> str:
    """Return an interval as it is printed after a value, with a note in it; empty where there is none."""
    return "" if math.isnan(low) or math.isnan(high) else f" [{low:{form}}, {high:{form}}{note}]"


def over_seeds(metric: Metric, rows: BySeed) -> Spread:
    """Average over seeds. A single seed has the interval of its documents alone."""
    scored = [row for seed in sorted(rows) for row in rows[seed]]
    clusters = [row.cluster for row in scored]
    independent = len(set(clusters)) == len(scored)
    over_documents = interval(metric, _table(scored), None if independent else clusters)
    each = tuple(value_of(metric, rows[seed]) for seed in sorted(rows))
    value = sum(each) / len(each)
    below, above = (
        abs(bound - over_documents.value) * metric.scale for bound in (over_documents.low, over_documents.high)
    )
    low, high = with_seeds(value, below, above, per_seed=each)
    return Spread(
        value=value,
        low=float(np.maximum(low, metric.least * metric.scale)),  # NaN stays
        high=float(np.minimum(high, metric.most * metric.scale)),
        per_seed=each,
        n=len(set(clusters)),
    )


def difference(metric: Metric, new: BySeed, base: BySeed) -> Spread:
    """Return new - base on the same documents, with the seeds of both in its interval.

    per_seed is empty: seeds are not paired. The documents of both must be the same.
    """
    (names, gained, weights), (others, lost, _) = _changes(metric, new), _changes(metric, base)
    assert names == others, "a difference is of the same documents"
    spread = stats.noise((gained - lost) * metric.scale, weights)
    means = [[value_of(metric, rows[seed]) for seed in sorted(rows)] for rows in (new, base)]
    value = sum(means[0]) / len(means[0]) - sum(means[1]) / len(means[1])
    half = stats.student(spread.freedom) * math.sqrt(spread.variance) if len(weights) >= LEAST_UNITS else math.nan
    reach = math.hypot(half, *(seed_error(each) for each in means))
    return Spread(value=value, low=value - reach, high=value + reach, per_seed=(), n=len(weights))


def _changes(metric: Metric, rows: BySeed) -> tuple[list[str], Array, Array]:
    """Return the units, what leaving each of them out does to the value over all seeds, and their weights."""
    scored = [row for seed in sorted(rows) for row in rows[seed]]
    names, table = stats.tabled(_table(scored), [row.cluster for row in scored])
    return names, stats.deviations(metric, table), metric.weights(table[:, :-1], table[:, -1])


def with_seeds(value: float, below: float, above: float, *, per_seed: Sequence[float]) -> tuple[float, float]:
    """Return the bounds of a mean over seeds: the reach of its documents below and above it, and of its seeds."""
    spread = seed_error(per_seed)
    return value - math.hypot(below, spread), value + math.hypot(above, spread)


def value_of(metric: Metric, rows: Sequence[Scored]) -> float:
    """Score documents, in points."""
    table = _table(rows)
    return float(metric.aggregate(table.sum(axis=0), np.asarray(len(table)))) * metric.scale


def seed_error(values: Sequence[float]) -> float:
    """Return the half-width that the seeds add: t(0.975) x standard error; 0 for a single seed."""
    if len(values) < 2:
        return 0.0
    return stats.student(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))


def _table(rows: Sequence[Scored]) -> Array:
    return np.asarray([row.statistics for row in rows], dtype=np.float64)
