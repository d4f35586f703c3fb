"""The mean gain of scores between two ends: a test and an interval that allow for what a sample has not shown.

Where a hundred documents did not change, 3.6% of all others may change. Gaffke's bound knows that: one more unit, which
loses everything, joins the sample, every unit gets an exponential weight, and p is the chance that the weighted mean is
as low as the hypothesis says (Gaffke 2005, Mathematical Methods of Statistics 14; Learned-Miller and Thomas 2019,
arXiv:1905.06208, section 3). For scores of 0 and 1 it is Clopper and Pearson's. No distribution is known in which it
errs more often than its level says, and where nothing is rare it is about as narrow as Student's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from evalkit.metrics.base import Array
from evalkit.stats.bisection import crossing

_STEPS = 30  # of a bisection for a bound: to 1e-9 of the range
_DOUBLINGS = 40.0  # of the units, at most, that `copies` looks for
_NEWTON = 60  # steps to the saddlepoint at most; five to ten are usual
_ROUNDING = 1e-10  # of the saddlepoint, in standard deviations
# That close to the mean, the saddlepoint's formula is 0/0, and its limit takes its place.
_CLOSE = 1e-2


@dataclass(frozen=True, kw_only=True)
class Gains:
    """What (m,) units gained.

    sizes: how much each unit weighs in the mean. values: the sums of what they gained; a unit of size 1 can gain from
    least to most.
    """

    values: Array
    sizes: Array
    least: float = -1.0
    most: float = 1.0

    @property
    def mean(self) -> float:
        """The mean gain of size 1."""
        return float(self.values.sum() / self.sizes.sum())

    @property
    def losses(self) -> Gains:
        """The same with the sign turned."""
        return Gains(values=-self.values, sizes=self.sizes, least=-self.most, most=-self.least)


def tail(gains: Gains, mean: float, *, copies: float = 1.0) -> float:
    """Return the one-sided p of a true mean gain of `mean` or less. copies: how often each unit was seen."""
    worst = (gains.least - mean) * float(gains.sizes.max())
    return _at_most_zero(gains.values - mean * gains.sizes, worst, copies)


def interval(gains: Gains, *, level: float) -> tuple[float, float]:
    """Return the two-sided interval of the mean gain."""
    error = (1.0 - level) / 2.0
    return _low(gains, error), -_low(gains.losses, error)


def _low(gains: Gains, error: float) -> float:
    """Return the lowest mean gain with a tail above an error."""
    return crossing(lambda mean: tail(gains, mean) <= error, gains.least, gains.mean, steps=_STEPS)


def beyond(gains: Gains, margin: float) -> float:
    """Return the p of a true mean gain of `margin` or more to either side: two one-sided tests (Schuirmann 1987)."""
    return max(tail(side, -margin) for side in (gains, gains.losses))


def copies_needed(gains: Gains, margin: float, *, level: float) -> float:
    """Return how often each unit must be seen for `beyond` to reach a level; the observed mean is within the margin."""

    def above(doublings: float) -> bool:
        return max(tail(side, -margin, copies=2.0**doublings) for side in (gains, gains.losses)) > level

    return float(2.0 ** crossing(above, -_DOUBLINGS, _DOUBLINGS, steps=_STEPS))


def _at_most_zero(rest: Array, worst: float, copies: float) -> float:
    """Return the chance that the sum of (m,) coefficients and `worst`, with exponential weights, is 0 or less.

    copies: of each coefficient, every one with a weight of its own. By the saddlepoint (Lugannani and Rice 1980,
    Advances in Applied Probability 12), within one or two percent of a chance.
    """
    from scipy.special import ndtr

    least, most = min(worst, float(rest.min())), float(rest.max())
    if least >= 0.0 or most <= 0.0:
        return float(least < 0.0)
    point = _saddlepoint(rest, worst, copies, low=1.0 / least, high=1.0 / most)
    left, end = 1.0 - point * rest, 1.0 - point * worst
    ratios, ratio = rest / left, worst / end
    deviation = math.sqrt(copies * float((ratios**2).sum()) + ratio**2)
    exponent = copies * float(np.log(left).sum()) + math.log(end)
    root = math.copysign(math.sqrt(max(0.0, 2.0 * exponent)), point)
    if abs(root) < _CLOSE:
        skewness = 2.0 * (copies * float((ratios**3).sum()) + ratio**3) / deviation**3
        return 0.5 + skewness / (6.0 * math.sqrt(2.0 * math.pi))
    density = math.exp(-0.5 * root * root) / math.sqrt(2.0 * math.pi)
    return min(1.0, max(0.0, float(ndtr(root)) + density * (1.0 / root - 1.0 / (point * deviation))))


def _saddlepoint(rest: Array, worst: float, copies: float, *, low: float, high: float) -> float:
    """Return where the sum's cumulant function has no slope, between two poles: Newton's method, kept inside."""
    point = 0.0
    for _ in range(_NEWTON):
        ratios, ratio = rest / (1.0 - point * rest), worst / (1.0 - point * worst)
        slope, curvature = copies * float(ratios.sum()) + ratio, copies * float((ratios**2).sum()) + ratio**2
        low, high = (point, high) if slope < 0.0 else (low, point)
        step = slope / curvature
        if abs(step) * math.sqrt(curvature) < _ROUNDING:
            break
        point = point - step if low < point - step < high else (low + high) / 2.0
    return point
