"""Predictors that look at all series together: direct laws in C, and laws in an ability.

direct      the curves of shrunken.py in ln C, on one link
ability     one ability per model from all series (one factor), continued in ln C; scores from it by shrunken curves
two steps   the same with the models' loss as their ability: from size to loss, from loss to score

Bhagia et al. 2024 (arXiv:2412.04403) have the two steps; direct laws do better on other ladders (arXiv:2512.08894).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.forecasts.ladders import Ladder, mean_of_present
from evalkit.forecasts.links import Array, Link
from evalkit.forecasts.parts import Part, Predicted
from evalkit.forecasts.shrunken import Hypothesis, curves, evidence

FADING = 4.0  # e-folds of C over which trends of abilities, losses and ratios fade: they have floors
_FEW = 3  # series that an ability needs
_LOSS_ERROR = 0.003  # of ln loss
_ROUNDS = 30
_ALIKE = 1e-6  # abilities that differ by no more are those of one model
_EXACT = 0.02  # no series is more exact as a measure of ability, in the unit of a link

# An ability is scaled to grow as much as ln C does over the ladder.
_ABILITIES = tuple(
    Hypothesis(mean, 0.3, wander, 4.0, walk, noise)
    for mean, wander, walk, noise in itertools.product((0.4, 0.8), (0.1, 0.3), (0.02, 0.1, 0.3), (0.5, 2.0, 8.0))
)


def faded(x: Array, at: Array) -> Array:
    """Return the places to which a trend that fades beyond the last x gets as far as an even one at `at`."""
    beyond = np.maximum(at - x.max(), 0.0)
    return np.asarray(np.where(at > x.max(), x.max() + FADING * -np.expm1(-beyond / FADING), at))


def direct(parts: Sequence[Part], *, link: Link) -> list[Predicted | None]:
    """Continue every series in ln C by shrunken curves on a link; ratios and plain numbers fade."""
    share = parts[0].ladder.unit == "share"
    found = []
    for part in parts:
        x, at = part.x
        places = at if share else faded(x, at)
        y, errors = _on(link, part.ladder)
        found.append(evidence(y, errors, x, places, second=part.second()))
    results: list[Predicted | None] = []
    for part, curve in zip(parts, curves(found), strict=True):
        scores = link.back(curve.mean)
        variance = _moved(part.ladder, link, scores, curve.variance)
        results.append(Predicted(scores=scores, variance=variance, noise=curve.noise))
    return results


def _on(link: Link, ladder: Ladder) -> tuple[Array, Array]:
    """Return scores and errors on a link; a share's error is the root mean square of its series."""
    scores, errors = ladder.scores, ladder.errors * link.slope(ladder.scores)
    if ladder.unit != "share":
        return link.to(scores), errors
    usual = np.sqrt(mean_of_present(errors**2))[:, None]
    return link.to(scores), np.broadcast_to(usual, scores.shape)


def _moved(ladder: Ladder, link: Link, scores: Array, variance: Array) -> Array:
    """Return a variance on a link as one on the unit's first link."""
    return np.asarray(variance * (ladder.link.slope(scores) / link.slope(scores)) ** 2)


@dataclass(frozen=True, kw_only=True)
class _Abilities:
    """Abilities of the models, (M,), and of the targets, (K,), on the curve through them, with its sd at these."""

    models: Array
    targets: Array
    spread: Array


def ability(parts: Sequence[Part], *, link: Link) -> list[Predicted | None]:
    """Continue one ability per model and read every series from it; None for a ladder of fewer than three series."""
    measured = [one_factor(*_on(link, part.ladder)) if len(part.ladder.series) >= _FEW else None for part in parts]
    return _by_ability(parts, measured, link=link)


def two_steps(parts: Sequence[Part], *, link: Link) -> list[Predicted | None]:
    """Continue the loss and read every series from it; None for a ladder without the loss of every model."""
    losses = [part.ladder.place.loss for part in parts]
    measured = [
        (-np.log(loss), np.full(len(loss), _LOSS_ERROR)) if np.isfinite(loss).all() else None for loss in losses
    ]
    return _by_ability(parts, measured, link=link)


def _by_ability(
    parts: Sequence[Part], measured: Sequence[tuple[Array, Array] | None], *, link: Link
) -> list[Predicted | None]:
    """Predict by abilities and their standard errors, each (M,), of the parts that have them."""
    usable = [i for i, abilities in enumerate(measured) if abilities is not None and np.ptp(abilities[0]) > _ALIKE]
    results: list[Predicted | None] = [None] * len(parts)
    if not usable:
        return results
    continued = _continued([parts[i] for i in usable], [measured[i] for i in usable])  # type: ignore[misc]
    found = []
    for i, abilities in zip(usable, continued, strict=True):
        y, errors = _on(link, parts[i].ladder)
        at = np.concatenate([abilities.targets, abilities.targets + abilities.spread])
        found.append(evidence(y, errors, abilities.models, at))
    for i, curve in zip(usable, curves(found), strict=True):
        part = parts[i]
        mean, moved = curve.mean[:, : len(part.at)], curve.mean[:, len(part.at) :]
        scores = link.back(mean)
        variance = _moved(part.ladder, link, scores, curve.variance[:, : len(part.at)] + (moved - mean) ** 2)
        results[i] = Predicted(scores=scores, variance=variance, noise=curve.noise)
    return results


def _continued(parts: Sequence[Part], measured: Sequence[tuple[Array, Array]]) -> list[_Abilities]:
    """Scale abilities to the range of ln C, and continue them; their trends fade."""
    found = []
    for part, (abilities, errors) in zip(parts, measured, strict=True):
        (x, at), second = part.x, part.second()
        if second:
            second = second[0], np.concatenate([second[0], second[1], second[1]])
        scale = np.ptp(x) / np.ptp(abilities) if np.ptp(x) else 1.0
        found.append(
            evidence(
                (abilities * scale)[None], (errors * scale)[None], x, np.concatenate([x, faded(x, at), at]),
                second=second, hypotheses=_ABILITIES,
            )
        )  # fmt: skip
    results = []
    for part, curve in zip(parts, curves(found, prior=1.0), strict=True):
        models, targets, _ = np.split(curve.mean[0], [len(part.ladder.place), len(part.ladder.place) + len(part.at)])
        results.append(_Abilities(models=models, targets=targets, spread=np.sqrt(curve.variance[0, -len(part.at) :])))
    return results


def one_factor(y: Array, errors: Array) -> tuple[Array, Array]:
    """Return one ability per model, (M,), with its standard error, from y, (T, M), which may lack values.

    y = level + loading x ability, by alternating least squares weighted by the errors; loadings are shrunk towards
    their mean, which is 1 (James-Stein; the spread of the true ones by the method of moments).
    """
    present = np.isfinite(y)
    weight = np.where(present, 1 / (np.where(present, errors, 1.0) ** 2 + _EXACT**2), 0.0)
    y = np.where(present, y, 0.0)
    total = np.maximum(weight.sum(axis=1), 1e-12)
    loading, level = np.ones(len(y)), (weight * y).sum(axis=1) / total
    ability = np.zeros(y.shape[1])
    for _ in range(_ROUNDS):
        scale = np.maximum((weight * loading[:, None] ** 2).sum(axis=0), 1e-12)
        ability = (weight * loading[:, None] * (y - level[:, None])).sum(axis=0) / scale
        ability -= ability.mean()
        squares = np.maximum((weight * ability**2).sum(axis=1), 1e-12)
        product = (weight * ability * (y - level[:, None])).sum(axis=1)
        mean = product.sum() / squares.sum()
        spread = max(float(((product / squares - mean) ** 2 * squares - 1).sum() / squares.sum()), 1e-4)
        loading = (product + mean / spread) / (squares + 1 / spread)
        size = float(np.average(loading, weights=squares))
        if abs(size) > 1e-6:
            loading, ability = loading / size, ability * size
        level = (weight * (y - loading[:, None] * ability)).sum(axis=1) / total
    return ability, 1 / np.sqrt(np.maximum((weight * loading[:, None] ** 2).sum(axis=0), 1e-12))
