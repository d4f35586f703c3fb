"""Is a trend real? One verdict per series, with the two tests behind it.

1. Kendall's tau of value against size, with its exact permutation p: no assumption on the shape of the curve.
2. The slope per tenfold size, by weighted least squares, with a 95% Student interval. The weights are the points' own
   intervals; where the points scatter more than their intervals explain, the interval widens by that factor (Birge).

trend            both: the slope's interval excludes 0, and p <= P_LIMIT. Falling: ability shrinks with size.
saturated        the two largest sizes have come SATURATED of the way from chance to the ceiling, and do not differ.
flat             no trend, and the slope's interval lies within +-FLAT of the range per tenfold size.
too noisy        no trend, and the interval is wider than that: inconclusive.
too few sizes    fewer than MIN_SIZES: no order of 3 sizes has a p below 1/3.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.report.measurements import Measurement, Series
from evalkit.stats.resampling import monte_carlo_p

Array = NDArray[np.float64]
Kind = Literal["trend", "flat", "saturated", "too noisy", "too few sizes"]

P_LIMIT = 0.10  # the p of 5 sizes with one neighbouring pair in the wrong order is 0.083
LEVEL = 0.95  # of the slope's interval: the stricter of the two tests
FLAT = 0.05  # of the range from chance to ceiling, per tenfold size; of metrics without a ceiling: of the value
SATURATED = 0.95
MIN_SIZES = 4
_DRAWS = 20_000  # permutations where sizes repeat (seeds); their standard error at p = 0.1 is 0.002


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A verdict and its evidence.

    tau, p: Kendall's; a positive tau means that ability grows. exact: p is over all permutations.
    slope, low, high: of the value per tenfold size, in the metric's shown unit; with `logarithmic`, of its natural
    logarithm (metrics without a ceiling where lower is better). above_chance: points whose interval lies above chance.
    """

    kind: Kind
    falling: bool
    sizes: int
    tau: float
    p: float
    exact: bool
    slope: float
    low: float
    high: float
    logarithmic: bool
    above_chance: int | None
    points: int

    @property
    def label(self) -> str:
        """The verdict in words: the kind, and whether ability falls with size."""
        return f"{self.kind} (falling)" if self.falling else self.kind

    @property
    def reason(self) -> str:
        """The tests in one line."""
        if math.isnan(self.slope):
            return f"{self.sizes} sizes"
        unit = "in ln(value)" if self.logarithmic else "points"
        text = f"Kendall's tau {self.tau:+.2f}, p {self.p:.2g} ({'exact' if self.exact else 'sampled'}); "
        text += f"slope {self.slope:+.2f} [{self.low:+.2f}, {self.high:+.2f}] {unit} per tenfold size"
        if self.above_chance is not None:
            text += f"; {self.above_chance} of {self.points} points above chance"
        return text


def judge(series: Series) -> Verdict:
    """Return the verdict on a series."""
    points = series.points
    size = np.array([math.log10(m.model.parameters or 1) for m in points])
    sizes, logarithmic = len(set(size.tolist())), is_logarithmic(points)
    sign = 1 if points[0].higher_is_better else -1
    value = np.array([m.value for m in points])
    stderr = np.array([m.stderr for m in points])
    if logarithmic:
        value, stderr = np.log(value), stderr / value
    chance = points[0].chance
    above = None
    if chance is not None and all(math.isfinite(m.low) for m in points) and points[0].higher_is_better:
        above = sum(m.low > chance for m in points)
    tau, p, exact = kendall(size, sign * value)
    slope, low, high = _slope(size, value, stderr)
    real = not math.isnan(slope) and p <= P_LIMIT and (low > 0 or high < 0) and tau * sign * slope > 0
    return Verdict(
        kind=_kind(points, sizes, real, low, high, _range(points, logarithmic)),
        falling=real and sizes >= MIN_SIZES and sign * slope < 0,
        sizes=sizes,
        tau=tau,
        p=p,
        exact=exact,
        slope=slope,
        low=low,
        high=high,
        logarithmic=logarithmic,
        above_chance=above,
        points=len(points),
    )


def _kind(points: Sequence[Measurement], sizes: int, real: bool, low: float, high: float, full_range: float) -> Kind:
    if sizes < MIN_SIZES:
        return "too few sizes"
    if _is_saturated(points):
        return "saturated"
    if real:
        return "trend"
    identical = len({m.value for m in points}) == 1  # the same documents, answered alike: no noise between the sizes
    return "flat" if identical or max(-low, high) <= FLAT * full_range else "too noisy"


def is_logarithmic(points: Sequence[Measurement]) -> bool:
    """Whether equal ratios are equal steps: perplexities and bits."""
    first = points[0]
    return first.ceiling is None and not first.higher_is_better and all(m.value > 0 for m in points)


def _range(points: Sequence[Measurement], logarithmic: bool) -> float:
    """Return what FLAT is a share of, in the unit of the slope."""
    first = points[0]
    if logarithmic:
        return 1.0
    if first.ceiling is not None:
        return abs(first.ceiling - (first.chance or 0.0))
    return max(abs(m.value) for m in points)


def _is_saturated(points: Sequence[Measurement]) -> bool:
    """Whether the two largest sizes are close to the ceiling and within each other's noise."""
    below, top = points[-2:]
    if top.ceiling is None or not top.higher_is_better:
        return False
    floor = top.chance or 0.0
    noise = 1.96 * math.hypot(*(0.0 if math.isnan(m.stderr) else m.stderr for m in (below, top)))
    near = all((m.value - floor) / (top.ceiling - floor) >= SATURATED for m in (below, top))
    return near and abs(top.value - below.value) <= max(noise, (1 - SATURATED) * (top.ceiling - floor))


def _slope(size: Array, value: Array, stderr: Array) -> tuple[float, float, float]:
    """Return the slope of value against size and its interval at LEVEL; NaN for fewer than three points or one size."""
    from scipy.stats import t as student

    n = len(size)
    if n < 3 or np.ptp(size) == 0:
        return math.nan, math.nan, math.nan
    weighted = bool(np.isfinite(stderr).all() and (stderr > 0).all())
    weight = 1 / stderr**2 if weighted else np.ones(n)
    center = weight @ size / weight.sum()
    spread = float(weight @ (size - center) ** 2)
    slope = float(weight @ ((size - center) * value) / spread)
    residual = value - weight @ value / weight.sum() - slope * (size - center)
    scatter = float(weight @ residual**2 / (n - 2))
    # Known errors are never shrunk: points that happen to lie close to the line say little.
    margin = float(student.ppf((1 + LEVEL) / 2, n - 2)) * math.sqrt(
        (max(1.0, scatter) if weighted else scatter) / spread
    )
    return slope, slope - margin, slope + margin


def kendall(x: Array, y: Array) -> tuple[float, float, bool]:
    """Return Kendall's tau-b, its two-sided permutation p, and whether p is exact.

    Exact where no x repeats, ties in y included: S counts inversions, and those of the permutations of a multiset
    are distributed as the Gaussian multinomial coefficient (MacMahon 1915). Otherwise sampled, with a fixed seed.
    """
    dx, dy = (np.sign(v[:, None] - v[None, :])[np.triu_indices(len(v), 1)] for v in (x, y))
    score = float(dx @ dy)
    scale = math.sqrt(float(np.abs(dx).sum()) * float(np.abs(dy).sum()))
    if not scale:
        return 0.0, 1.0, True
    if len(set(x.tolist())) == len(x):
        ties = list(Counter(y.tolist()).values())
        ways = _inversions(len(x), ties)
        pairs = len(ways) - 1
        extreme = sum(count for k, count in enumerate(ways) if abs(pairs - 2 * k) >= abs(score))
        return score / scale, extreme / sum(ways), True
    rng, pairs_at = np.random.default_rng(0), np.triu_indices(len(y), 1)
    drawn = rng.permuted(np.tile(y, (_DRAWS, 1)), axis=1)
    scores = np.sign(drawn[:, pairs_at[0]] - drawn[:, pairs_at[1]]) @ dx
    return score / scale, monte_carlo_p(int((np.abs(scores) >= abs(score)).sum()), resamples=_DRAWS), False


def _inversions(n: int, ties: Sequence[int]) -> list[int]:
    """Return how many orders of n values, with these group sizes of equal ones, have 0, 1, 2, ... inversions.

    >>> _inversions(3, [1, 1, 1]), _inversions(3, [2, 1])
    ([1, 2, 2, 1], [1, 1, 1])
    """
    ways = [1]
    for k in range(2, n + 1):  # times 1 + q + ... + q^(k-1)
        ways = [sum(ways[max(0, i - k + 1) : i + 1]) for i in range(len(ways) + k - 1)]
    for k in (k for group in ties for k in range(2, group + 1)):  # divided by the same, which leaves no remainder
        quotient: list[int] = []
        for i in range(len(ways) - k + 1):
            quotient.append(ways[i] - sum(quotient[max(0, i - k + 1) : i]))
        ways = quotient
    return ways
