"""The audit of benchmarks: all findings about stored runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from evalkit.audits import findings, items
from evalkit.audits.boards import Board, Trajectory, boards
from evalkit.audits.findings import Finding
from evalkit.audits.items import Answered, Answers, Asked, Doubtful
from evalkit.audits.telling import Tells, tells
from evalkit.errors import UsageError, check_whole, unknown
from evalkit.report import measurements
from evalkit.report.identity import tell_apart
from evalkit.report.measurements import Measurement, Problem
from evalkit.report.models import last_checkpoints
from evalkit.report.selection import nest
from evalkit.runs.remote import Url

# Runs whose records are held at a time.
_HELD = 32

_Read = Callable[[Path], Mapping[Asked, Answers]]

# How many of the last checkpoints count: of 5, as for the small models of Heineman et al. (2025).
LAST = 5
# Models are near a size from a third of it to three times it.
NEAR = 3.0


@dataclass(frozen=True, kw_only=True)
class Items:
    """What records say of a task at one number of shots.

    large: the models that a doubtful gold is judged by; none where they answer less than half of the documents rightly.
    answered: by level, "" for all documents.
    """

    task: str
    shots: int | None
    template: str
    models: int
    answered: Mapping[str, Answered]
    doubtful: Sequence[Doubtful]
    large: Sequence[str]
    tells: Sequence[Tells]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """findings: by task, metric and number of shots. items: of tasks whose records are stored. last: checkpoints."""

    findings: Sequence[Finding]
    items: Sequence[Items]
    problems: Sequence[Problem]
    notes: Sequence[str]
    last: int

    @property
    def main(self) -> list[Finding]:
        """The findings of each task's first metric, over all documents."""
        first: dict[tuple[object, ...], Finding] = {}
        for f in self.findings:
            if not f.key.level:
                first.setdefault((f.key.task, f.key.shots, f.key.template), f)
        return list(first.values())


def audit(
    paths: Iterable[Path | Url],
    *,
    last: int = LAST,
    near: int | None = None,
    tasks: Sequence[str] = (),
    shots: Sequence[int] = (),
    levels: bool = False,
) -> Audit:
    """Audit the benchmarks of run folders, folders of them, and results of other tools.

    last: how many of each training's last checkpoints count. near: only models from a third of this many parameters to
    three times as many. tasks, shots: only these. levels: also judge each level of a task.

    Raises UsageError for a path that is absent, a task or number of shots that no run has, and where no model is near
    the size; DataError where no run holds a result.
    """
    check_whole("--last", last)
    measured, problems = measurements.read(paths)
    if not measured:
        raise measurements.no_result(problems)
    measured = _chosen(measured, near, tasks, shots)
    identified = tell_apart(measured)
    made = boards(nest(identified.measurements), levels=levels)
    ends = last_checkpoints(m.model for m in identified.measurements)
    return Audit(
        findings=[findings.find(board, last=last) for board in made], items=_items(made, ends), problems=problems,
        notes=identified.notes, last=last,
    )  # fmt: skip


def _chosen(
    measured: Sequence[Measurement], near: int | None, tasks: Sequence[str], shots: Sequence[int]
) -> list[Measurement]:
    known = {m.task for m in measured}
    for task in tasks:
        if task not in known:
            raise unknown("task", task, known, where="in the runs")
    counts = {m.shots for m in measured if m.shots is not None}
    if absent := [number for number in shots if number not in counts]:
        raise UsageError(f"--shots {absent[0]}: the runs have {', '.join(map(str, sorted(counts)))}")
    chosen = [m for m in measured if (not tasks or m.task in tasks) and (not shots or m.shots in shots)]
    if near is not None:
        chosen = [m for m in chosen if m.model.parameters and near / NEAR <= m.model.parameters <= near * NEAR]
        if not chosen:
            raise UsageError(f"--near {near:,}: no model has between a third and three times as many parameters")
    return chosen


def _items(made: Sequence[Board], ends: set[tuple[tuple[str, str, int | None], int]]) -> list[Items]:
    """Return what the records say of each task, by its first metric's board."""
    first: dict[tuple[object, ...], Board] = {}
    for board in made:
        if not board.key.level:
            first.setdefault((board.key.task, board.key.shots, board.key.template), board)
    read = lru_cache(maxsize=_HELD)(items.read_answers)
    found = [_of_board(board, ends, read) for board in first.values()]
    return [each for each in found if each]


def _of_board(board: Board, ends: set[tuple[tuple[str, str, int | None], int]], read: _Read) -> Items | None:
    whole = {
        i: answers
        for i, t in enumerate(board.trajectories)
        if t.end.model.checkpoint in ends and (answers := _answers(t.end, read))
    }
    if not whole:
        return None
    of_each = list(whole.values())
    levels = sorted({answer.level for answer in of_each[0].documents.values()} - {""})
    large = _large({i: board.trajectories[i] for i in whole})
    if not all(items.is_judge(whole[i]) for i in large):
        large = []
    return Items(
        task=board.key.task, shots=board.key.shots, template=board.key.template, models=len(of_each),
        answered={level: items.answered(of_each, level=level) for level in ("", *levels)},
        doubtful=list(items.doubtful([whole[i] for i in large])),
        large=[board.trajectories[i].model for i in large], tells=tells(_pairs(board, read)),
    )  # fmt: skip


def _answers(point: Measurement, read: _Read) -> Answers | None:
    """Return the answers behind a score, if its records are stored."""
    folder = point.origin
    if point.shots is None or not (folder / "records.jsonl").is_file():
        return None
    return read(folder).get(Asked(point.task_in_run or point.task, point.shots, point.template))


def _large(trajectories: Mapping[int, Trajectory]) -> list[int]:
    """Return the trainings of the largest size, and those of the next ones until there are two at least."""
    sizes = {i: t.parameters for i, t in trajectories.items() if t.parameters is not None}
    large: list[int] = []
    for size in sorted(set(sizes.values()), reverse=True):
        if len(large) < 2:
            large += [i for i, of_model in sizes.items() if of_model == size]
    return large if len(large) > 1 else []


def _pairs(board: Board, read: _Read) -> list[tuple[Answers, Answers]]:
    """Return the answers of neighbouring sizes; of a single size those of a training's neighbouring checkpoints."""
    longest = max(board.trajectories, key=lambda t: len(t.points))
    points = list(findings.pairs_of_sizes(board)) or list(pairwise(longest.points))
    pairs = [(_answers(worse, read), _answers(better, read)) for worse, better in points]
    return [(worse, better) for worse, better in pairs if worse and better]
