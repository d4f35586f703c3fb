"""evaluate(): from tasks and an engine to stored results.

The last bits of a log-likelihood depend on what else is in its batch. So the units, the requests that go to an engine
together, are planned from the settings alone: an interrupted unit is computed again as a whole, and only records not
yet stored are stored. A resumed run therefore ends with the same bytes, at the cost of at most one unit's work.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit import __version__
from evalkit.engine.base import Engine, ask
from evalkit.engine.prefix_tree import common_prefix
from evalkit.errors import EvalkitError
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


def describe(engine: Engine, tasks: Sequence[Loaded], settings: RunSettings) -> dict[str, Any]:
    """Return the settings that decide every number of a run: the manifest, which must match for a run to resume."""
    return {"evalkit": __version__, "model": dict(engine.signature()), **describe_tasks(tasks, settings)}


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
                **t.task.notes,
            }
            for t in tasks
        },
        "shots": [*settings.shots, *(["paper"] if settings.paper_shots else [])],
        "seeds": list(settings.seeds),
        "limit": dict(settings.limits) or settings.limit,
        **({"seconds": settings.seconds} if settings.seconds else {}),
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
    prompts = prompts or PromptCache(limit=0)
    plan = [(loaded, list(cells(loaded, settings))) for loaded in tasks]
    total = sum(len(loaded.documents) * len(its_cells) for loaded, its_cells in plan)
    ids = {loaded.task.name: {document.id for document, _ in loaded.documents} for loaded in tasks}
    store.check_plan({cell: ids[cell.task] for _, its_cells in plan for cell in its_cells})
    failures: list[EvalkitError] = []
    with progress("evaluate", total=total, unit="items", start=len(store.done)) as bar:
        for loaded, its_cells in plan:
            try:
                for cell in its_cells:
                    _run_cell(engine, loaded, cell, store, bar, prompts)
            except Exception as error:
                failure = explain(error, loaded.task.name)
                if strict or ends_all(failure) or len(failures) + 1 == len(tasks):
                    raise failure from error
                log.debug("%s failed", loaded.task.name, exc_info=error)
                failures.append(failure)
                store.failed[loaded.task.name] = str(failure)
    scored = [record for record in store.done.values() if record.cell.task not in store.failed]
    task_metrics = {t.task.name: t.metrics for t in tasks if isinstance(t.task, ImportedTask)}
    results = aggregate(scored, store.settings, own=task_metrics)
    results += group_results(scored, store.settings, results=results, own=task_metrics)
    store.finish(results, {"started": round(began, 1), "seconds": round(time.time() - began, 2), "items": total})
    return results


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


def _run_cell(engine: Engine, loaded: Loaded, cell: Cell, store: RunStore, bar: Progress, prompts: PromptCache) -> None:
    """Run the units of a cell that are not complete yet."""
    began, before = time.time(), len(store.done)
    for start in range(0, len(loaded.documents), _CHUNK):
        pairs = loaded.documents[start : start + _CHUNK]
        if all((cell, document.id) in store.done for document, _ in pairs):
            continue
        items = prompts.build(engine, loaded, cell, pairs)
        _store(store, bar, [item.record() for item in items if item.fitted.error])
        for unit in units([item for item in items if not item.fitted.error]):
            if not all((cell, item.document.id) in store.done for item in unit):
                _run_unit(engine, unit, store, bar)
    items_now = len(store.done) - before
    log.debug("%s", cell, extra={"items": items_now, "seconds": round(time.time() - began, 3)})


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


def _run_unit(engine: Engine, unit: Sequence[Item], store: RunStore, bar: Progress) -> None:
    """Answer the items of a unit, and store the records soon after they are complete."""
    ready: list[Record] = []
    for record in answered(engine, unit):
        ready.append(record)
        if len(ready) >= 32:
            _store(store, bar, ready)
            ready = []
    _store(store, bar, ready)


def answered(engine: Engine, unit: Sequence[Item]) -> Iterator[Record]:
    """Ask the engine, and yield each document's record after its last response."""
    positions = [(item, i) for item in unit for i in range(len(item.requests))]
    requests = [item.requests[i] for item, i in positions]
    for position, response in ask(engine, unit[0].requests[0].kind, requests):
        item, i = positions[position]
        item.responses[i] = response
        if len(item.responses) == len(item.requests):
            yield item.record()


def _store(store: RunStore, bar: Progress, records: Sequence[Record]) -> None:
    """Store the records that are new; a unit that is run again must not count a document twice."""
    new = [record for record in records if record.key not in store.done]
    if new:
        store.append(new)
        bar.advance(len(new), note=new[0].cell.task)


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return 8 hexadecimal digits that identify a set of settings."""
    return digest(canonical_json(settings), length=8)
