"""The end of every training, and its scores without the noise that its other late checkpoints show.

Scores scatter from one checkpoint to the next, and the last one is no exception: what it is worth is read from a
curve through the late checkpoints (shrunken.py, in ln D), whose noise is estimated from all trainings and series at
once. Their errors are correlated, since they answer the same documents; only the part that they do not share is
averaged away. Where the last step differs from what those before it promise (an annealed end), scores stay as they
are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from evalkit.forecasts.ladders import score
from evalkit.forecasts.links import LINKS, Array, Unit
from evalkit.forecasts.observations import Observation, SeriesKey
from evalkit.forecasts.shrunken import Hypothesis, curves, evidence

LATE = 0.3  # of a training: what comes before says little about its end
_FEW = 3  # checkpoints that a curve needs
_MOST = 16  # late checkpoints that are used
_JUMP = 3.0  # standard errors by which the ends may differ from what the checkpoints before them promise

_DRIFTS = tuple(
    Hypothesis(0.0, slope, 0.0, 1.0, walk, noise)
    for slope, walk, noise in itertools.product((0.0, 0.1, 0.3), (0.001, 0.01, 0.03, 0.1, 0.3), (0.03, 0.1, 0.25, 0.6))
)


def histories(observations: Iterable[Observation]) -> list[list[Observation]]:
    """Return the observations of each training in each series, in the order of its checkpoints.

    Left out are models that were not trained (no tokens, no compute), and series in which a training was not measured
    at its end: an early checkpoint is not a smaller model.
    """
    by_training: dict[tuple[object, ...], list[Observation]] = {}
    last: dict[tuple[object, ...], float] = {}
    for o in observations:
        if o.tokens != 0 and o.compute != 0:
            by_training.setdefault((o.series, o.training), []).append(o)
            last[o.training] = max(o.progress, last.get(o.training, 0.0))
    chosen = [sorted(history, key=lambda o: o.progress) for history in by_training.values()]
    return [history for history in chosen if history[-1].progress == last[history[-1].training]]


def smoothed_ends(
    observations: Sequence[Observation], kinds: Mapping[SeriesKey, Unit]
) -> tuple[list[Observation], list[float]]:
    """Return the last observation of each training in each series, and the score that stands for each (NaN: its own).

    kinds: the unit of each series.
    """
    chosen = histories(observations)
    scores = np.full(len(chosen), np.nan)
    for unit in ("share", "ratio"):
        places = [i for i, history in enumerate(chosen) if kinds[history[-1].series] == unit]
        _smooth([chosen[i] for i in places], unit, scores, places)
    return [history[-1] for history in chosen], scores.tolist()


def _smooth(histories: Sequence[Sequence[Observation]], unit: Unit, scores: Array, places: Sequence[int]) -> None:
    """Write the smoothed score of each history with enough late checkpoints to its place in scores."""
    grids: dict[tuple[float, ...], list[int]] = {}
    late = [[o for o in history if o.progress >= LATE * history[-1].progress > 0][-_MOST:] for history in histories]
    for i, history in enumerate(late):
        if len(history) >= _FEW:
            grids.setdefault(tuple(round(math.log(o.progress / history[-1].progress), 3) for o in history), []).append(
                i
            )
    if not grids:
        return
    link, found, before, jumps = LINKS[unit][0], [], [], []
    end = np.zeros(1)
    for grid, members in grids.items():
        pairs = np.array([[score(o, unit) for o in late[i]] for i in members])
        y, errors = link.to(pairs[..., 0]), pairs[..., 1] * link.slope(pairs[..., 0])
        errors = np.broadcast_to(np.sqrt((errors**2).mean(axis=1, keepdims=True)), errors.shape)
        found.append(evidence(y, errors, np.array(grid), end, hypotheses=_DRIFTS))
        before.append(evidence(y[:, :-1], errors[:, :-1], np.array(grid[:-1]), end, hypotheses=_DRIFTS))
        jumps.append(y[:, -1])
    promised = np.concatenate([curve.mean[:, 0] for curve in curves(before)])
    if _annealed(np.concatenate(jumps) - promised):
        return
    for members, curve in zip(grids.values(), curves(found), strict=True):
        for i, y_end in zip(members, link.back(curve.mean[:, 0]), strict=True):
            scores[places[i]] = y_end


def _annealed(jumps: Array) -> bool:
    """Whether the ends differ from what the checkpoints before promised by more than chance, and not by little."""
    spread = float(jumps.std())
    return bool(abs(jumps.mean()) > max(_JUMP * spread / math.sqrt(len(jumps)), spread / 2))
