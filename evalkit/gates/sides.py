"""The two sides of a gate: a run or baseline file that is stored, or a model that answers as documents are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from evalkit.comparison.evidence import Evidence, read_run
from evalkit.engine.cache import ResponseCache
from evalkit.engine.calls import Placing
from evalkit.engine.open import Model
from evalkit.gates.reading import Part
from evalkit.harness.failures import failed_tasks
from evalkit.harness.loaded import Loaded
from evalkit.harness.run import answer, check_plan, conclude, describe
from evalkit.harness.taskset import TaskSet
from evalkit.progress import Progress
from evalkit.runs.store import RunStore


class Side(Protocol):
    """A model's scores, as far as they are known."""

    def read(self, wave: Mapping[Part, slice], *, bar: Progress) -> None:
        """Score these documents, given by their places in the order of reading."""
        ...

    def evidence(self) -> Evidence:
        """Return the scores of the documents read."""
        ...

    def failed(self) -> Mapping[str, str]:
        """Return the tasks with too many failed items, and why they failed."""
        ...


@dataclass(frozen=True)
class StoredSide:
    """A stored run or a baseline file."""

    stored: Evidence

    def read(self, wave: Mapping[Part, slice], *, bar: Progress) -> None:
        """Do nothing: all is known."""

    def evidence(self) -> Evidence:
        """Return all that is stored."""
        return self.stored

    def failed(self) -> Mapping[str, str]:
        """Return none: the run itself told of them."""
        return {}


class ModelSide:
    """A model that scores documents as they are read, into a run folder; use as a context manager.

    tasks: with their documents in the order of reading, each at one number of shots. allowed: the share of a task's
    items that may fail. settings: of the gate, for the run's manifest: documents read until a decision are no ordinary
    sample.

    Raises StoreError for a folder that holds another run.
    """

    def __init__(
        self,
        model: Model,
        tasks: TaskSet,
        folder: Path,
        *,
        settings: Mapping[str, Any],
        cache: ResponseCache | None,
        place: Placing,
        allowed: float,
    ):
        self._model, self._tasks, self._folder, self._settings = model, tasks, folder, dict(settings)
        self._cache, self._place, self._allowed = cache, place, allowed
        self._stack = ExitStack()

    def __enter__(self) -> ModelSide:
        with ExitStack() as stack:
            self._engine = self._model.engine(self._cache, self._place)
            stack.callback(self._engine.close)
            about = describe(self._engine, self._tasks.loaded, self._tasks.settings) | {"gate": self._settings}
            self._store = stack.enter_context(RunStore(self._folder, about, training=self._model.training))
            check_plan(self._tasks.loaded, self._tasks.settings, self._store)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.__exit__(None, None, None)

    def read(self, wave: Mapping[Part, slice], *, bar: Progress) -> None:
        """Score these documents; those that the folder holds already are not asked again."""
        parts = [(Part(loaded.task.name, loaded.shots[0]), loaded) for loaded in self._tasks.loaded]
        chosen = [_slice(loaded, wave[part]) for part, loaded in parts if part in wave]
        answer(self._engine, chosen, self._tasks.settings, self._store, bar=bar, prompts=self._tasks.prompts)

    def evidence(self) -> Evidence:
        """Write the results of what was read, and return its scores."""
        self._store.finish(conclude(self._tasks.loaded, self._store), {})
        return read_run(self._folder)

    def failed(self) -> Mapping[str, str]:
        """Return the tasks with too many failed items, and why they failed."""
        return failed_tasks(self._store.done, allowed=self._allowed)


def _slice(loaded: Loaded, places: slice) -> Loaded:
    return replace(loaded, documents=loaded.documents[places])


def without_controls(loaded: Loaded, places: Sequence[int]) -> Loaded:
    """Return a task with its documents in this order, and without controls, which no verdict looks at."""
    task = replace(loaded.task, controls={}, shot_controls={})
    return replace(loaded, task=task, documents=[loaded.documents[i] for i in places])
