"""Pseudo-held-out sizes: each larger size of a ladder is predicted from the smaller ones, by every predictor.

T series, K models that are predicted, P predictors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from evalkit.forecasts import laws, lines
from evalkit.forecasts.ladders import Indices, Ladder, mean_of_present
from evalkit.forecasts.links import ERROR, ODDS, PLAIN, RATIO, Array, Link, Unit
from evalkit.forecasts.parts import Part, Predicted, Predictor

SAME = "same"


def _fading(link: Link) -> Mapping[str, Predictor]:
    """Return the predictors of values without a ceiling."""
    return {
        SAME: lines.same,
        "fading law": partial(laws.direct, link=link),
        "ability": partial(laws.ability, link=link),
        "two steps": partial(laws.two_steps, link=link),
    }


PREDICTORS: Mapping[Unit, Mapping[str, Predictor]] = {
    "share": {
        SAME: lines.same,
        "least squares": lines.power,
        "three largest": lines.nearest_three,
        "power law": partial(laws.direct, link=ERROR),
        "sigmoid": partial(laws.direct, link=ODDS),
        "ability": partial(laws.ability, link=ODDS),
        "two steps": partial(laws.two_steps, link=ODDS),
    },
    "ratio": _fading(RATIO),
    "plain": _fading(PLAIN),
}
AHEAD = 2  # sizes that are predicted from all smaller ones
_ENOUGH = 3  # sizes that they are predicted from; of a ladder that has no more itself, FEWEST
_FEWEST = 2
_EXACT = 1e-4  # no series is more exact, in the unit of a link


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What all predictors say of a ladder's series at the places of K models.

    scores: (T, K, P), in the order of names. variance: of the curve in the unit's first link, (T, K), and noise: the
    variance of a measurement over its squared standard error, (T,), both means over the predictors that know them.
    trend: (T,), standard errors by which the slope of the ladder differs from 0. distance: (K,), ln C beyond the
    ladder; turn: (K,), ln D / N off what the ladder's models keep to.
    """

    ladder: Ladder
    names: tuple[str, ...]
    scores: Array
    variance: Array
    noise: Array
    trend: Array
    distance: Array
    turn: Array


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """A guess at models of a ladder that it was not given. actual, errors: their scores and standard errors, (T, K)."""

    guess: Guess
    actual: Array
    errors: Array


def guesses(parts: Sequence[Part]) -> list[Guess]:
    """Let every predictor predict parts of one unit.

    Series that were measured at one size alone stay the same, as do others where a predictor lacks the sizes that it
    needs; those that were not measured at all are NaN.
    """
    predicted = {name: predictor(parts) for name, predictor in PREDICTORS[parts[0].ladder.unit].items()}
    return [_guess(part, {name: of[i] for name, of in predicted.items()}) for i, part in enumerate(parts)]


def _guess(part: Part, predicted: Mapping[str, Predicted | None]) -> Guess:
    present = {name: p for name, p in predicted.items() if p is not None}
    names, scores = tuple(present), np.stack([p.scores for p in present.values()], axis=-1)
    scores = np.minimum(scores, part.ladder.top[:, None, None])
    sizes, same = part.ladder.measured_sizes, scores[..., names.index(SAME), None]
    scores = np.where((sizes < _FEWEST)[:, None, None] | ~np.isfinite(scores), same, scores)
    scores[sizes == 0] = np.nan
    reach = np.log(part.at.compute / part.ladder.place.compute.max())
    return Guess(
        ladder=part.ladder,
        names=names,
        scores=scores,
        variance=np.mean([p.variance for p in present.values() if p.variance is not None], axis=0),
        noise=np.mean([p.noise for p in present.values() if p.noise is not None], axis=0),
        trend=trend(part.ladder),
        distance=np.maximum(reach, 0.0),
        turn=_off(part),
    )


def _off(part: Part) -> Array:
    """Return by how much ln D / N leaves the line in ln C that the ladder's models keep to, (K,); 0 where unknown."""
    off = part.off_line()
    return np.zeros(len(part.at)) if off is None else np.maximum(np.abs(off[1]) - np.abs(off[0]).max(), 0.0)


def trend(ladder: Ladder) -> Array:
    """Return by how many standard errors the slope in ln C of each series differs from 0, (T,); negative: it falls."""
    y = ladder.link.to(ladder.scores)
    present = np.isfinite(y)
    x = np.where(present, np.log(ladder.place.compute), np.nan)
    apart = np.where(present, x - mean_of_present(x)[:, None], 0.0)
    noise = np.nan_to_num(mean_of_present((ladder.errors * ladder.link.slope(ladder.scores)) ** 2))
    spread = np.sqrt((apart**2).sum(axis=1) * np.maximum(noise, _EXACT**2))
    covariance = (apart * np.where(present, y, 0.0)).sum(axis=1)
    return np.asarray(covariance / np.where(spread > 0, spread, np.inf))


def backtests(ladders: Sequence[Ladder]) -> list[Backtest]:
    """Predict sizes of ladders of one unit from the smaller ones; the largest ones of all ladders come first."""
    results: list[Backtest] = []
    depth = 1
    while True:
        splits = [split for ladder in ladders if (split := _split(ladder, depth))]
        if not splits:
            return results
        parts = [Part(ladder=ladder.only(fitted), at=ladder.place[held]) for ladder, fitted, held in splits]
        for guess, (ladder, _, held) in zip(guesses(parts), splits, strict=True):
            results.append(Backtest(guess=guess, actual=ladder.measured[:, held], errors=ladder.errors[:, held]))
        depth += 1


def _split(ladder: Ladder, depth: int) -> tuple[Ladder, Indices, Indices] | None:
    """Return the models of all but the `depth` largest sizes, and those of the next ones; None where few are left."""
    sizes = np.unique(ladder.size)
    if len(sizes) - depth < max(_FEWEST, min(_ENOUGH, len(sizes) - 1)):
        return None
    limit = sizes[-depth]
    fitted = np.flatnonzero(ladder.size < limit)
    end = sizes[min(len(sizes) - depth + AHEAD, len(sizes)) - 1]
    return ladder, fitted, np.flatnonzero((ladder.size >= limit) & (ladder.size <= end))
