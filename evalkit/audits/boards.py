"""The scores of one task, metric and number of shots over all models, sizes, seeds and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from evalkit.report.measurements import Measurement, by_shots


class BoardKey(NamedTuple):
    """What the scores of a board share."""

    task: str
    level: str
    protocol: str
    template: str
    shots: int | None
    metric: str


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One training's scores. points: by step. family: its ladder or recipe; pool: shared by its other seeds."""

    family: str
    model: str
    pool: str
    seed: int | None
    parameters: int | None
    points: Sequence[Measurement]

    @cached_property
    def scores(self) -> list[float]:
        """The scores, from the first checkpoint to the last."""
        return [point.value for point in self.points]

    @property
    def end(self) -> Measurement:
        """The last checkpoint's score."""
        return self.points[-1]

    def mean_of(self, last: int) -> float:
        """Return the mean of the last scores."""
        chosen = self.scores[-last:]
        return sum(chosen) / len(chosen)


@dataclass(frozen=True, kw_only=True)
class Board:
    """A task's scores by one metric.

    trajectories: by size, then by name and seed. floor: the best of chance and the baselines, None where neither is
    known.
    """

    key: BoardKey
    trajectories: Sequence[Trajectory]
    floor: float | None

    @property
    def first(self) -> Measurement:
        """Any of its scores."""
        return self.trajectories[0].end

    @cached_property
    def models(self) -> dict[str, list[Trajectory]]:
        """The trainings of each model that differ in their seeds alone, the smallest model first."""
        models: dict[str, list[Trajectory]] = {}
        for trajectory in self.trajectories:
            models.setdefault(trajectory.pool, []).append(trajectory)
        return models

    @cached_property
    def ladders(self) -> dict[str, list[list[Trajectory]]]:
        """The models of each family whose size is known, the smallest first."""
        ladders: dict[str, list[list[Trajectory]]] = {}
        for trainings in self.models.values():
            if trainings[0].parameters is not None:
                ladders.setdefault(trainings[0].family, []).append(trainings)
        return ladders


def boards(measurements: Iterable[Measurement], *, levels: bool = False) -> list[Board]:
    """Arrange the models' own scores. levels: those of levels too."""
    chosen: dict[BoardKey, list[Measurement]] = {}
    floors: dict[tuple[str, int | None, str], list[float]] = {}
    for m in measurements:
        if math.isnan(m.value):
            continue
        if m.source.startswith("baseline:"):
            floors.setdefault((m.task, m.shots, m.metric), []).append(m.value)
        elif m.source == "model" and (levels or not m.level):
            chosen.setdefault(BoardKey(m.task, m.level, m.protocol, m.template, m.shots, m.metric), []).append(m)
    made = [_board(key, group, floors) for key, group in chosen.items()]
    order = {key.task: i for i, key in reversed(list(enumerate(chosen)))}
    return sorted(made, key=lambda b: (order[b.key.task], b.key.level, by_shots(b.key.shots)))


def _board(
    key: BoardKey, group: Sequence[Measurement], floors: Mapping[tuple[str, int | None, str], Sequence[float]]
) -> Board:
    trainings: dict[tuple[str, str, int | None], list[Measurement]] = {}
    for m in group:
        trainings.setdefault((m.model.family, m.model.pool or m.model.name, m.model.seed), []).append(m)
    trajectories = [
        Trajectory(
            family=family, model=points[0].model.name, pool=f"{family}/{pool}", seed=seed,
            parameters=points[0].model.parameters, points=sorted(points, key=lambda m: m.model.step or 0),
        )
        for (family, pool, seed), points in trainings.items()
    ]  # fmt: skip
    trajectories.sort(key=lambda t: (t.parameters or math.inf, t.model, t.seed or 0))
    known = [m.chance for m in group if m.chance is not None]
    known += floors.get((key.task, key.shots, key.metric), [])  # of a level too: a baseline's own is not stored
    return Board(key=key, trajectories=trajectories, floor=max(known) if known else None)
