"""evaluate(): from tasks and an engine to stored results.

The last bits of a log-likelihood depend on what else is in its batch. So the units, the requests that go to an engine
together, are planned from the settings alone: an interrupted unit is computed again as a whole, and only records not
yet stored are stored. A resumed run therefore ends with the same bytes, at the cost of at most one unit's work (with
several workers, one unit each). Units may be answered in any order: nothing but the order of the records depends on it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from evalkit import __version__
from evalkit.engine.base import Engine
from evalkit.engine.cached import CachedEngine
from evalkit.engine.calls import Answer, Call, Here, Job, ask_all
from evalkit.engine.shares import shares
from evalkit.errors import WorkerDiedError
from evalkit.files import canonical_json, digest
from evalkit.harness.aggregate import aggregate
from evalkit.harness.failures import ends_all, explain
from evalkit.harness.groups import group_results, groups_of
from evalkit.harness.item import Item
from evalkit.harness.load import load
from evalkit.harness.loaded import ImportedTask, Loaded
from evalkit.harness.prompt_cache import PromptCache
from evalkit.harness.schedule import Planned, Schedule
from evalkit.harness.settings import RunSettings
from evalkit.harness.units import Block, BlockPlan, Evaluator, Nothing, Preparation, Scored, Scoring
from evalkit.progress import Progress, progress
from evalkit.runs.store import Finished, RunStore
from evalkit.types import Cell, Result

__all__ = ["Item", "Loaded", "RunSettings", "cells", "describe", "evaluate", "load", "settings_digest"]

log = logging.getLogger(__name__)

# Documents whose prompts are built together; bounds memory.
_CHUNK = 2048
# Tokens of the documents of a unit, beyond what all of a cell share.
UNIT_TOKENS = 32768
# Batches of records that may wait for being judged; bounds memory.
_WAITING = 8


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
                **({"scored": t.scored} if t.scored else {}),
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
    total = count_items(tasks, settings)
    with progress("evaluate", total=total, unit="items", start=len(store.done)) as bar:
        answer(engine, tasks, settings, store, bar=bar, prompts=prompts, strict=strict)
    return finish(tasks, settings, store, began=began)


def count_items(tasks: Sequence[Loaded], settings: RunSettings) -> int:
    """Return the number of items of a run: the documents of each task in each of its cells."""
    return sum(len(loaded.documents) * len(list(cells(loaded, settings))) for loaded in tasks)


def check_plan(tasks: Sequence[Loaded], settings: RunSettings, store: RunStore) -> None:
    """Raise StoreError where the store holds a record of another cell or document than these."""
    if not store.done:
        return
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
    with Work(engine, tasks, settings, store, bar=bar, prompts=prompts, strict=strict) as work:
        for reply in ask_all(work.place, work.calls()):
            work.take(reply)


def conclude(tasks: Sequence[Loaded], store: RunStore) -> list[Result]:
    """Aggregate what the store holds."""
    scored = store.done.without(store.failed)
    task_metrics = {t.task.name: t.metrics for t in tasks if isinstance(t.task, ImportedTask)}
    draws = {t.task.name: t.draw for t in tasks if t.draw}
    results = aggregate(scored, store.settings, own=task_metrics, draws=draws)
    return results + group_results(scored, store.settings, results=results, own=task_metrics)


def finish(tasks: Sequence[Loaded], settings: RunSettings, store: RunStore, *, began: float) -> list[Result]:
    """Aggregate what the store holds, and store the results with the times. began: seconds since the epoch."""
    results = conclude(tasks, store)
    spent = round(time.time() - began, 2)
    store.finish(results, {"started": round(began, 1), "seconds": spent, "items": count_items(tasks, settings)})
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


class _Batch(NamedTuple):
    """Records of a task that are stored together, or what will hold them once they are judged. tokens: as in Scored."""

    task: str
    finished: Finished | Future[Finished]
    tokens: int = 0

    @property
    def judged(self) -> bool:
        """Whether nothing has to be waited for."""
        return isinstance(self.finished, Finished) or self.finished.done()

    def wait(self) -> None:
        """Wait until the records are judged, or judging has failed."""
        if isinstance(self.finished, Future):
            wait([self.finished])

    def result(self) -> Finished:
        """Return the records; raise what judging them raised."""
        return self.finished if isinstance(self.finished, Finished) else self.finished.result()


class Work:
    """The blocks and units of a run that are not complete yet, and the records that come of them.

    Use as a context manager, within which its store is open: what has been answered is stored even if the run ends
    early. The arguments are those of `answer`. place: where its calls are to be sent.
    """

    def __init__(
        self,
        engine: Engine,
        tasks: Sequence[Loaded],
        settings: RunSettings,
        store: RunStore,
        *,
        bar: Progress,
        prompts: PromptCache | None = None,
        strict: bool = True,
    ):
        self.place = engine if isinstance(engine, CachedEngine) else Here(lambda: engine)
        self._store, self._bar, self._strict = store, bar, strict
        self._plan = [(loaded, list(cells(loaded, settings))) for loaded in tasks]
        self._cache = engine.cache if isinstance(engine, CachedEngine) else None
        self._resumed = len(store.done) > 0
        self._begun: dict[tuple[Block, int], tuple[Planned, float]] = {}
        self._waiting: deque[_Batch] = deque()
        self._misjudged: set[str] = set()  # tasks whose code failed on an answer
        blocks = [block for place in range(len(tasks)) for block in self._blocks(place)]
        self._schedule = Schedule(blocks, ordered=self._cache is not None)
        keys = engine.keys if isinstance(engine, CachedEngine) and self._cache else None
        held = [self.place.put(loaded) for loaded in tasks]
        evaluator = Evaluator(held, run=store.run, tokens=UNIT_TOKENS, keys=keys, reader=engine, prompts=prompts)
        self.place.share(evaluator)
        bar.doing("building prompts")

    def __enter__(self) -> Work:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None:
            self.settle()
        while self._waiting:
            with contextlib.suppress(Exception):  # the first error is the one that counts
                self.settle()

    def calls(self) -> Iterator[Call | None]:
        """Yield calls, for each of which there is work when a worker takes it; None where there will be more later."""
        while self._schedule.left:
            scarce = self._schedule.scarce
            yield Call(self._job, patient=scarce) if self._schedule.promise() else None

    def take(self, answer: Answer) -> None:
        """Use what has come of a call, and store the records that have been judged."""
        job = answer.call.job
        if job is None:  # no worker has taken it: none could load the model
            assert answer.error
            raise explain(answer.error, "the model")
        if answer.error:
            self.settle()  # what was answered before
        try:
            if isinstance(job, Scoring) and isinstance(answer.error, WorkerDiedError) and not job.failed:
                self.place.send(Call.of(replace(job, failed=str(answer.error))))
            elif answer.error:
                raise answer.error
            elif isinstance(job, Preparation):
                self._planned(job.block, answer.value)
            elif isinstance(job, Scoring):
                self._scored(job, answer.value)
        except Exception as error:
            if isinstance(job, Scoring) and (begun := self._begun.pop((job.block, job.number), None)):
                self._schedule.finish(begun[0])
            self._give_up(job.task, error)
        self.settle(waiting=_WAITING)

    def settle(self, *, waiting: int = 0) -> None:
        """Store the records that have been judged, in order; wait until no more than `waiting` batches are not.

        Raises EvalkitError where judging has failed and the run cannot go on, and where the disk is full.
        """
        while self._waiting and (len(self._waiting) > waiting or self._waiting[0].judged):
            batch = self._waiting[0]
            batch.wait()  # an interruption here leaves it to be stored by __exit__
            self._waiting.popleft()
            if batch.task in self._misjudged:
                continue
            try:
                self._keep(batch)
            except Exception as error:
                self._misjudged.add(batch.task)
                self._give_up(batch.task, error)

    def _blocks(self, place: int) -> Iterator[Block]:
        """Yield the blocks of a task that are not done."""
        loaded, its_cells = self._plan[place]
        for cell in its_cells:
            for start in range(0, len(loaded.documents), _CHUNK):
                block = Block(place, cell, start, min(start + _CHUNK, len(loaded.documents)))
                if len(self._done(block, range(block.start, block.stop))) < block.stop - block.start:
                    yield block

    def _done(self, block: Block, numbers: Iterable[int]) -> frozenset[int]:
        """Return the documents that an earlier start has stored."""
        if not self._resumed:
            return frozenset()
        documents = self._plan[block.place][0].documents
        return frozenset(n for n in numbers if (block.cell, documents[n][0].id) in self._store.done)

    def _job(self, worker: int) -> Job:
        """Return what a worker does next."""
        work = self._schedule.next(worker)
        if work is None:
            return Nothing()
        if isinstance(work, Block):
            skip = self._done(work, range(work.start, work.stop))
            return Preparation(block=work, skip=skip, following=self._schedule.following(worker))
        self._begun[work.block, work.number] = work, time.time()
        cached = None if self._cache is None else self._cache.get(work.plan.each_key())
        skip = self._done(work.block, work.plan.documents)
        return Scoring(block=work.block, number=work.number, unit=work.plan, cached=cached, skip=skip)

    def _planned(self, block: Block, plan: BlockPlan) -> None:
        self._waiting.append(_Batch(block.cell.task, plan.failed))
        documents = ((unit, unit.documents) for unit in plan.units)
        self._schedule.enter(block, [unit for unit, its in documents if len(self._done(block, its)) < len(its)])

    def _scored(self, job: Scoring, scored: Scored) -> None:
        self._waiting.append(_Batch(job.task, scored.finished, scored.tokens))
        if not scored.last:
            return
        if self._cache is not None and scored.computed:
            self._cache.put(scored.computed)
        unit, began = self._begun.pop((job.block, job.number))
        self._schedule.finish(unit)
        about = {"items": len(unit.plan.documents), "seconds": round(time.time() - began, 3)}
        log.debug("%s", job.block.cell, extra=about)

    def _keep(self, batch: _Batch) -> None:
        finished = batch.result()
        if number := len(finished.scores):
            self._store.write(finished)
            self._bar.advance(number, note=partial(self._note, batch.task), tokens=batch.tokens)

    def _note(self, task: str) -> str:
        """Return what is being evaluated, and which share of the requests each of several workers has answered."""
        answered = self.place.answered()
        return f"{task}; {shares(answered)}" if any(answered.values()) else task

    def _give_up(self, task: str, error: Exception) -> None:
        """Leave a task out from here on; raise where nothing else could go on, or should."""
        self._schedule.drop(task)
        failed = self._store.failed
        failure = explain(error, task)
        if self._strict or ends_all(failure) or (task not in failed and len(failed) + 1 == len(self._plan)):
            if failure is not error:
                failure.__cause__ = error
            raise failure
        log.debug("%s failed", task, exc_info=error)
        failed.setdefault(task, str(failure))


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return 8 hexadecimal digits that identify a set of settings."""
    return digest(canonical_json(settings), length=8)
