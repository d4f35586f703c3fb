"""What a gate reads: the tasks of both sides at each number of shots, with their documents in the order of reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit import api
from evalkit.comparison.evidence import Evidence, Sheet, hash_ids
from evalkit.errors import CompareError, unknown
from evalkit.gates.reading import Order, Part, shuffled
from evalkit.gates.sides import without_controls
from evalkit.harness.loaded import Loaded
from evalkit.harness.taskset import TaskSet


@dataclass(frozen=True, kw_only=True)
class Plan:
    """orders: of the documents of each task at each number of shots; the same for all shots of a task.

    tasks: with their documents in that order, each at one number of shots; None for two stored runs.
    """

    orders: Mapping[Part, Order]
    tasks: TaskSet | None = None

    @property
    def names(self) -> list[str]:
        """Return the names of the tasks."""
        return list(dict.fromkeys(part.task for part in self.orders))

    def places(self, read: Mapping[Part, int], wave: Mapping[Part, int]) -> dict[Part, slice]:
        """Return which documents a wave reads. read, wave: units before and after it."""
        return {
            part: slice(self.orders[part].documents(read[part]), self.orders[part].documents(units))
            for part, units in wave.items()
        }


def of_stored(
    base: Evidence, new: Evidence, tasks: api.Tasks | None, *, shots: api.Shots | None = None, seed: int
) -> Plan:
    """Plan to read two stored runs, or some tasks and shots of both. Raises UsageError for a name that one lacks."""
    theirs = {_part(sheet) for sheet in new.sheets.values()}
    parts = [part for part in dict.fromkeys(map(_part, base.sheets.values())) if part in theirs]
    shared = list(dict.fromkeys(part.task for part in parts))
    names = shared if tasks is None else [str(word) for word in api.task_words(tasks)]
    for name in names:
        if name not in shared:
            raise unknown("task", name, shared, where="of both runs")
    numbers = {part.shots for part in parts} if shots is None else {shots} if isinstance(shots, int | str) else {*shots}
    orders = {}
    for part in (part for part in parts if part.task in names and part.shots in numbers):
        sheets = [sheet for side in (base, new) for sheet in side.sheets.values() if _part(sheet) == part]
        ids = _scored_in_all(sheets)
        if not len(ids):
            raise CompareError(f"{part}: {base.path} and {new.path} share no scored document")
        rows = np.searchsorted(sheets[0].ids, ids)
        places, ranks = shuffled(ids, sheets[0].clusters[rows].tolist(), seed=seed)
        orders[part] = Order(ids=ids[places], ranks=ranks)
    if not orders:
        raise CompareError(f"{base.path} and {new.path} share no task at these numbers of shots")
    return Plan(orders=orders)


def of_models(stored: Evidence | None, tasks: api.Tasks | None, *, seed: int, **settings: Any) -> Plan:
    """Plan to ask one or two models. stored: the other side, whose tasks, shots and documents are asked.

    tasks, settings: as of load_tasks; what is None is as in `stored`. Raises CompareError for a task that it lacks.
    """
    if stored is not None:
        tasks = [*dict.fromkeys(key.task for key in stored.sheets)] if tasks is None else tasks
        if settings.get("shots") is None:
            settings["shots"] = sorted({key.shots for key in stored.sheets})
        if settings.get("seeds") is None:
            settings["seeds"] = sorted({seed for sheet in stored.sheets.values() for seed in sheet.seeds})
    settings["seeds"] = settings.get("seeds") or (1,)
    read = api.load_tasks("world" if tasks is None else tasks, strict=True, **settings)
    planned = [
        (Part(task.task.name, shots), *_ordered(task, shots, sheets, seed=seed))
        for task in read.loaded
        for shots, sheets in _asked(task, stored)
    ]
    orders = {part: order for part, order, _ in planned}
    return Plan(orders=orders, tasks=replace(read, loaded=[loaded for *_, loaded in planned]))


def _asked(loaded: Loaded, stored: Evidence | None) -> list[tuple[int, list[Sheet]]]:
    """Return the numbers of shots at which a task is asked, each with what is stored of it."""
    if stored is None:
        return [(shots, []) for shots in loaded.shots]
    name = loaded.task.name
    sheets = {n: [s for s in stored.sheets.values() if _part(s) == (name, n)] for n in loaded.shots}
    if not any(sheets.values()):
        raise CompareError(f"{stored.path} has no {name} at {','.join(map(str, loaded.shots))} shots")
    return [(shots, found) for shots, found in sheets.items() if found]


def _ordered(loaded: Loaded, shots: int, stored: Sequence[Sheet], *, seed: int) -> tuple[Order, Loaded]:
    """Put the documents of a task in order, only those that are scored in `stored` if there is anything in it."""
    ids = hash_ids([document.id for document, _ in loaded.documents])
    rows = np.flatnonzero(np.isin(ids, _scored_in_all(stored))) if stored else np.arange(len(ids))
    if not len(rows):
        raise CompareError(f"the base has scored none of the documents of {loaded.task.name}")
    names = [document.cluster or f"\0{document.id}" for document, _ in loaded.documents]
    numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
    places, ranks = shuffled(ids[rows], [numbers[names[row]] for row in rows], seed=seed)
    chosen = without_controls(loaded, rows[places].tolist())
    return Order(ids=ids[rows][places], ranks=ranks), replace(chosen, shots=(shots,))


def _part(sheet: Sheet) -> Part:
    return Part(sheet.task, sheet.shots)


def _scored_in_all(sheets: Sequence[Sheet]) -> NDArray[np.uint64]:
    """Return the hashed ids of the documents that all sheets have scored with all seeds, ascending."""
    ids = sheets[0].ids
    for sheet in sheets:
        ids = np.intersect1d(ids, sheet.ids[sheet.scored.all(axis=1)])
    return ids
