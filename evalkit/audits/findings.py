"""What a board says of its benchmark: signal and noise, agreement, floor and ceiling, and where to trust it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from evalkit.audits import signal as formulas
from evalkit.audits.boards import Board, BoardKey, Trajectory
from evalkit.audits.signal import Agreement
from evalkit.report.measurements import Measurement

# A share is at its floor, or full, within this part of its range from either end.
_END = 0.05


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A task, by one metric, at one number of shots.

    models, trainings: how many; checkpoints: of the training with the most. signal, noise, seed_noise: relative, NaN
    where there are too few models, checkpoints or seeds. averaged: the noise of a mean of the last checkpoints, were
    they independent. one_checkpoint, half_the_checkpoints: how often these rank neighbouring sizes as the others do.
    between_sizes: how often smaller sizes rank alternatives as the largest does, by size and together; alternatives:
    "recipes" (families) or "checkpoints" of the trainings. between_seeds: how often single trainings rank neighbouring
    sizes as other seeds do. floor, ceiling: in the score's unit, None where unknown. trusted_from, trusted_to: the
    smallest and the largest size between which every size is above the floor and below the ceiling, None for none.
    largest: the largest size of all, None where no size is known; full: its score is full.
    """

    key: BoardKey
    family: str
    unit: str
    models: int
    trainings: int
    checkpoints: int
    last: int
    lowest: float
    highest: float
    signal: float
    noise: float
    seed_noise: float
    one_checkpoint: Agreement
    half_the_checkpoints: Agreement
    between_sizes: Agreement
    by_size: Mapping[str, Agreement]
    alternatives: str
    between_seeds: Agreement
    floor: float | None
    ceiling: float | None
    trusted_from: int | None
    trusted_to: int | None
    largest: int | None
    full: bool

    @property
    def snr(self) -> float:
        """Signal over the noise of checkpoints, or of seeds where checkpoints are not known; NaN without either."""
        noise = self.seed_noise if math.isnan(self.noise) else self.noise
        return self.signal / noise if noise > 0 else math.inf if noise == 0 and self.signal > 0 else math.nan

    @property
    def averaged(self) -> float:
        """The noise of the mean of the last checkpoints, if they were independent."""
        return self.noise / math.sqrt(min(self.last, self.checkpoints)) if self.checkpoints else math.nan


def find(board: Board, *, last: int) -> Finding:
    """Judge a board. last: how many of each training's last checkpoints count."""
    scores = [_over_seeds(trainings, last) for trainings in board.models.values()]
    noises = [formulas.noise(t.scores, last=last) for t in board.trajectories]
    seeds = [formulas.seed_noise([t.mean_of(last) for t in trainings]) for trainings in board.models.values()]
    by_size, alternatives = _between_sizes(board, last)
    sizes = _ends_by_size(board)
    trusted = _trusted(sizes, board.floor)
    largest = max(sizes, default=None)
    one, half = _checkpoints(board, last)
    return Finding(
        key=board.key, family=board.first.family, unit=board.first.unit, models=len(board.models),
        trainings=len(board.trajectories), checkpoints=max(len(t.points) for t in board.trajectories), last=last,
        lowest=min(scores), highest=max(scores), signal=formulas.signal(scores), noise=_mean(noises),
        seed_noise=_mean(seeds), one_checkpoint=one, half_the_checkpoints=half,
        between_sizes=formulas.pooled(by_size.values()), by_size=by_size, alternatives=alternatives,
        between_seeds=_between_seeds(board, last), floor=board.floor, ceiling=board.first.ceiling,
        trusted_from=trusted[0] if trusted else None, trusted_to=trusted[-1] if trusted else None,
        largest=largest, full=largest is not None and _all_full(sizes[largest], board.floor),
    )  # fmt: skip


def _over_seeds(trainings: Sequence[Trajectory], last: int) -> float:
    return sum(t.mean_of(last) for t in trainings) / len(trainings)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _between_sizes(board: Board, last: int) -> tuple[dict[str, Agreement], str]:
    """Return how each smaller size ranks alternatives against the largest, and what the alternatives are.

    They are the families where a size of several is shared; otherwise the checkpoints that a family's sizes share.
    """
    recipes: dict[int, dict[str, float]] = {}
    for family, models in board.ladders.items():
        for trainings in models:
            recipes.setdefault(trainings[0].parameters or 0, {})[family] = _over_seeds(trainings, last)
    recipes = {size: scores for size, scores in recipes.items() if len(scores) > 1}
    if len(recipes) > 1:
        *smaller, largest = sorted(recipes)
        return {str(size): formulas.decision_accuracy(recipes[size], recipes[largest]) for size in smaller}, "recipes"
    by_size: dict[str, Agreement] = {}
    for models in board.ladders.values():
        *small, large = models
        target = _by_step(large[0])
        for trainings in small:
            found = formulas.decision_accuracy(_by_step(trainings[0]), target)
            if found.pairs:
                by_size[str(trainings[0].parameters)] = found
    return by_size, "checkpoints" if by_size else ""


def _by_step(trajectory: Trajectory) -> dict[str, float]:
    return {f"{point.model.step or 0:012d}": point.value for point in trajectory.points}


def _between_seeds(board: Board, last: int) -> Agreement:
    found = [
        formulas.seed_agreement([[t.mean_of(last) for t in trainings] for trainings in models])
        for models in board.ladders.values()
    ]
    return formulas.pooled(found)


def _checkpoints(board: Board, last: int) -> tuple[Agreement, Agreement]:
    """Return how single checkpoints, and means of half of the last ones, rank neighbouring sizes."""
    one, half = [], []
    for models in board.ladders.values():
        firsts = [trainings[0] for trainings in models]
        steps = set.intersection(*({point.model.step for point in t.points} for t in firsts))
        shared = [[point.value for point in t.points if point.model.step in steps] for t in firsts]
        found = formulas.checkpoint_agreement(shared, last=last)
        one.append(found[0])
        half.append(found[1])
    return formulas.pooled(one), formulas.pooled(half)


def _ends_by_size(board: Board) -> dict[int, list[Measurement]]:
    """Return the last scores of the trainings of each size."""
    sizes: dict[int, list[Measurement]] = {}
    for models in board.ladders.values():
        for trainings in models:
            sizes.setdefault(trainings[0].parameters or 0, []).extend(t.end for t in trainings)
    return sizes


def _trusted(sizes: Mapping[int, Sequence[Measurement]], floor: float | None) -> list[int]:
    """Return the sizes from which on every score is above the floor, without those that are full."""
    trusted: list[int] = []
    for size in sorted(sizes, reverse=True):
        if not all(_above(point, floor) for point in sizes[size]):
            break
        trusted.insert(0, size)
    return [size for size in trusted if not _all_full(sizes[size], floor)]


def _all_full(points: Sequence[Measurement], floor: float | None) -> bool:
    return all(_full(point, floor) for point in points)


def _above(point: Measurement, floor: float | None) -> bool:
    """Whether a score is above the floor by its interval, and a share by more than a twentieth of its range."""
    if point.ceiling is not None and point.value < (floor or 0.0) + _END * (point.ceiling - (floor or 0.0)):
        return False
    if floor is None:
        return True
    bound = point.low if point.higher_is_better else point.high
    reached = point.value if math.isnan(bound) else bound
    return reached > floor if point.higher_is_better else reached < floor


def _full(point: Measurement, floor: float | None) -> bool:
    if point.ceiling is None or not point.higher_is_better:
        return False
    return point.value >= point.ceiling - _END * (point.ceiling - (floor or 0.0))


def pairs_of_sizes(board: Board) -> Iterator[tuple[Measurement, Measurement]]:
    """Yield the last scores of neighbouring sizes of each family, of the first seed."""
    for models in board.ladders.values():
        ends = [trainings[0].end for trainings in models]
        yield from pairwise(ends)
