"""Predictors that look at one series alone: the same as the largest, and lines in the unit's first link."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evalkit.forecasts.ladders import Ladder, mean_of_present
from evalkit.forecasts.links import Array
from evalkit.forecasts.parts import Part, Predicted

_PLANE = 6  # models that a law in N and D needs
_NEAREST = 3


def same(parts: Sequence[Part]) -> list[Predicted | None]:
    """Predict the score of the largest compute that a series has; of several such models, their mean."""
    return [
        Predicted(scores=np.repeat(largest(part.ladder, part.ladder.scores)[:, None], len(part.at), axis=1))
        for part in parts
    ]


def largest(ladder: Ladder, scores: Array) -> Array:
    """Return the score, (T,), of the model of the largest compute that has one; of several, their mean in the link.

    scores: the ladder's, smoothed or as measured.
    """
    y = ladder.link.to(scores)
    compute = np.where(np.isfinite(y), ladder.place.compute, -np.inf)
    top = compute == compute.max(axis=1, keepdims=True)
    return ladder.link.back(np.where(top, np.nan_to_num(y), 0.0).sum(axis=1) / top.sum(axis=1))


def power(parts: Sequence[Part]) -> list[Predicted | None]:
    """Fit a line in ln C by least squares, or a plane in ln N and ln D where they vary apart."""
    return [_power(part) for part in parts]


def _power(part: Part) -> Predicted:
    columns = [part.x]
    second = part.second()
    if second and len(part.ladder.place) >= _PLANE:
        columns.append(second)
    design, design_at = (np.stack([np.ones_like(side[0]), *side], axis=1) for side in zip(*columns, strict=True))
    y = part.ladder.link.to(part.ladder.scores)
    return Predicted(scores=part.ladder.link.back(_fitted(y, design, design_at)))


def _fitted(y: Array, design: Array, at: Array) -> Array:
    """Return least squares of y, (T, M), on a design, (M, P), continued to (K, P); each row over what it has."""
    result = np.full((len(y), len(at)), np.nan)
    present = np.isfinite(y)
    for pattern in np.unique(present, axis=0):
        rows = np.flatnonzero((present == pattern).all(axis=1))
        if pattern.any():
            theta = np.linalg.lstsq(design[pattern], y[rows][:, pattern].T, rcond=None)[0]
            result[rows] = (at @ theta).T
    return result


def nearest_three(parts: Sequence[Part]) -> list[Predicted | None]:
    """Fit a line in ln C through the three largest sizes.

    Of the models of a size, those count whose tokens per parameter are nearest to the target's.
    """
    return [_nearest_three(part) for part in parts]


def _nearest_three(part: Part) -> Predicted:
    (x, at), (turn, turn_at) = part.x, part.turn
    y = part.ladder.link.to(part.ladder.scores)
    groups = part.ladder.sizes[-_NEAREST:]
    columns = []
    for k in range(len(at)):
        distance = np.abs(turn - turn_at[k])
        near = [g[distance[g] <= distance[g].min() + 1e-6] if np.isfinite(distance).all() else g for g in groups]
        points = np.stack([x[g].mean() for g in near])
        heights = np.stack([mean_of_present(y[:, g]) for g in near], axis=1)
        design, design_at = np.stack([np.ones_like(points), points], axis=1), np.array([[1.0, at[k]]])
        columns.append(_fitted(heights, design, design_at)[:, 0])
    return Predicted(scores=part.ladder.link.back(np.stack(columns, axis=1)))
