"""Scaling laws of the loss: a power law with irreducible loss in one quantity, and Chinchilla's L(N, D).

Both are sums of power laws, fitted in the log-sum-exp form of Hoffmann et al. 2022 (arXiv:2203.15556), Approach 3:

    log L = LSE(e, a_1 - alpha_1 log x_1, ..., a_m - alpha_m log x_m),   E = exp(e), A_i = exp(a_i)

m is the number of quantities, n of points. Intervals come from refits (Law.method says of what). Where every loss has
a standard error, a point weighs by it and by the scatter about the law, and no refit scatters it by less.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import DataError
from evalkit.stats.resampling import counts_with_replacement, percentile_interval

Array = NDArray[np.float64]

DELTA = 1e-3  # of the Huber loss, Hoffmann et al. 2022, section 3.3; no loss is assumed to lie closer to a law
FEW = 20  # below this many points, refits simulate residuals: resampling 5 points mostly draws duplicates

# The grid of starts of Hoffmann et al. 2022, appendix D.3, in this file's order.
_E = (-1.0, -0.5, 0.0, 0.5, 1.0)
_A = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
_ALPHA = (0.0, 0.5, 1.0, 1.5, 2.0)
_STARTS = 8  # optimised by L-BFGS: those of the grid with the lowest objective
_STEPS = 200  # of a refit at most
_NO_FALL = 1e-4  # of the loss, from the smallest to the largest: flat


@dataclass(frozen=True, kw_only=True)
class Law:
    """A fitted law of the loss.

    form: the formula. names, values: its constants. low, high: their interval at `level`, NaN where there is none.
    points: how many were fitted; sizes: how many different ones among them. residuals: measured over fitted - 1.
    replicates: constants of every refit, (refits, constants). warning: why the curve is not to be trusted, or empty.
    flat: the warning that the loss does not fall, or by no more than it scatters, so that the power means nothing.
    """

    form: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    level: float
    points: int
    sizes: int
    method: str
    warning: str
    residuals: tuple[float, ...] = field(repr=False)
    replicates: Array = field(repr=False, compare=False)
    flat: str = ""

    @property
    def parameters(self) -> int:
        """Return how many constants were fitted."""
        return len(self.names)

    def __getitem__(self, name: str) -> float:
        return self.values[self.names.index(name)]

    def interval(self, name: str) -> tuple[float, float]:
        """Return a constant's interval at `level`."""
        i = self.names.index(name)
        return self.low[i], self.high[i]

    def predict(self, *x: float | Sequence[float] | Array) -> Array:
        """Return the loss at quantities in the order of the form (N; or N and D)."""
        return np.asarray(evaluate(np.asarray(self.values)[None], x)[0])

    def band(self, *x: float | Sequence[float] | Array) -> tuple[Array, Array]:
        """Return the interval of the curve at `level`, from the refits; NaN where there are none."""
        return percentile_interval(evaluate(self.replicates, x), level=self.level)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A prediction of what was left out of a fit. error: predicted - actual; low, high: the curve's interval."""

    x: tuple[float, ...]
    predicted: float
    actual: float
    low: float
    high: float
    points: int
    parameters: int
    warning: str

    @property
    def error(self) -> float:
        """The signed error, in the loss's own unit."""
        return self.predicted - self.actual

    @property
    def relative(self) -> float:
        """The signed error as a share of the actual loss."""
        return self.error / self.actual


def power_law(
    x: Sequence[float],
    loss: Sequence[float],
    *,
    stderr: Sequence[float] | None = None,
    symbol: str = "N",
    refits: int = 400,
    level: float = 0.9,
    seed: int = 0,
) -> Law:
    """Fit L = E + A x^-alpha; x is N, D or C (`symbol`). stderr: of each loss, in its unit.

    Raises DataError for fewer than 3 points or values that are not above 0.
    """
    names = ("E", "A", "alpha")
    return _fit([x], loss, stderr, symbols=[symbol], names=names, refits=refits, level=level, seed=seed)


def chinchilla(
    parameters: Sequence[float],
    tokens: Sequence[float],
    loss: Sequence[float],
    *,
    stderr: Sequence[float] | None = None,
    refits: int = 400,
    level: float = 0.9,
    seed: int = 0,
) -> Law:
    """Fit L = E + A N^-alpha + B D^-beta (Hoffmann et al. 2022, equation 10).

    The objective is the sum, not the mean, of the Huber losses, and the constants are not rounded (Besiroglu et al.
    2024, arXiv:2404.10102). Raises DataError for fewer than 5 points or values that are not above 0.
    """
    names = ("E", "A", "alpha", "B", "beta")
    columns = [parameters, tokens]
    return _fit(columns, loss, stderr, symbols=["N", "D"], names=names, refits=refits, level=level, seed=seed)


def leave_largest_out(x: Sequence[Sequence[float]], loss: Sequence[float], *, refits: int = 200) -> list[LeftOut]:
    """Fit without the points of the largest first quantity, and predict them.

    x: one sequence (power law), or two (Chinchilla's N and D). Raises DataError where too few points remain.
    """
    largest = max(x[0])
    fitted = [i for i, size in enumerate(x[0]) if size < largest]
    columns, fitted_loss = [[column[i] for i in fitted] for column in x], [loss[i] for i in fitted]
    n, *d = columns
    law = chinchilla(n, d[0], fitted_loss, refits=refits) if d else power_law(n, fitted_loss, refits=refits)
    predictions = []
    for i in sorted(set(range(len(loss))) - set(fitted)):
        at = tuple(float(column[i]) for column in x)
        low, high = law.band(*at)
        predicted = float(law.predict(*at))
        predictions.append(
            LeftOut(
                x=at, predicted=predicted, actual=float(loss[i]), low=float(low), high=float(high),
                points=law.points, parameters=law.parameters, warning=law.warning,
            )
        )  # fmt: skip
    return predictions


def _fit(
    x: Sequence[Sequence[float]],
    loss: Sequence[float],
    stderr: Sequence[float] | None,
    *,
    symbols: Sequence[str],
    names: tuple[str, ...],
    refits: int,
    level: float,
    seed: int,
) -> Law:
    columns = np.asarray(x, dtype=np.float64)
    measured = np.asarray(loss, dtype=np.float64)
    if columns.shape[1] != len(measured) or len(measured) < len(names):
        raise DataError(f"a law of {len(names)} constants needs at least {len(names)} points, not {len(measured)}")
    if not (
        np.isfinite(columns).all() and np.isfinite(measured).all() and (columns > 0).all() and (measured > 0).all()
    ):
        raise DataError("a scaling law needs sizes and losses that are finite and above 0")
    errors = None if stderr is None else np.asarray(stderr, dtype=np.float64) / measured
    if errors is not None and (errors.shape != measured.shape or not (np.isfinite(errors) & (errors >= 0)).all()):
        raise DataError("standard errors of losses are finite numbers of at least 0, one for each loss")
    problem = _Problem(columns, measured)
    best = problem.solve()
    if errors is not None:
        problem = problem.weighted(best, errors)
        best = problem.solve()
    replicates, method = problem.refit(best, refits, np.random.default_rng(seed))
    low, high = percentile_interval(replicates, level=level)
    sizes = len({tuple(point) for point in columns.T})
    values = problem.constants(best)
    residuals = measured / evaluate(values[None], list(columns))[0] - 1
    flat = _flat(columns, values, residuals, symbols)
    powers = (f"{a} {s}^-{p}" for a, s, p in zip(names[1::2], symbols, names[2::2], strict=True))
    return Law(
        form=" + ".join(["L = E", *powers]),
        names=names,
        values=tuple(map(float, values)),
        low=tuple(map(float, low)),
        high=tuple(map(float, high)),
        level=level,
        points=len(measured),
        sizes=sizes,
        method=method,
        warning="; ".join(filter(None, (flat, warning(sizes, len(names))))),
        residuals=tuple(map(float, residuals)),
        replicates=replicates,
        flat=flat,
    )  # fmt: skip


def _flat(columns: Array, values: Array, residuals: Array, symbols: Sequence[str]) -> str:
    """Return in which quantities the loss does not fall, or by no more than its scatter; empty if it falls in all."""
    scatter = float(np.sqrt((residuals**2).mean()))
    ends = zip(columns, values[1::2], values[2::2], strict=True)
    terms = np.array([[a * column.min() ** -alpha, a * column.max() ** -alpha] for column, a, alpha in ends])
    falls = (terms[:, 0] - terms[:, 1]) / (values[0] + terms[:, 1].sum())
    warnings = []
    for symbol, fall in zip(symbols, falls, strict=True):
        if fall < _NO_FALL:
            warnings.append(f"the loss does not fall with {symbol}: the power says nothing about other sizes")
        elif fall < 2 * scatter:
            warnings.append(
                f"the loss falls by {fall:.1%} with {symbol} and scatters by {scatter:.1%}: the power is chance"
            )
    return "; ".join(warnings)


def warning(sizes: int, parameters: int) -> str:
    """Return why a curve through so few points is not to be trusted; empty where they are enough."""
    if sizes <= parameters:
        return f"{sizes} sizes and {parameters} constants: the curve can pass through every point and proves nothing"
    if sizes <= parameters + 2:
        return f"only {sizes} sizes for {parameters} constants"
    return ""


def evaluate(constants: Array, x: Sequence[float | Sequence[float] | Array]) -> Array:
    """Return losses (laws, ...) of constants (laws, 1 + 2 m) at m broadcastable quantities."""
    columns = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in x))
    shaped = constants.T.reshape(constants.shape[1], -1, *[1] * columns[0].ndim)
    total = np.broadcast_to(shaped[0], (len(constants), *columns[0].shape)).copy()
    for i, column in enumerate(columns):
        total += shaped[1 + 2 * i] * column ** -shaped[2 + 2 * i]
    return total


class _Problem:
    """The points of a fit. Unknowns theta: e, then for each quantity a (where log x is at its mean) and alpha.

    Centring log x removes the strong correlation of a and alpha, which would cost L-BFGS many steps.
    """

    def __init__(self, columns: Array, loss: Array, *, errors: Array | None = None, delta: float = DELTA):
        """Take n points. errors: the scatter of each loss about a law, over the loss; None: the same for all."""
        self.columns, self.loss, self.errors, self.delta = columns, loss, errors, delta
        weights = np.ones(len(loss)) if errors is None else errors**-2.0
        self.weights = weights / weights.mean()
        logs = np.log(columns)
        self.centers = logs.mean(axis=1)
        self.logs = logs - self.centers[:, None]
        self.target = np.log(loss)

    def weighted(self, best: Array, errors: Array) -> _Problem:
        """Return the problem with weights by standard errors (n,), over the losses.

        To each variance is added what the points scatter about the curve beyond their errors, so that a law that is
        only roughly true is not drawn to the few points that were measured best.
        """
        scatter = float(((self.target - self.curve(best)[0]) ** 2).mean())
        beyond = max(scatter - float((errors**2).mean()), DELTA**2)
        return _Problem(self.columns, self.loss, errors=np.sqrt(errors**2 + beyond), delta=self.delta)

    def constants(self, theta: Array) -> Array:
        """Return E, A, alpha, ... of theta (..., 1 + 2 m)."""
        constants = np.array(theta, dtype=np.float64)
        constants[..., 1::2] += constants[..., 2::2] * self.centers
        constants[..., 0] = np.exp(constants[..., 0])
        constants[..., 1::2] = np.exp(constants[..., 1::2])
        return constants

    def curve(self, theta: Array) -> tuple[Array, Array]:
        """Return log L, (..., n), and each term's share of L, (..., m + 1, n), at theta (..., 1 + 2 m)."""
        terms = np.empty((*theta.shape[:-1], 1 + len(self.logs), self.logs.shape[1]))
        terms[..., 0, :] = theta[..., :1]
        terms[..., 1:, :] = theta[..., 1::2, None] - theta[..., 2::2, None] * self.logs
        top = terms.max(axis=-2, keepdims=True)
        share = np.exp(terms - top)
        total = share.sum(axis=-2, keepdims=True)
        return (top + np.log(total))[..., 0, :], share / total

    def slopes(self, share: Array) -> Array:
        """Return d log L / d theta, (..., 1 + 2 m, n)."""
        slopes = np.empty((*share.shape[:-2], 1 + 2 * len(self.logs), share.shape[-1]))
        slopes[..., 0, :] = share[..., 0, :]
        slopes[..., 1::2, :] = share[..., 1:, :]
        slopes[..., 2::2, :] = -share[..., 1:, :] * self.logs
        return slopes

    def objective(self, theta: Array) -> tuple[float, Array]:
        """Return the sum of Huber losses over delta^2, and its gradient.

        The factor keeps the optimiser's absolute tolerance from ending it early, as the mean instead of the sum did
        (Besiroglu et al. 2024, section 3).
        """
        fitted, share = self.curve(theta)
        scaled = (fitted - self.target) / self.delta
        return (
            float((self.weights * _huber(scaled)).sum()),
            self.slopes(share) @ (self.weights * np.clip(scaled, -1, 1)) / self.delta,
        )

    def solve(self, starts: int = _STARTS) -> Array:
        """Return the best theta that L-BFGS reaches from the most promising starts of the grid."""
        from scipy.optimize import minimize

        grid = np.array(list(itertools.product(_E, *[_A, _ALPHA] * len(self.logs))))
        grid[:, 1::2] -= grid[:, 2::2] * self.centers
        heights = [
            (self.weights * _huber((self.curve(part)[0] - self.target) / self.delta)).sum(-1)
            for part in np.array_split(grid, 20)
        ]
        order = np.argsort(np.concatenate(heights), kind="stable")[:starts]
        bounds = [(None, None), *[(None, None), (0.0, None)] * len(self.logs)]
        options = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-9, "gtol": 1e-6, "maxcor": 20}
        ends = [
            minimize(self.objective, grid[i], jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            for i in order
        ]
        best = np.asarray(min(ends, key=lambda end: end.fun).x)
        return np.asarray(self.descend(best, self.target[None], np.ones((1, len(self.target))))[0])

    def refit(self, best: Array, refits: int, rng: np.random.Generator) -> tuple[Array, str]:
        """Return the constants of refits, (refits, 1 + 2 m), and what was refitted.

        From FEW points up: points resampled with replacement. Below: the fitted curve and normal residuals, whose
        spread is itself drawn (scaled inverse chi-squared), so that a straight line would get Student's interval.
        """
        n, spare = len(self.target), len(self.target) - len(best)
        if spare < 1 or not refits:
            return np.empty((0, len(best))), "no interval: no point is left over to show the spread"
        if n >= FEW:
            counts = counts_with_replacement(n, resamples=refits, rng=rng)
            return self.constants(self.descend(best, self.target[None], counts)), f"{refits} refits of resampled points"
        # Least squares, unlike Huber's loss, leaves residuals whose degrees of freedom are known.
        squares = _Problem(self.columns, self.loss, errors=self.errors, delta=1e3)
        least = squares.descend(best, squares.target[None], np.ones((1, n)))[0]
        center = self.curve(best)[0]
        spread = math.sqrt((self.weights * (self.target - self.curve(least)[0]) ** 2).sum() / spare)
        drawn = spread * np.sqrt(spare / rng.chisquare(spare, size=(refits, 1))) / np.sqrt(self.weights)
        if self.errors is not None:  # points that happen to lie closer to the curve than their errors say little
            drawn = np.maximum(drawn, self.errors)
        targets = center + drawn * rng.standard_normal((refits, n))
        return self.constants(self.descend(best, targets, np.ones((1, n)))), f"{refits} refits of simulated residuals"

    def descend(self, start: Array, targets: Array, counts: Array) -> Array:
        """Return the minima near `start` of many fits at once, (refits, 1 + 2 m); targets or counts are (refits, n).

        Gauss-Newton with Huber's weights and a damping per fit: L-BFGS would take these one by one, several times
        slower.
        """
        counts = counts * self.weights
        refits, width = max(len(targets), len(counts)), len(start)
        targets, counts = (np.broadcast_to(a, (refits, len(self.target))) for a in (targets, counts))
        theta, damping = np.tile(start, (refits, 1)), np.full(refits, 1e-3)
        height, normal, right = self._normal(theta, targets, counts)
        active = np.arange(refits)
        for _ in range(_STEPS):
            system = normal[active]
            system[:, range(width), range(width)] *= 1 + damping[active, None]
            system[:, range(width), range(width)] += 1e-9
            trial = theta[active] - np.linalg.solve(system, right[active, :, None])[..., 0]
            trial[:, 2::2] = np.maximum(trial[:, 2::2], 0)
            reached, *linear = self._normal(trial, targets[active], counts[active])
            better = reached < height[active]
            gain = np.where(better, height[active] - reached, 0) / height[active]
            improved = active[better]
            theta[improved], height[improved], normal[improved], right[improved] = (
                trial[better], reached[better], linear[0][better], linear[1][better],
            )  # fmt: skip
            damping[active] = np.clip(damping[active] * np.where(better, 1 / 3, 4), 1e-9, 1e9)
            active = active[(gain > 1e-7) | (~better & (damping[active] < 1e6))]
            if not len(active):
                break
        return theta

    def _normal(self, theta: Array, targets: Array, counts: Array) -> tuple[Array, Array, Array]:
        """Return the objective and the weighted normal equations (matrix, right side) at theta, for each refit."""
        fitted, share = self.curve(theta)
        scaled = (fitted - targets) / self.delta
        slopes = self.slopes(share)
        weighted = slopes * (counts / np.maximum(1, np.abs(scaled)))[:, None]
        return (
            (counts * _huber(scaled)).sum(-1) + 1e-300,
            weighted @ slopes.transpose(0, 2, 1),
            (weighted @ (scaled * self.delta)[..., None])[..., 0],
        )


def _huber(scaled: Array) -> Array:
    """Return Huber's loss of residuals over DELTA, itself over DELTA^2."""
    slope = np.clip(scaled, -1, 1)
    return np.asarray(slope * (scaled - slope / 2))
