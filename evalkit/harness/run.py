"""evaluate(): the corridor as code, from tasks and an engine to stored results."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evalkit import __version__, metrics
from evalkit.engine.base import Engine
from evalkit.errors import DataError, PromptTooLongError, UsageError
from evalkit.files import canonical_json, digest
from evalkit.harness.aggregate import aggregate
from evalkit.harness.catalog import protocol_of
from evalkit.harness.prompts import Fitted, Pool, fit
from evalkit.harness.sources import DataPaths
from evalkit.harness.store import RunStore
from evalkit.harness.task import Protocol, Task
from evalkit.metrics.choice import Accuracy
from evalkit.progress import Progress, progress
from evalkit.types import (
    Cell,
    Decoding,
    Document,
    Example,
    Prompt,
    Record,
    Request,
    RequestKind,
    Response,
    Result,
)

_REQUEST: Mapping[str, RequestKind] = {
    "choice": "loglikelihood",
    "loglikelihood": "loglikelihood",
    "rolling": "loglikelihood_rolling",
    "generate": "generate_until",
}

# Documents whose prompts are built and answered together; bounds memory, never changes a score.
_CHUNK = 2048


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What to run. shots: counts of examples in the prompt. seeds: for drawing shots and for sampling.

    limit: documents per task, a fixed pseudo-random subset (None: all). protocol: None for each task's first.
    """

    shots: tuple[int, ...] = (0,)
    seeds: tuple[int, ...] = (1,)
    protocol: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if not self.shots or min(self.shots) < 0:
            raise UsageError("--shots: expected whole numbers from 0 up, for example 0,1,8")
        if not self.seeds:
            raise UsageError("--seeds: expected whole numbers, for example 1,2,3")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit must be at least 1, not {self.limit}")


@dataclass(frozen=True)
class Loaded:
    """A task with its data read: the documents to score and the pool of shots."""

    task: Task
    name: str
    protocol: Protocol
    documents: Sequence[tuple[Document, Example]]
    pool: Pool
    data: str
    metrics: Mapping[str, metrics.Metric] = field(default_factory=dict)

    def group(self, document: Document) -> str:
        """Return the group whose shots suit a document."""
        return self.task.shot_group(document) if self.task.shot_group else ""


def load(task: Task, settings: RunSettings, data: DataPaths) -> Loaded:
    """Read a task's data. Raises DataError for wrong files, UsageError for an unknown protocol or too large a K."""
    name, protocol = protocol_of(task, settings.protocol)
    documents = _examples(task, "test", data)
    ids = {document.id for document, _ in documents}
    if not documents:
        raise DataError(f"{task.name}: its test data holds no documents")
    if len(ids) != len(documents):
        raise DataError(f"{task.name}: {len(documents)} documents with {len(ids)} different ids; expected unique ids")
    hashes = [task.source.fingerprint("test", data)]
    groups: dict[str, list[tuple[Document, Example]]] = {}
    if protocol.kind != "rolling" and (any(settings.shots) or task.baselines):
        hashes.append(task.source.fingerprint("shots", data))
        # Ids and clusters are told apart within a split only; a pool that is another split has other ones.
        own = hashes[0] == hashes[1]
        for document, example in _examples(task, "shots", data):
            group = task.shot_group(document) if task.shot_group else ""
            known = document if own else replace(document, id=f"shots/{document.id}", cluster="")
            groups.setdefault(group, []).append((known, example))
    limited = sorted(documents, key=lambda pair: hashlib.sha256(pair[0].id.encode()).digest())[: settings.limit]
    loaded = Loaded(
        task, name, protocol, limited, Pool(task.name, groups), digest("".join(hashes)),
        {metric: metrics.get(metric) for metric in protocol.metrics},
    )  # fmt: skip
    if groups:
        for document, example in limited:  # a pool that is too small is found before anything is computed
            loaded.pool.draw(document, example, group=loaded.group(document), count=max(settings.shots), seed=0)
    return loaded


def _examples(task: Task, split: Any, data: DataPaths) -> list[tuple[Document, Example]]:
    """Turn a split's rows into examples; a row that a task cannot read is an error, never skipped."""
    found = []
    for index, row in enumerate(task.source.rows(split, data)):
        try:
            found += [(document, task.to_example(document)) for document in task.documents(row, index)]
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            raise DataError(
                f"{task.name}: row {index + 1} of its {split} data is not as expected ({type(error).__name__}: {error})"
            ) from error
    return found


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
                "metrics": list(t.protocol.metrics),
                "data": t.data,
                "documents": len(t.documents),
            }
            for t in tasks
        },
        "shots": list(settings.shots),
        "seeds": list(settings.seeds),
        "limit": settings.limit,
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
    """Yield the cells of a task: shots x seeds x (the task and its controls).

    Seeds beyond the first are left out where they change nothing: no shots and no sampling.
    """
    rolling = loaded.protocol.kind == "rolling"
    for shots in (0,) if rolling else settings.shots:
        random = shots or loaded.protocol.decoding.top_k != 1
        for seed in settings.seeds if random else settings.seeds[:1]:
            for variant in ("", *loaded.task.controls):
                yield Cell(task=loaded.task.name, protocol=loaded.name, shots=shots, seed=seed, variant=variant)


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
    }[_REQUEST[loaded.protocol.kind]]
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


@dataclass
class Item:
    """One document on its way: its prompt and requests, and the responses so far."""

    loaded: Loaded
    cell: Cell
    document: Document
    example: Example
    fitted: Fitted
    requests: Sequence[Request]
    error: str = ""
    responses: dict[int, Response] = field(default_factory=dict)

    @classmethod
    def build(cls, engine: Engine, loaded: Loaded, cell: Cell, document: Document, example: Example) -> Item:
        """Draw shots, render, fit into the context and encode; a prompt that cannot fit makes a failed item."""
        protocol = loaded.protocol
        asked = loaded.task.controls[cell.variant](example) if cell.variant else example
        shots = loaded.pool.draw(document, example, group=loaded.group(document), count=cell.shots, seed=cell.seed)
        try:
            fitted = fit(protocol, asked, shots, encoder=engine.tokenizer, context=engine.context_length)
        except PromptTooLongError as error:
            return cls(loaded, cell, document, example, Fitted(Prompt(contexts=()), (), ()), (), str(error))
        # A control meets the same random numbers as the task itself, so that they differ in the input alone.
        seed = int(digest(canonical_json([cell.task, cell.shots, cell.seed, document.id])), 16)
        decoding = protocol.decoding if protocol.decoding.top_k == 1 else replace(protocol.decoding, seed=seed)
        contexts = fitted.prompt.contexts
        requests = [
            Request(
                kind=_REQUEST[protocol.kind],
                task=cell.task,
                doc_id=document.id,
                index=i,
                context=contexts[i if len(contexts) > 1 else 0],
                continuation=fitted.continuations[i],
                context_ids=encoded.context,
                continuation_ids=encoded.continuation,
                decoding=decoding if protocol.kind == "generate" else Decoding(),
            )
            for i, encoded in enumerate(fitted.encoded)
        ]
        return cls(loaded, cell, document, example, fitted, requests)

    def record(self) -> Record:
        """Score the responses. An item that failed has no scores."""
        answers = tuple(self.responses[i] for i in range(len(self.responses)))
        error = self.error or next((a.error for a in answers if a.error), "")
        cleaned = [replace(a, text=self.loaded.protocol.cleanup(a.text)) for a in answers]
        record = Record(
            cell=self.cell,
            doc_id=self.document.id,
            cluster=self.document.cluster,
            level=self.document.level,
            prompt=self.fitted.prompt,
            continuations=self.fitted.continuations if self.loaded.protocol.kind != "generate" else (),
            responses=answers,
            gold=self.example.output,
            prediction="" if error else self._prediction(cleaned),
            scores={} if error else self._score(cleaned),
            error=error,
        )
        if error or self.cell.variant:
            return record
        chances = {name: metric.chance(self.example) for name, metric in self.loaded.metrics.items()}
        return replace(
            record,
            baselines=self._baselines(),
            chance={name: chance for name, chance in chances.items() if chance is not None},
        )

    def _score(self, responses: Sequence[Response]) -> dict[str, Sequence[float]]:
        return {name: m.statistics(self.example, responses) for name, m in self.loaded.metrics.items()}

    def _prediction(self, responses: Sequence[Response]) -> str:
        """Say the answer in words: the likeliest option, or the generated text."""
        if self.loaded.protocol.kind == "choice":
            return self.example.choices[Accuracy("acc").choose(self.example, responses)]
        return responses[0].text

    def _baselines(self) -> dict[str, Mapping[str, Sequence[float]]]:
        """Score what the task's baselines would have answered."""
        pool = self.loaded.pool.examples.get(self.loaded.group(self.document), ())
        scored: dict[str, Mapping[str, Sequence[float]]] = {}
        for name, predict in self.loaded.task.baselines.items():
            text = predict(self.example, pool)
            if self.example.choices:
                told = [Response(loglikelihood=-float(c != text), tokens=1) for c in self.example.choices]
            else:
                told = [Response(text=text)]
            scored[name] = self._score(told)
        return scored


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return 8 hexadecimal digits that tell one set of settings from another."""
    return digest(canonical_json(settings), length=8)
