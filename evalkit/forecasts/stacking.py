"""How much each predictor counts: weights by stacking on pseudo-held-out sizes, held near the first ones.

Weights are at least 0 and sum to 1. They make the squared errors of the backtests smallest (Breiman 1996, "Stacked
regressions"), plus a penalty on their distance from the first weights that counts as much as RIDGE series. The first
ones are equal, since equal weights are hard to beat (Smith and Wallis 2009, doi:10.1111/j.1468-0084.2008.00541.x),
but smaller for predictors that shrink nothing. Errors are in standard errors of the measurements. Series with a trend
have weights of their own; how clear the trend is says how much these count.

T series, K models that are predicted, P predictors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.forecasts.backtests import PREDICTORS, SAME, Backtest, Guess
from evalkit.forecasts.ladders import mean_of_present
from evalkit.forecasts.links import Array, Unit

RIDGE = 30.0
# What weights are held near: where they are not 1, of (series with a trend, series without one).
_FIRST: Mapping[str, tuple[float, float]] = {SAME: (0.5, 0.5), "least squares": (0.0, 0.0), "three largest": (0.5, 0.0)}
_CLEAR = 3.0  # standard errors of a slope at which a series counts half as one with a trend
_EXACT = 0.01  # no measurement is taken to be more exact, in the unit of a link
_HUBER = 1.5  # typical errors beyond which an error counts less


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights by the predictors' names, of series with a trend and of those without one."""

    trend: Mapping[str, float]
    flat: Mapping[str, float]

    def of(self, guess: Guess) -> Array:
        """Return the weights of a guess's predictors, (T, P): over those that it has, they sum to 1."""
        trend, flat = (np.array([weights[name] for name in guess.names]) for weights in (self.trend, self.flat))
        share = clearness(guess)[:, None]
        blend = share * trend / trend.sum() + (1 - share) * flat / flat.sum()
        return np.asarray(blend)


def clearness(guess: Guess) -> Array:
    """Return how much each series, (T,), counts as one with a trend: from 0 to 1."""
    return np.asarray(1 / (1 + np.exp(-(np.abs(guess.trend) - _CLEAR))))


def combined(guess: Guess, weights: Weights) -> Array:
    """Return the weighted mean of the predictors in the unit's link, as scores, (T, K)."""
    link = guess.ladder.link
    return link.back((link.to(guess.scores) * weights.of(guess)[:, None]).sum(axis=-1))


def scale(backtest: Backtest) -> Array:
    """Return the typical standard error of each series' measurements in the unit's link, (T, 1)."""
    link = backtest.guess.ladder.link
    squares = (backtest.errors * link.slope(backtest.actual)) ** 2
    return np.asarray(np.sqrt(np.nan_to_num(mean_of_present(squares))[:, None] + _EXACT**2))


def stack(backtests: Sequence[Backtest], unit: Unit) -> Weights:
    """Return the weights of a unit's predictors: the first ones where no backtest has them all."""
    names = tuple(PREDICTORS[unit])
    everywhere = [name for name in names if all(name in backtest.guess.names for backtest in backtests)]
    clear = [clearness(backtest.guess) for backtest in backtests]
    sides = []
    for side, shares in enumerate((clear, [1 - share for share in clear])):
        first = {name: _FIRST.get(name, (1.0, 1.0))[side] for name in names}
        total = sum(first[name] for name in everywhere) or 1.0
        first = {name: weight / total for name, weight in first.items()}
        sides.append(first | _solved(backtests, {name: first[name] for name in everywhere}, shares))
    return Weights(trend=sides[0], flat=sides[1])


def _solved(backtests: Sequence[Backtest], first: Mapping[str, float], shares: Sequence[Array]) -> dict[str, float]:
    """Return the weights near the first ones, for errors that count by the shares, (T,) for each backtest."""
    names, count = list(first), len(first)
    start = np.array(list(first.values()))
    rows, importance = [np.empty((0, count))], [np.empty(0)]
    for backtest, share in zip(backtests, shares, strict=True):
        link, columns = backtest.guess.ladder.link, [backtest.guess.names.index(name) for name in names]
        errors = link.to(backtest.guess.scores[..., columns]) - link.to(backtest.actual)[..., None]
        errors = (errors / scale(backtest)[..., None]).reshape(-1, count)
        present = np.isfinite(errors).all(axis=1)
        rows.append(errors[present])
        importance.append(np.repeat(share / backtest.actual.shape[1], backtest.actual.shape[1])[present])
    errors, weight = np.concatenate(rows), np.concatenate(importance)
    if weight.sum() < 1e-6:
        return dict(first)
    series = float(weight.sum()) / max(1, len(backtests))
    size = np.abs(errors @ start)
    typical = np.sqrt(np.average(np.minimum(size, np.quantile(size, 0.9)) ** 2, weights=weight)) + 1e-12
    weight = weight / np.maximum(1, size / (_HUBER * typical))
    weight /= weight.sum()
    ridge = RIDGE / series * float(weight @ (errors @ start) ** 2) + 1e-12
    matrix = (errors * weight[:, None]).T @ errors + ridge * np.eye(count)
    return dict(zip(names, _on_simplex(matrix, ridge * start).tolist(), strict=True))


def _on_simplex(matrix: Array, right: Array) -> Array:
    """Return the w >= 0 with sum 1 that makes w' matrix w - 2 right' w smallest, by non-negative least squares."""
    from scipy.optimize import nnls

    root = np.linalg.cholesky(matrix)
    heavy = 1e3 * np.sqrt(np.trace(matrix))
    weights, _ = nnls(
        np.vstack([root.T, np.full((1, len(matrix)), heavy)]), np.append(np.linalg.solve(root, right), heavy)
    )
    return np.asarray(weights / weights.sum())
