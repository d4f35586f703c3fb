"""The one rule for intervals, for any metric, from its statistics per document.

The unit is what was drawn by itself: a document with all its seeds, or all documents that share a passage. Each unit is
left out in turn (the jackknife), so that every metric that is scored from sums has a standard error. The bounds are
Student's, on a scale on which the value may lie anywhere: logit between two ends, logarithm above one. The degrees of
freedom fall where units differ in weight or a few of them make most of the spread. A metric of counts of a few outcomes
(a correlation of classes) is judged with two more documents, spread evenly over the outcomes: one that happened not to
occur is not impossible. All values are in the metric's own units (not multiplied by its scale).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.base import Array, Metric
from evalkit.stats.bisection import crossing

Method = Literal["none", "mid-p", "jackknife", "stratified"]

# Documents added to the counts of outcomes: half of one in each cell of a table of two by two, which is Jeffreys' prior
# and the correction of Haldane (1956) and Anscombe (1956).
_ADDED = 2.0

LEVEL = 0.95

# How many standard errors a normal interval at LEVEL reaches to either side.
NORMAL = 1.959964

# A spread below this share of the value is rounding.
_ROUNDING = 1e-12

# Beyond this many standard deviations from the middle a bound on the logit scale is the end itself.
_FAR = 300.0

# Of the bisection for the bounds of a share: to 1e-12.
_STEPS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A value with its interval; low and high are NaN (method "none") where there are too few units for them."""

    value: float
    low: float
    high: float
    method: Method
    units: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """What the draw of units does to a value, in its units.

    variance: bias included. third: the third central moment. freedom: of Student's t. size: the effective number of
    units, below their count where their weights differ.
    """

    variance: float
    third: float
    freedom: float
    size: float


def interval(
    metric: Metric, statistics: Array, clusters: Sequence[str] | None = None, *, level: float = LEVEL
) -> Interval:
    """Score (n, k) statistics and give a two-sided interval at `level`.

    clusters: a name per document; documents of one name are one unit; "" is a unit of its own; None: all independent.
    The share of independent documents that are right gets the mid-p interval of the binomial distribution; so does
    every value at an end of its range or without spread, because neither proves certainty. Everything else gets the
    jackknife's. A single unit (or fewer than the metric needs), or a value that is not finite: no bounds. The order of
    the documents does not matter.
    """
    statistics = np.asarray(statistics, dtype=np.float64)
    # Sorting before and after keeps the order of documents from changing a sum's rounding. Of millions of rows, no more
    # copies are held than that takes.
    order = _order(statistics)
    statistics = statistics[order]
    if clusters and any(clusters):
        table = tabled(statistics, [clusters[i] or f"\0{i}" for i in order])[1]
    else:
        table = _counted(statistics)
    del order
    table = table[_order(table)]
    value = float(score_sums(metric, table.sum(axis=0))) if len(table) else math.nan
    none = Interval(value=value, low=math.nan, high=math.nan, method="none", units=len(table))
    if len(table) < metric.fewest or not np.isfinite(table).all() or not math.isfinite(value):
        return none
    method: Method = "mid-p"
    if metric.binary and len(table) == len(statistics):
        low, high = binomial(value, size=len(table), level=level)
    else:
        middle, changes = estimate(metric, table)
        spread = noise(changes, metric.weights(table[:, :-1], table[:, -1]))
        method = "jackknife"
        low, high = bounds(middle, spread, least=metric.least, most=metric.most, level=level)
        low, high = min(low, value), max(high, value)  # NaN stays
    if math.isnan(low) or math.isnan(high):
        return none
    return Interval(value=value, low=low, high=high, method=method, units=len(table))


def estimate(metric: Metric, table: Array) -> tuple[float, Array]:
    """Return the value around which the interval of (m, k + 1) units lies, and the changes of it for `noise`.

    The changes are those without each unit, and behind them those without each of the documents that are added to
    counts of outcomes.
    """
    outcomes = metric.outcomes(table.shape[1] - 1)
    if outcomes is not None:
        share = _ADDED / len(outcomes)
        table = np.concatenate([table, share * _counted(outcomes)])
    changes = deviations(metric, table)
    if outcomes is not None:
        # Without a whole such document the value would change 1 / share times as much, and there is a share of one.
        changes[-len(outcomes) :] /= math.sqrt(share)
    return float(score_sums(metric, table.sum(axis=0))), changes


def too_few(units: int, documents: int) -> str:
    """Return why a single unit has no interval; empty where there are more, or their number is unknown (0)."""
    return f"1 {'passage' if documents > 1 else 'document'}: too few for an interval" if units == 1 else ""


def tabled(statistics: Array, clusters: Sequence[str]) -> tuple[list[str], Array]:
    """Sum (n, k) statistics by unit -> its names, sorted, and (m, k + 1) rows, the number of documents last.

    clusters: a name per document.
    """
    assert len(clusters) == len(statistics), "one cluster name per document"
    places = {name: i for i, name in enumerate(sorted(set(clusters)))}
    table = np.zeros((len(places), statistics.shape[1] + 1))
    np.add.at(table, [places[name] for name in clusters], _counted(statistics))
    return list(places), table


def deviations(metric: Metric, table: Array) -> Array:
    """Score (m, k + 1) rows of units, the number of documents last, without each in turn -> (m,) changes of the value.

    A metric with a lower end only (a perplexity) changes by factors; these are the changes of its logarithm times the
    value. NaN where the other units leave nothing to score.
    """
    total = table.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value, without = score_sums(metric, total), score_sums(metric, total - table)
        if math.isinf(metric.most) and math.isfinite(metric.least):
            height = value - metric.least
            return np.asarray(height * np.log((without - metric.least) / height))
        return np.asarray(without - value)


def noise(changes: Array, weights: Array) -> Noise:
    """Return the noise behind the (m,) changes that leaving out a unit makes. weights: of each observed unit.

    The degrees of freedom are those of a variance estimated from units of this kurtosis, and of as many units of equal
    weight as those observed are worth (Kish 1965): of a few unequal clusters, far fewer than clusters.
    """
    m, middle = len(changes), float(changes.mean())
    with np.errstate(invalid="ignore"):  # a unit without which nothing is left makes an infinite change, or NaN
        spread = changes - middle
    second = float((spread**2).sum())
    size = max(1.0, float(weights.sum() ** 2 / (weights**2).sum())) if weights.any() else 1.0
    if not second > 0:  # NaN too
        return Noise(variance=second, third=0.0, freedom=max(1.0, size - 1), size=size)
    excess = max(0.0, m * float((spread**4).sum()) / second**2 - 3.0)
    share = (m - 1) / m
    return Noise(
        variance=share * second + ((m - 1) * middle) ** 2,
        third=-(share**1.5) * float((spread**3).sum()),
        freedom=max(1.0, 2.0 / (excess / m + 2.0 / max(1.0, size - 1))),
        size=size,
    )


def standard_error(metric: Metric, statistics: Array, clusters: Sequence[str]) -> float:
    """Return the jackknife's standard error of (n, k) statistics, NaN for a single unit. clusters: as in `tabled`."""
    _, table = tabled(statistics, clusters)
    if len(table) < 2:
        return math.nan
    return math.sqrt(noise(deviations(metric, table), metric.weights(table[:, :-1], table[:, -1])).variance)


def pooled(parts: Sequence[Noise]) -> Noise:
    """Combine the noise of independent samples in a sum of values; degrees of freedom are Satterthwaite's (1946)."""
    variance = sum(part.variance for part in parts)
    spent = sum(part.variance**2 / part.freedom for part in parts)
    return Noise(
        variance=variance,
        third=sum(part.third for part in parts),
        freedom=variance**2 / spent if spent > 0 else sum(part.freedom for part in parts),
        size=sum(part.size for part in parts),
    )


def bounds(value: float, spread: Noise, *, least: float, most: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of a value between `least` and `most`, which may be infinite; NaN without a usable error."""
    error = math.sqrt(spread.variance) if spread.variance >= 0 else math.nan
    if math.isinf(least) or math.isinf(most):
        return _open(value, error, spread, least=least, level=level)
    span = most - least
    share = (value - least) / span
    if not 0.0 < share < 1.0 or error <= _ROUNDING * span:
        low, high = binomial(min(1.0, max(0.0, share)), size=spread.size, level=level)
    else:
        middle = math.log(share / (1.0 - share))
        reach = student(spread.freedom, level=level) * error / span / (share * (1.0 - share))
        low, high = _expit(middle - reach), _expit(middle + reach)
    return min(value, least + span * low), max(value, least + span * high)


def _open(value: float, error: float, spread: Noise, *, least: float, level: float) -> tuple[float, float]:
    """Return the interval of a value without an upper end, wider on the side to which the units are skewed."""
    if not error > _ROUNDING * abs(value):  # without a spread, or with NaN, there is nothing to go by
        return math.nan, math.nan
    t = student(spread.freedom, level=level)
    steps = [-t, t, *_unskewed(t, spread.third / error**3)]
    low, high = min(steps) * error, max(steps) * error
    if math.isinf(least):
        return value + low, value + high
    height = value - least
    if height <= 0:
        return math.nan, math.nan
    with np.errstate(over="ignore"):
        return least + height * math.exp(low / height), float(least + height * np.exp(high / height))


def _unskewed(t: float, skewness: float) -> tuple[float, float]:
    """Return how many standard errors Hall's transformation (1992) puts the ends of a skewed t interval away."""
    if abs(skewness) < 1e-6:
        return -t, t
    low, high = (float(3.0 / skewness * (np.cbrt(1.0 + skewness * (x - skewness / 6.0)) - 1.0)) for x in (t, -t))
    return -low, -high


def student(freedom: float, *, level: float = LEVEL) -> float:
    """Return the quantile of Student's t that a two-sided interval at `level` reaches to."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2.0))


@lru_cache(maxsize=1024)  # metrics often agree on a share, and controls and baselines with them
def binomial(share: float, *, size: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the mid-p interval of a share of `size` independent trials (Lancaster 1961); `size` may be fractional.

    Wilson's covers a share of 0.02 in 85 of 100 samples of eight; Clopper and Pearson's is wider than necessary.
    """
    from scipy.special import betainc

    right, wrong, tail = share * size, (1.0 - share) * size, (1.0 - level) / 2.0

    def above(p: float) -> float:
        """Return the probability of more than was observed, and half that of exactly as many."""
        reached = betainc(right, wrong + 1.0, p) if right > 0 else 1.0
        exceeded = betainc(right + 1.0, wrong, p) if wrong > 0 else 0.0
        return float(reached + exceeded) / 2.0

    low = crossing(lambda p: above(p) < tail, 0.0, 1.0, steps=_STEPS) if right > 0 else 0.0
    high = crossing(lambda p: above(p) < 1.0 - tail, 0.0, 1.0, steps=_STEPS) if wrong > 0 else 1.0
    return min(low, share), max(high, share)


def _expit(x: float) -> float:
    """Return the share whose logit is x."""
    return 1.0 / (1.0 + math.exp(-x)) if abs(x) < _FAR else float(x > 0)


def _order(rows: Array) -> NDArray[np.intp]:
    """Return the order that sorts rows by their first column, then by their second, and so on."""
    return np.lexsort(rows.T[::-1])


def _counted(statistics: Array) -> Array:
    """Append a one, the document itself, to each row of (n, k) statistics."""
    assert statistics.ndim == 2, f"statistics must be (n, k), got {statistics.shape}"
    return np.column_stack([statistics, np.ones(len(statistics))])


def score_sums(metric: Metric, sums: Array) -> Array:
    """Score (..., k + 1) rows of summed statistics and document counts."""
    return metric.aggregate(sums[..., :-1], sums[..., -1])
