"""Is a forecast better than "the same as the largest"? One verdict per series, from backtests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evalkit.forecasts.backtests import SAME, Backtest
from evalkit.forecasts.links import Array
from evalkit.forecasts.observations import SeriesKey
from evalkit.forecasts.stacking import Weights, clearness, combined, scale

_OWN = 2.0  # scores of a series' own that weigh as much as what all series of its kind say


def reasons(tests: Sequence[Backtest], weights: Weights) -> dict[SeriesKey, str | None]:
    """Return why there is no forecast of a series, None where there is one; series without backtests are left out.

    A series' gain is by how much closer than "same" its forecasts came to its pseudo-held-out scores, in their standard
    errors. Since one size can be lucky, the gain of all series with a trend, or of those without one, counts beside it
    as OWN scores.
    """
    gains: dict[SeriesKey, list[float]] = {}
    clear: dict[SeriesKey, float] = {}
    errors: dict[SeriesKey, list[tuple[float, float]]] = {}
    for test in tests:
        gain, wrong, wrong_same = _compared(test, weights)
        for i, key in enumerate(test.guess.ladder.series):
            present = np.isfinite(gain[i])
            gains.setdefault(key, []).extend(gain[i][present].tolist())
            pairs = zip(wrong[i][present].tolist(), wrong_same[i][present].tolist(), strict=True)
            errors.setdefault(key, []).extend(pairs)
            clear.setdefault(key, float(clearness(test.guess)[i]))
    judged = [key for key in gains if gains[key]]
    own = np.array([np.mean(gains[key]) for key in judged])
    shares = np.array([clear[key] for key in judged])
    with_trend, without = (np.average(own, weights=part) if part.sum() else 0.0 for part in (shares, 1 - shares))
    verdicts: dict[SeriesKey, str | None] = {}
    for key, gain_of, share in zip(judged, own, shares, strict=True):
        count = len(gains[key])
        usual = share * with_trend + (1 - share) * without
        better = count * gain_of + _OWN * usual > 0
        verdicts[key] = None if better else _reason(*np.mean(errors[key], axis=0))
    return verdicts


def _reason(error: float, same: float) -> str:
    """Put the mean absolute errors of a series' forecasts and of "same" into words."""
    if error < same:
        return (
            f'series like it are no better than "same" on the sizes observed (itself: off by {error:.3g}, {same:.3g})'
        )
    return f'no better than "same" on the sizes observed: off by {error:.3g}, "same" by {round(same, 9):.3g}'


def _compared(test: Backtest, weights: Weights) -> tuple[Array, Array, Array]:
    """Return the gains over "same", and the absolute errors of both in the metrics' units, all (T, K)."""
    guess, link = test.guess, test.guess.ladder.link
    scores, same = combined(guess, weights), guess.scores[..., guess.names.index(SAME)]
    off, off_same = (np.abs(link.to(guessed) - link.to(test.actual)) for guessed in (scores, same))
    actual = guess.ladder.values(test.actual)
    wrong, wrong_same = (np.abs(guess.ladder.values(guessed) - actual) for guessed in (scores, same))
    return (off_same - off) / scale(test), wrong, wrong_same
