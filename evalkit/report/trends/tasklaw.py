"""The two-step task law: size -> task loss -> accuracy (Bhagia et al. 2024, arXiv:2412.04403, section 3).

Step one is a law of the loss (scaling.py); step two, here, a sigmoid from loss to accuracy over all checkpoints:

    value = floor + a / (1 + exp(k (L - L0)))

The floor is what guessing gets and is not fitted; a, k and L0 are, by least squares, with floor + a <= ceiling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import DataError
from evalkit.report.trends.scaling import Law, evaluate, warning
from evalkit.stats.resampling import percentile_interval, with_replacement

Array = NDArray[np.float64]

_NAMES = ("a", "k", "L0")


@dataclass(frozen=True, kw_only=True)
class TaskLaw:
    """A fitted sigmoid. values, low, high: of a, k and L0, with their bootstrap intervals at `level`.

    scatter: standard deviation of the points about the curve, in the unit of the values.
    """

    floor: float
    values: tuple[float, float, float]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    level: float
    points: int
    scatter: float
    warning: str
    replicates: Array = field(repr=False, compare=False)

    form = "value = floor + a / (1 + exp(k (L - L0)))"
    names = _NAMES

    @property
    def parameters(self) -> int:
        """Return how many constants were fitted."""
        return len(_NAMES)

    def predict(self, loss: float | Sequence[float] | Array) -> Array:
        """Return the values at losses."""
        return _sigmoid(np.asarray(self.values), np.asarray(loss, dtype=np.float64), self.floor)

    def band(self, loss: float | Sequence[float] | Array) -> tuple[Array, Array]:
        """Return the interval of the curve at `level`; NaN where there were no refits."""
        at = np.asarray(loss, dtype=np.float64)
        curves = np.array([_sigmoid(theta, at, self.floor) for theta in self.replicates])
        return percentile_interval(curves.reshape(-1, *at.shape), level=self.level)

    def chain(self, law: Law, *x: float | Sequence[float] | Array) -> tuple[Array, Array, Array]:
        """Return value, low and high at sizes, through a law of the same loss; both steps' refits are in the interval.

        The two steps were fitted apart, so each refit of one is paired with a refit of the other.
        """
        value = self.predict(law.predict(*x))
        count = min(len(self.replicates), len(law.replicates))
        losses = evaluate(law.replicates[:count], x)
        pairs = zip(self.replicates[:count], losses, strict=True)
        curves = np.array([_sigmoid(theta, loss, self.floor) for theta, loss in pairs])
        low, high = percentile_interval(curves.reshape(-1, *value.shape), level=self.level)
        return value, low, high


def task_law(
    loss: Sequence[float],
    value: Sequence[float],
    *,
    floor: float,
    ceiling: float,
    refits: int = 200,
    level: float = 0.9,
    seed: int = 0,
) -> TaskLaw:
    """Fit values (accuracy in percent, say) against a loss. Raises DataError for fewer than 4 points.

    Points resampled with replacement make the interval; neighbouring checkpoints of one training are not independent,
    so with many of them it is too narrow.
    """
    x, y = np.asarray(loss, dtype=np.float64), np.asarray(value, dtype=np.float64)
    if len(x) != len(y) or len(x) < 4 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError(f"a task law needs at least 4 finite pairs of loss and value, not {len(x)} and {len(y)}")
    if np.ptp(x) == 0 or not ceiling > floor:
        raise DataError("a task law needs losses that differ, and a ceiling above the floor")
    best = min((_descend(x, y, start, floor, ceiling) for start in _starts(x, y, floor)), key=lambda end: end[0])
    refitted = [
        _descend(x[drawn], y[drawn], best[1], floor, ceiling)[1]
        for drawn in with_replacement(len(x), resamples=refits, seed=seed)
        if len(set(x[drawn].tolist())) > len(_NAMES)  # fewer different points do not make a curve
    ]
    replicates = np.array(refitted).reshape(-1, len(_NAMES))
    low, high = percentile_interval(replicates, level=level)
    return TaskLaw(
        floor=floor,
        values=_triple(best[1]),
        low=_triple(low),
        high=_triple(high),
        level=level,
        points=len(x),
        scatter=math.sqrt(2 * best[0] / max(1, len(x) - len(_NAMES))),
        warning=warning(len(set(x.tolist())), len(_NAMES)),
        replicates=replicates,
    )


def _triple(values: Array) -> tuple[float, float, float]:
    a, k, middle = map(float, values)
    return a, k, middle


def _sigmoid(theta: Array, loss: Array, floor: float) -> Array:
    return np.asarray(floor + theta[0] / (1 + np.exp(np.clip(theta[1] * (loss - theta[2]), -50, 50))))


def _starts(x: Array, y: Array, floor: float) -> list[Array]:
    """Return starts: the height seen so far and twice that, its middle at three losses, steep and gentle."""
    height, width = max(float(y.max()) - floor, 1e-6), float(np.ptp(x))
    middles = np.quantile(x, [0.1, 0.5, 0.9])
    return [np.array([h, k / width, m]) for h in (height, 2 * height) for k in (3.0, 12.0) for m in middles]


def _descend(x: Array, y: Array, start: Array, floor: float, ceiling: float) -> tuple[float, Array]:
    """Return half the sum of squares that least squares reaches from a start, and where."""
    from scipy.optimize import least_squares

    limit = ceiling - floor

    def jacobian(theta: Array) -> Array:
        share = 1 / (1 + np.exp(np.clip(theta[1] * (x - theta[2]), -50, 50)))
        steep = theta[0] * share * (1 - share)
        return np.stack([share, -steep * (x - theta[2]), steep * theta[1]], axis=1)

    start = np.clip(start, [limit * 1e-9, 1e-9, -np.inf], [limit * (1 - 1e-9), np.inf, np.inf])
    bounds = ([0, 0, -np.inf], [limit, np.inf, np.inf])
    solution = least_squares(
        lambda theta: _sigmoid(theta, x, floor) - y, start, jac=jacobian, bounds=bounds, x_scale="jac", max_nfev=200
    )
    return float(solution.cost), np.asarray(solution.x)
