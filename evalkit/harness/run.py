"""evaluate(): from tasks and an engine to stored results.

The last bits of a log-likelihood depend on what else is in its batch. So the units, the requests that go to an engine
together, are planned from the settings alone: an interrupted unit is computed again as a whole, and only records not
yet stored are stored. A resumed run therefore ends with the same bytes, at the cost of at most one unit's work (with
several workers, one unit each). Units may be answered in any order: nothing but the order of the records depends on it.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit import __version__
from evalkit.engine.base import Engine
from evalkit.engine.cached import CachedEngine
from evalkit.engine.calls import Answer, Call, ask_all
from evalkit.engine.prefix_tree import common_prefix
from evalkit.files import canonical_json, digest
from evalkit.harness.aggregate import aggregate
from evalkit.harness.failures import ends_all, explain
from evalkit.harness.groups import group_results, groups_of
from evalkit.harness.item import Item
from evalkit.harness.load import load
from evalkit.harness.loaded import ImportedTask, Loaded
from evalkit.harness.prompt_cache import PromptCache
from evalkit.harness.settings import RunSettings
from evalkit.progress import Progress, progress
from evalkit.runs.store import RunStore
from evalkit.types import Cell, Record, Result

__all__ = ["Item", "Loaded", "RunSettings", "cells", "describe", "evaluate", "load", "settings_digest"]

log = logging.getLogger(__name__)

# Documents whose prompts are built together; bounds memory.
_CHUNK = 2048
# Tokens of the documents of a unit, beyond what all of a cell share.
_UNIT = 32768
# Records of a unit that are stored together.
_TOGETHER = 32


def describe(engine: Engine, tasks: Sequence[Loaded], settings: RunSettings) -> dict[str, Any]:
    """Return the settings that decide every number of a run: the manifest, which must match for a run to resume."""
    compute = engine.compute() if isinstance(engine, CachedEngine) else {}
    return {
        "evalkit": __version__,
        "model": dict(engine.signature()),
        **({"compute": dict(compute)} if compute else {}),
        **describe_tasks(tasks, settings),
    }


def describe_tasks(tasks: Sequence[Loaded], settings: RunSettings) -> dict[str, Any]:
    """Return the settings that do not concern the model."""
    return {
        "tasks": {
            t.task.name: {
                "version": t.task.version,
                "family": t.task.family,
                "protocol": t.name,
                "metrics": list(t.metrics),
                "data": t.data,
                "documents": len(t.documents),
                **({"pool": t.sampled} if t.sampled else {}),
                **({"levels": list(t.task.levels)} if t.task.levels else {}),
                **({"limit": "first"} if t.first else {}),
                **({"sample": t.draw.about()} if t.draw else {}),
                **t.task.notes,
            }
            for t in tasks
        },
        "shots": [*settings.shots, *(["paper"] if settings.paper_shots else [])],
        "seeds": list(settings.seeds),
        "limit": dict(settings.limits) or settings.limit,
        **({"seconds": settings.seconds} if settings.seconds else {}),
        **({"empty_context": settings.empty_context} if settings.empty_context else {}),
        **({"templates": list(settings.templates)} if settings.templates else {}),
        **({"groups": groups} if (groups := groups_of([t.task for t in tasks])) else {}),
    }


def evaluate(
    engine: Engine,
    tasks: Sequence[Loaded],
    settings: RunSettings,
    store: RunStore,
    *,
    strict: bool = True,
    prompts: PromptCache | None = None,
) -> list[Result]:
    """Run every cell that the store does not hold yet, and aggregate.

    prompts: where prompts are kept for the next evaluation of these tasks.
    strict: a failing task ends the run; otherwise its error goes to `store.failed` and the others go on, unless all
    have failed. Errors that concern no single task (the disk, the checkpoint) always end the run.
    """
    began = time.time()
    check_plan(tasks, settings, store)
    total = sum(len(loaded.documents) * len(list(cells(loaded, settings))) for loaded in tasks)
    with progress("evaluate", total=total, unit="items", start=len(store.done)) as bar:
        answer(engine, tasks, settings, store, bar=bar, prompts=prompts, strict=strict)
    results = conclude(tasks, store)
    store.finish(results, {"started": round(began, 1), "seconds": round(time.time() - began, 2), "items": total})
    return results


def check_plan(tasks: Sequence[Loaded], settings: RunSettings, store: RunStore) -> None:
    """Raise StoreError where the store holds a record of another cell or document than these."""
    ids = {loaded.task.name: {document.id for document, _ in loaded.documents} for loaded in tasks}
    store.check_plan({cell: ids[cell.task] for loaded in tasks for cell in cells(loaded, settings)})


def answer(
    engine: Engine,
    tasks: Sequence[Loaded],
    settings: RunSettings,
    store: RunStore,
    *,
    bar: Progress,
    prompts: PromptCache | None = None,
    strict: bool = True,
) -> None:
    """Score the documents of every cell that the store does not hold yet."""
    plan = [(loaded, list(cells(loaded, settings))) for loaded in tasks]
    work = _Work(engine, plan, store, bar, prompts or PromptCache(limit=0), strict=strict)
    for reply in ask_all(engine, work.calls()):
        work.take(reply)


def conclude(tasks: Sequence[Loaded], store: RunStore) -> list[Result]:
    """Aggregate what the store holds."""
    scored = store.done.without(store.failed)
    task_metrics = {t.task.name: t.metrics for t in tasks if isinstance(t.task, ImportedTask)}
    draws = {t.task.name: t.draw for t in tasks if t.draw}
    results = aggregate(scored, store.settings, own=task_metrics, draws=draws)
    return results + group_results(scored, store.settings, results=results, own=task_metrics)


def cells(loaded: Loaded, settings: RunSettings) -> Iterator[Cell]:
    """Yield the cells of a task: shots x seeds x (the task, its controls and its further wordings).

    Seeds beyond the first are left out where they change nothing: no shots and no sampling.
    """
    changes = [("", ""), *((control, "") for control in loaded.task.controls)]
    changes += [("", template) for template in loaded.wordings if template]
    for shots in loaded.shots:
        random = shots or loaded.protocol.decoding.top_k != 1
        several = [(control, "") for control in loaded.task.shot_controls] if shots > 1 else []
        for seed in settings.seeds if random else settings.seeds[:1]:
            for variant, template in [*changes, *several]:
                yield Cell(
                    task=loaded.task.name,
                    protocol=loaded.name,
                    shots=shots,
                    seed=seed,
                    variant=variant,
                    template=template,
                )


class _Work:
    """The units of a run that are not complete yet, in the order of the plan, and the records that come of them."""

    def __init__(
        self,
        engine: Engine,
        plan: Sequence[tuple[Loaded, Sequence[Cell]]],
        store: RunStore,
        bar: Progress,
        prompts: PromptCache,
        *,
        strict: bool,
    ):
        self._engine, self._plan, self._store, self._bar, self._prompts = engine, plan, store, bar, prompts
        self._strict = strict
        self._asked: dict[Call, Unit] = {}

    def calls(self) -> Iterator[Call]:
        """Yield the calls to an engine; their prompts are built when the call before has been sent."""
        for loaded, its_cells in self._plan:
            try:
                for cell in its_cells:
                    for items in self._units(loaded, cell):
                        if loaded.task.name in self._store.failed:
                            break
                        unit = Unit(items)
                        self._asked[unit.call] = unit
                        yield unit.call
            except Exception as error:
                self._fail(loaded.task.name, error)

    def _units(self, loaded: Loaded, cell: Cell) -> Iterator[list[Item]]:
        for start in range(0, len(loaded.documents), _CHUNK):
            pairs = loaded.documents[start : start + _CHUNK]
            if all((cell, document.id) in self._store.done for document, _ in pairs):
                continue
            items = self._prompts.build(self._engine, loaded, cell, pairs)
            self._keep([item.record() for item in items if item.fitted.error])
            for unit in units([item for item in items if not item.fitted.error]):
                if not all((cell, item.document.id) in self._store.done for item in unit):
                    yield unit

    def take(self, answer: Answer) -> None:
        """Use an answer, and store records soon after they are complete."""
        unit = self._asked.get(answer.call)
        if unit is None:  # its task has failed
            return
        cell = unit.items[0].cell
        try:
            if answer.error:
                raise answer.error
            unit.take(answer)
            if unit.left and len(unit.ready) < _TOGETHER:
                return
            self._keep(unit.ready)
            unit.ready.clear()
        except Exception as error:
            unit.left = 0
            self._fail(cell.task, error)
        if not unit.left:
            del self._asked[answer.call]
            log.debug("%s", cell, extra={"items": len(unit.items), "seconds": round(time.time() - unit.began, 3)})

    def _keep(self, records: Sequence[Record]) -> None:
        """Store the records that are new; a unit that is run again must not count a document twice."""
        new = [record for record in records if record.key not in self._store.done]
        if new:
            self._store.append(new)
            self._bar.advance(len(new), note=new[0].cell.task)

    def _fail(self, task: str, error: Exception) -> None:
        """Leave a task out from here on; raise where nothing else could go on, or should."""
        failed = self._store.failed
        failure = explain(error, task)
        if self._strict or ends_all(failure) or (task not in failed and len(failed) + 1 == len(self._plan)):
            raise failure from error
        log.debug("%s failed", task, exc_info=error)
        failed.setdefault(task, str(failure))


class Unit:
    """Items whose requests go to the engine together.

    left: how many of the requests are unanswered. ready: the records that are complete and not stored yet.
    """

    def __init__(self, items: Sequence[Item]):
        self.items = items
        self.began = time.time()
        self._positions = [(item, i) for item in items for i in range(len(item.requests))]
        self.call = Call([item.requests[i] for item, i in self._positions])
        self.left = len(self._positions)
        self.ready: list[Record] = []

    def take(self, answer: Answer) -> None:
        """Add a response to its item."""
        item, i = self._positions[answer.position]
        item.responses[i] = answer.response
        self.left -= 1
        if len(item.responses) == len(item.requests):
            self.ready.append(item.record())


def units(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Group items into units: the longest first, so that batches need little padding, one passage's together."""
    contexts = [request.context_ids for item in items for request in item.requests]
    shared = common_prefix(min(contexts), max(contexts)) if contexts else 0  # read once per unit of any size
    sized = [(item.tokens_beyond(shared), item) for item in items]
    longest: dict[str, int] = defaultdict(int)
    for tokens, item in sized:
        longest[item.group] = max(longest[item.group], tokens)
    unit: list[Item] = []
    room = _UNIT
    for tokens, item in sorted(sized, key=lambda s: (-longest[s[1].group], s[1].group, -s[0], s[1].document.id)):
        if unit and tokens > room:
            yield unit
            unit, room = [], _UNIT
        unit.append(item)
        room -= tokens
    if unit:
        yield unit


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return 8 hexadecimal digits that identify a set of settings."""
    return digest(canonical_json(settings), length=8)
