"""What a gate reads: the tasks of both sides, with their documents in the order of reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evalkit import api
from evalkit.comparison.evidence import Evidence, Sheet, hash_ids
from evalkit.errors import CompareError, unknown
from evalkit.gates.reading import Order, shuffled
from evalkit.gates.sides import without_controls
from evalkit.harness.loaded import Loaded
from evalkit.harness.taskset import TaskSet


@dataclass(frozen=True, kw_only=True)
class Plan:
    """orders: of each task's documents, by its name. tasks: with their documents in that order; None for two runs."""

    orders: Mapping[str, Order]
    tasks: TaskSet | None = None

    def places(self, read: Mapping[str, int], wave: Mapping[str, int]) -> dict[str, slice]:
        """Return which documents a wave reads of each task. read, wave: units before and after it."""
        return {
            name: slice(self.orders[name].documents(read[name]), self.orders[name].documents(units))
            for name, units in wave.items()
        }


def of_stored(base: Evidence, new: Evidence, tasks: api.Tasks | None, *, seed: int) -> Plan:
    """Plan to read two stored runs, or some tasks of theirs. Raises UsageError for a name that they do not share."""
    shared = list(dict.fromkeys(key.task for key in base.sheets if any(other.task == key.task for other in new.sheets)))
    names = shared if tasks is None else [str(word) for word in api.task_words(tasks)]
    for name in names:
        if name not in shared:
            raise unknown("task of both runs", name, shared)
    orders = {}
    for name in names:
        sheets = [sheet for side in (base, new) for sheet in side.sheets.values() if sheet.task == name]
        ids = _scored_in_all(sheets)
        if not len(ids):
            raise CompareError(f"{name}: {base.path} and {new.path} share no scored document")
        rows = np.searchsorted(sheets[0].ids, ids)
        places, ranks = shuffled(ids, sheets[0].clusters[rows].tolist(), seed=seed)
        orders[name] = Order(ids=ids[places], ranks=ranks)
    if not orders:
        raise CompareError(f"{base.path} and {new.path} share no task")
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
    orders, loaded = {}, []
    for task in read.loaded:
        orders[task.task.name], ordered = _ordered(task, stored, seed=seed)
        loaded.append(ordered)
    return Plan(orders=orders, tasks=replace(read, loaded=loaded))


def _ordered(loaded: Loaded, stored: Evidence | None, *, seed: int) -> tuple[Order, Loaded]:
    name = loaded.task.name
    ids = hash_ids([document.id for document, _ in loaded.documents])
    rows = np.arange(len(ids))
    if stored is not None:
        sheets = [sheet for sheet in stored.sheets.values() if sheet.task == name]
        loaded = replace(loaded, shots=tuple(n for n in loaded.shots if any(sheet.shots == n for sheet in sheets)))
        if not loaded.shots:
            raise CompareError(f"{stored.path} has no {name} at these numbers of shots")
        rows = np.flatnonzero(np.isin(ids, _scored_in_all([s for s in sheets if s.shots in loaded.shots])))
        if not len(rows):
            raise CompareError(f"{stored.path} has scored none of the documents of {name}")
    numbers = {cluster: i for i, cluster in enumerate(dict.fromkeys(_clusters(loaded)))}
    clusters = [numbers[cluster] for cluster in _clusters(loaded)]
    places, ranks = shuffled(ids[rows], [clusters[row] for row in rows], seed=seed)
    return Order(ids=ids[rows][places], ranks=ranks), without_controls(loaded, rows[places].tolist())


def _clusters(loaded: Loaded) -> list[str]:
    return [document.cluster or f"\0{document.id}" for document, _ in loaded.documents]


def _scored_in_all(sheets: Sequence[Sheet]) -> np.typing.NDArray[np.uint64]:
    """Return the hashed ids of the documents that all sheets have scored with all seeds, ascending."""
    ids = sheets[0].ids
    for sheet in sheets:
        ids = np.intersect1d(ids, sheet.ids[sheet.scored.all(axis=1)])
    return ids
