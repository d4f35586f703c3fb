"""One metric of one system on two sets of different documents: the difference, its interval and its p.

The sets share no unit, so nothing is paired: shares of right answers get Fisher's exact test (1935), everything else
Welch's t (1947) with the jackknife's errors. The interval combines those of the two values (Newcombe 1998, method 10;
for any metric Zou and Donner 2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.metrics.base import Array, Metric
from evalkit.stats.intervals import LEVEL, Interval, Noise, estimate, interval, noise, pooled, tabled

# With fewer units than this on a side, the jackknife's error is too uncertain for Welch's t.
LEAST_UNITS = 3

# Probabilities of equally likely tables differ by about this share.
_ROUNDING = 1e-7


@dataclass(frozen=True, kw_only=True)
class Difference:
    """first - second in the metric's own units, with its interval and two-sided p; NaN where a side has too few."""

    first: Interval
    second: Interval
    low: float
    high: float
    p: float
    method: str

    @property
    def size(self) -> float:
        """Return first - second."""
        return self.first.value - self.second.value


def difference(
    metric: Metric, first: tuple[Array, Sequence[str]], second: tuple[Array, Sequence[str]], *, level: float = LEVEL
) -> Difference:
    """Compare a metric on two sets, each (n, k) statistics and the name of each row's unit ("": a unit of its own)."""
    ours, theirs = (interval(metric, table, units, level=level) for table, units in (first, second))
    low, high = combined(ours, theirs)
    if metric.binary and all(len(table) == each.units for (table, _), each in ((first, ours), (second, theirs))):
        counts = [(int(table[:, 0].sum()), len(table)) for table, _ in (first, second)]
        p, method = (fisher(*counts), "Fisher") if all(n for _, n in counts) else (math.nan, "too few")
    else:
        p, method = _welch(metric, first, second, ours.value - theirs.value)
    return Difference(first=ours, second=theirs, low=low, high=high, p=p, method=method)


def combined(first: Interval, second: Interval) -> tuple[float, float]:
    """Return the interval of first - second from the intervals of both; NaN where one has none."""
    size = first.value - second.value
    return (
        size - math.hypot(first.value - first.low, second.high - second.value),
        size + math.hypot(first.high - first.value, second.value - second.low),
    )


def fisher(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Return the two-sided p that both (right, of) have one share: of tables at most as likely as the observed one."""
    from scipy.special import gammaln

    (a, n), (b, m) = first, second
    right = a + b
    x = np.arange(max(0, right - m), min(n, right) + 1)
    logs = -(gammaln(x + 1) + gammaln(n - x + 1) + gammaln(right - x + 1) + gammaln(m - right + x + 1))
    weights = np.exp(logs - logs.max())
    observed = weights[a - x[0]]
    return float(min(1.0, weights[weights <= observed * (1.0 + _ROUNDING)].sum() / weights.sum()))


def _welch(
    metric: Metric, first: tuple[Array, Sequence[str]], second: tuple[Array, Sequence[str]], size: float
) -> tuple[float, str]:
    """Return the two-sided p of Welch's t, and the test's name."""
    from scipy.special import stdtr

    parts = [_noise(metric, *side) for side in (first, second)]
    if any(part is None for part in parts) or not math.isfinite(size):
        return math.nan, "too few"
    spread = pooled([part for part in parts if part is not None])
    if not spread.variance > 0:
        return math.nan, "no spread"
    return float(2.0 * stdtr(spread.freedom, -abs(size) / math.sqrt(spread.variance))), "Welch"


def _noise(metric: Metric, statistics: Array, units: Sequence[str]) -> Noise | None:
    """Return the noise of a value; None for too few units."""
    table = tabled(statistics, [unit or f"\0{i}" for i, unit in enumerate(units)])[1]
    if len(table) < max(LEAST_UNITS, metric.fewest):
        return None
    _, changes = estimate(metric, table)
    return noise(changes, metric.weights(table[:, :-1], table[:, -1]))
