"""Bands around forecasts, from noise, drift and what backtests were wrong by.

The half width of a band is, in the unit's link, a factor times the root of a sum of variances: of the curve (it grows
with the distance), of the predictors about their mean, of the noise of a new measurement and, where the target is
unlike the ladder, of that. The factor is a quantile of what backtests were wrong by over their own such roots, over
all series (normalised split conformal prediction: Lei et al. 2018, doi:10.1080/01621459.2017.1307116), beside a first
guess.

T series, K targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.forecasts.backtests import Backtest, Guess
from evalkit.forecasts.ladders import mean_of_present
from evalkit.forecasts.links import Array
from evalkit.forecasts.observations import LEVEL
from evalkit.forecasts.stacking import Weights, clearness, combined

FEW = 10.0
_FREEDOM = 8.0  # of the first guess of what errors are over their roots: Student's t, somewhat wider than normal ones
_GRID = 200
_INSIDE = (0.01, 0.99)  # shares between which the noise of documents follows from the share


@dataclass(frozen=True, kw_only=True)
class Factors:
    """By what the roots are multiplied, for series with a trend and those without one."""

    trend: float
    flat: float

    def of(self, guess: Guess) -> Array:
        """Return the factors of a guess's series, (T, 1)."""
        share = clearness(guess)[:, None]
        return np.asarray(share * self.trend + (1 - share) * self.flat)


def spread(guess: Guess, weights: Weights, *, extra: Array | float = 0.0) -> Array:
    """Return the root of the variances of a new measurement about its forecast, (T, K), in the unit's link.

    extra: a further variance, (K,) or one for all.
    """
    link, scores = guess.ladder.link, combined(guess, weights)
    apart = (link.to(guess.scores) - link.to(scores)[..., None]) ** 2
    between = (apart * weights.of(guess)[:, None]).sum(axis=-1)
    noise = guess.noise[:, None] * _errors(guess, scores) ** 2
    return np.asarray(np.sqrt(guess.variance + between + noise + extra))


def _errors(guess: Guess, scores: Array) -> Array:
    """Return the standard errors that measurements of these scores, (T, K), would have, in the unit's link.

    A share's error follows from as many documents as the series' errors imply; a ratio keeps its relative one.
    """
    ladder = guess.ladder
    squares = ladder.errors**2
    if ladder.unit == "share":
        inside, at = (np.clip(share, *_INSIDE) for share in (ladder.measured, scores))
        one = mean_of_present(squares / (inside * (1 - inside)))[:, None]
        return np.asarray(np.sqrt(one * at * (1 - at)) * ladder.link.slope(at))
    in_link = mean_of_present(squares * ladder.link.slope(ladder.measured) ** 2)[:, None]
    return np.asarray(np.broadcast_to(np.sqrt(in_link), scores.shape))


def factors(backtests: Sequence[Backtest], weights: Weights) -> Factors:
    """Return the factors that backtests ask for.

    All series of one held-out size share its luck, so that one size says little, whatever the number of series: the
    first guess weighs as much as two sizes, and as FEW series at least.
    """
    sizes, clear, importance, series = [np.empty(0)], [np.empty(0)], [np.empty(0)], 0
    for backtest in backtests:
        guess, link = backtest.guess, backtest.guess.ladder.link
        wrong = np.abs(link.to(combined(guess, weights)) - link.to(backtest.actual)) / spread(guess, weights)
        present = np.isfinite(wrong)
        sizes.append(wrong[present])
        clear.append(np.broadcast_to(clearness(guess)[:, None], wrong.shape)[present])
        importance.append(np.full(int(present.sum()), 1 / wrong.shape[1]))
        series = max(series, len(wrong))
    wrong, share, weight = np.concatenate(sizes), np.concatenate(clear), np.concatenate(importance)
    splits = max(1.0, weight.sum() / max(1, series))
    trend, flat = (_quantile(wrong, part * weight / splits, splits) for part in (share, 1 - share))
    return Factors(trend=trend, flat=flat)


def _quantile(wrong: Array, weight: Array, splits: float) -> float:
    """Return the quantile of errors that count by weight, and of a first guess, Student's; at least the normal one."""
    from scipy.special import ndtri, stdtrit

    first = stdtrit(_FREEDOM, 0.5 + (np.arange(_GRID) + 0.5) / (2 * _GRID))
    values = np.concatenate([wrong, first])
    weights = np.concatenate([weight, np.full(_GRID, max(FEW, 2 * weight.sum() / splits) / _GRID)])
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    found = values[order][np.searchsorted(total, LEVEL * total[-1])]
    return max(float(found), float(ndtri((1 + LEVEL) / 2)))
