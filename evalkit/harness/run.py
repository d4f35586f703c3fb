"""evaluate(): the corridor as code, from tasks and an engine to stored results."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit import __version__
from evalkit.engine.base import Engine
from evalkit.files import canonical_json, digest
from evalkit.harness.aggregate import aggregate
from evalkit.harness.item import REQUESTS, Item
from evalkit.harness.load import Loaded, RunSettings, load
from evalkit.harness.store import RunStore
from evalkit.progress import Progress, progress
from evalkit.types import Cell, Document, Example, Record, Result

__all__ = ["Item", "Loaded", "RunSettings", "cells", "describe", "evaluate", "load", "settings_digest"]

# Documents whose prompts are built and answered together; bounds memory, never changes a score.
_CHUNK = 2048


def describe(engine: Engine, tasks: Sequence[Loaded], settings: RunSettings) -> dict[str, Any]:
    """Return the settings that decide every number of a run: the manifest, and what must match to resume."""
    return {
        "evalkit": __version__,
        "model": dict(engine.signature()),
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
            }
            for t in tasks
        },
        "shots": [*settings.shots, *(["paper"] if settings.paper_shots else [])],
        "seeds": list(settings.seeds),
        "limit": settings.limit,
        **({"templates": list(settings.templates)} if settings.templates else {}),
    }


def evaluate(engine: Engine, tasks: Sequence[Loaded], settings: RunSettings, store: RunStore) -> list[Result]:
    """Run every cell that the store does not hold yet, and aggregate."""
    began = time.time()
    plan = [(loaded, cell) for loaded in tasks for cell in cells(loaded, settings)]
    total = sum(len(loaded.documents) for loaded, _ in plan)
    with progress("evaluate", total=total, unit="items", start=len(store.done)) as bar:
        for loaded, cell in plan:
            todo = [pair for pair in loaded.documents if (cell, pair[0].id) not in store.done]
            for start in range(0, len(todo), _CHUNK):
                _run_chunk(engine, loaded, cell, todo[start : start + _CHUNK], store, bar)
    results = aggregate(store.done.values(), store.settings)
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


def _run_chunk(
    engine: Engine,
    loaded: Loaded,
    cell: Cell,
    pairs: Sequence[tuple[Document, Example]],
    store: RunStore,
    bar: Progress,
) -> None:
    """Build prompts, ask the engine, and store each document's record as soon as its last response is in."""
    ask = {
        "loglikelihood": engine.loglikelihood,
        "loglikelihood_rolling": engine.loglikelihood_rolling,
        "generate_until": engine.generate_until,
    }[REQUESTS[loaded.protocol.kind]]
    items = [Item.build(engine, loaded, cell, document, example) for document, example in pairs]
    store.append(item.record() for item in items if item.error)
    bar.advance(sum(1 for item in items if item.error), note=cell.task)
    asked = [(item, i) for item in items for i in range(len(item.requests))]
    ready: list[Record] = []
    for position, response in ask([item.requests[i] for item, i in asked]):
        item, i = asked[position]
        item.responses[i] = response
        if len(item.responses) == len(item.requests):
            ready.append(item.record())
        if len(ready) >= 32:
            store.append(ready)
            bar.advance(len(ready), note=cell.task)
            ready = []
    store.append(ready)
    bar.advance(len(ready), note=cell.task)


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return 8 hexadecimal digits that tell one set of settings from another."""
    return digest(canonical_json(settings), length=8)
