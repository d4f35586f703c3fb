"""A value over several seeds, with an interval for both kinds of chance: which documents, and which seeds.

The value is the mean over the seeds. Its interval adds two independent variances: that of the documents (with all seeds
of a document as one observation) and that of the seeds, with Student's t for so few.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.metrics import Metric
from evalkit.metrics.base import Array
from evalkit.metrics.stats import bootstrap, interval


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A document's statistics under one seed. cluster: documents of one cluster, or one id, are resampled together."""

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


def over_seeds(metric: Metric, rows: BySeed) -> Spread:
    """Average over seeds. A single seed has the interval of its documents alone."""
    scored = [row for seed in sorted(rows) for row in rows[seed]]
    clusters = [row.cluster for row in scored]
    independent = len(set(clusters)) == len(scored)
    found = interval(metric, _table(scored), None if independent else clusters)
    each = tuple(value_of(metric, rows[seed]) for seed in sorted(rows))
    value, spread = sum(each) / len(each), seed_error(each)
    low, high = ((bound - found.value) * metric.scale for bound in (found.low, found.high))
    most = 100.0 if metric.higher_is_better else math.inf  # shares, correlations, BLEU and ROUGE in points
    return Spread(
        value=value,
        low=max(metric.least * metric.scale, value - math.hypot(low, spread)),
        high=min(most, value + math.hypot(high, spread)),
        per_seed=each,
        n=len(set(clusters)),
    )


def difference(metric: Metric, new: BySeed, base: BySeed) -> Spread:
    """Return new - base on the same documents: a bootstrap of pairs, and the seeds of both.

    per_seed is empty: seeds are not paired. The documents of both must be the same.
    """
    tables = []
    for rows in (new, base):
        scored = sorted((row for seed in rows for row in rows[seed]), key=lambda row: row.cluster)
        clusters = [row.cluster for row in scored]
        tables.append((bootstrap(metric, _table(scored), clusters), clusters))
    assert set(tables[0][1]) == set(tables[1][1]), "a difference is of the same documents"
    drawn = np.sort(tables[0][0] - tables[1][0]) * metric.scale
    means = [[value_of(metric, rows[seed]) for seed in sorted(rows)] for rows in (new, base)]
    value = sum(means[0]) / len(means[0]) - sum(means[1]) / len(means[1])
    seeds = math.hypot(*(seed_error(each) for each in means))
    half = (float(drawn[-1 - len(drawn) // 40]) - float(drawn[len(drawn) // 40])) / 2
    reach = math.hypot(half, seeds)
    return Spread(value=value, low=value - reach, high=value + reach, per_seed=(), n=len(set(tables[0][1])))


def value_of(metric: Metric, rows: Sequence[Scored]) -> float:
    """Score documents, in points."""
    table = _table(rows)
    return float(metric.aggregate(table.sum(axis=0), np.asarray(len(table)))) * metric.scale


def seed_error(values: Sequence[float]) -> float:
    """Return the half-width that the seeds add: t(0.975) x standard error; nought for a single seed."""
    if len(values) < 2:
        return 0.0
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))


def _table(rows: Sequence[Scored]) -> Array:
    return np.asarray([row.statistics for row in rows], dtype=np.float64)
