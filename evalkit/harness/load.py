"""load(): a task and settings -> its documents, its pool of shots, and how it is to be run."""

from __future__ import annotations

import hashlib
import heapq
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np

from evalkit import metrics
from evalkit.data import sources
from evalkit.data.rows import with_whole_gold
from evalkit.data.sources import DataPaths, Split
from evalkit.engine.base import TextEncoder
from evalkit.errors import DataError, LabelError, TaskError, UsageError
from evalkit.files import digest
from evalkit.harness.loaded import ImportedTask, Judgement, Loaded
from evalkit.harness.prompts import Fitted, Pool, fit_all, pairs
from evalkit.harness.settings import RunSettings
from evalkit.harness.spool import Gathered, Pair
from evalkit.harness.task import Protocol, Task, one_document, protocol_of
from evalkit.metrics.choice import UNCONDITIONAL, Accuracy
from evalkit.types import Cell, Document, Example, Response

log = logging.getLogger(__name__)
T = TypeVar("T")

# Documents of a group that shots are drawn from; of more, a fixed pseudo-random subset, so that no training split has
# to stay in memory. GPT-3's largest K is 100.
POOL_LIMIT = 10_000

# Bytes of a hash that stand for an id where ids are compared.
_ID_BYTES = 16

# Bytes of files that are parsed to count their documents.
_QUICK = 16 << 20

# What a task may raise on a row that is not as it expects.
_ROW_ERRORS = (
    LookupError, TypeError, ValueError, AttributeError, NameError, ArithmeticError, AssertionError, RuntimeError,
)  # fmt: skip


class OwnRules:
    """A task's own prompts and scores, as its protocol says."""

    def texts(self, loaded: Loaded, document: Document, example: Example, cell: Cell) -> list[tuple[str, str]]:
        """Return (context, continuation) of each request, whether it fits or not."""
        return pairs(loaded.wordings[cell.template], example, _draw(loaded, document, example, cell))

    def fit(
        self, loaded: Loaded, documents: Sequence[Pair], cell: Cell, *, encoder: TextEncoder, context: int
    ) -> list[Fitted]:
        """Build each document's prompt for the context; where none fits, it has an error."""
        change = loaded.task.controls.get(cell.variant)
        prompts = [
            (change(example) if change else example, _draw(loaded, document, example, cell))
            for document, example in documents
        ]
        return fit_all(loaded.wordings[cell.template], prompts, encoder=encoder, context=context)

    def answer(self, loaded: Loaded, example: Example, responses: Sequence[Response]) -> str:
        """Return a document's answer in words: the generated text, or the option that its first metric chooses."""
        if loaded.protocol.kind != "choice":
            return responses[0].text
        answers = (metric.answer(example, responses) for metric in (*loaded.metrics.values(), Accuracy("acc")))
        return next(answer for answer in answers if answer is not None)

    def judge(self, loaded: Loaded, document: Document, example: Example, responses: Sequence[Response]) -> Judgement:
        """Score a document's responses by the protocol's metrics. Raises TaskError where one gives no numbers."""
        return Judgement(
            {name: _numbers(loaded, name, m.statistics(example, responses)) for name, m in loaded.metrics.items()}
        )


def _numbers(loaded: Loaded, metric: str, statistics: Sequence[Any]) -> tuple[float, ...]:
    """Return statistics as records hold them: truth values and numbers of NumPy become floats."""
    try:
        return tuple(map(float, statistics))
    except (OverflowError, TypeError, ValueError):
        problem = f"the statistics of {metric!r} are {statistics!r:.60}, not numbers"
        raise TaskError(f"{loaded.task.name}: {problem}") from None


def _draw(loaded: Loaded, document: Document, example: Example, cell: Cell) -> list[Example]:
    """Draw a document's shots, changed as the cell's control says."""
    group = loaded.group(document)
    shots = loaded.pool.draw(document, example, group=group, count=cell.shots, seed=cell.seed)
    changed = loaded.task.shot_controls.get(cell.variant)
    return list(changed(shots)) if changed else shots


def load(task: Task, settings: RunSettings, data: DataPaths) -> Loaded:
    """Read a task's data.

    Raises DataError for wrong files, UsageError for an unknown protocol, too large a K, or no K at all.
    """
    if isinstance(task, ImportedTask):
        loaded = task.load(settings, data)
        _tell_concerns(loaded)
        return loaded
    name, protocol = protocol_of(task, settings.protocol)
    shots = settings.shots_of(protocol)
    if not shots:
        raise UsageError(
            f"--shots paper: for {task.name} under protocol {name} the paper states no number of shots; "
            f"add a number, for example --shots 0,paper"
        )
    documents = _scored(task, data, limit=settings.limit)
    hashes = [task.source.fingerprint("test", data)]
    pool, sampled = Pool(task.name), ""
    if protocol.kind != "rolling" and (any(shots) or task.baselines):
        hashes.append(task.source.fingerprint("shots", data))
        pool, sampled = _pool(task, data, same_split=hashes[0] == hashes[1])
    loaded = Loaded(
        task=task, name=name, protocol=protocol, documents=documents, pool=pool, data=digest("".join(hashes)),
        scored=digest(hashes[0]) if len(hashes) > 1 and not task.baselines else "",
        rules=OwnRules(), metrics=_metrics(task, protocol), shots=shots, wordings=settings.wordings_of(protocol),
        sampled=sampled, empty=settings.empty_context_of(name),
    )  # fmt: skip
    if pool.groups:
        _check_pool(loaded, max(shots))
    _tell_concerns(loaded)
    return loaded


def _scored(task: Task, data: DataPaths, *, limit: int | None) -> Sequence[Pair]:
    """Read the scored documents: all, or of a limit those whose ids hash lowest, in the order of their hashes.

    All are read, because each must have an id of its own, but no more than the limit are held at a time.
    Raises DataError where there are none, none has a label, or two have the same id.
    """
    lowest, every, hashes, errors = _Lowest[Pair](limit), Gathered(), bytearray(), []
    for document, example in examples(task, "test", data):
        if not task.levels or document.level in task.levels:
            rank = _rank(document.id)
            hashes += rank[:_ID_BYTES]
            if limit is None:
                every.add((document, example))
            else:
                lowest.add(rank, (document, example))
            if example.error:
                errors.append(example.error)
    total = len(hashes) // _ID_BYTES
    if not total:
        raise DataError(f"{task.name}: its test data holds no documents ({task.source.at_hand(data)})")
    tell_unlabelled(task.name, "test", errors, total=total)
    ranks = np.frombuffer(hashes, dtype=f"S{_ID_BYTES}")
    order = np.argsort(ranks, kind="stable")
    ranks = ranks[order]
    different = 1 + np.count_nonzero(ranks[1:] != ranks[:-1])
    if different != total:
        where = task.source.at_hand(data)
        raise DataError(
            f"{task.name}: {total} documents with {different} different ids in {where}; expected unique ids"
        )
    return every.ordered(order) if limit is None else [pair for _, pair in lowest.kept()]


def _tell_concerns(loaded: Loaded) -> None:
    """Warn of documents on which a metric means little, and say how many there are."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for _, example in loaded.documents:
        for metric in loaded.metrics.values() if not example.error else ():
            if concern := metric.concern(example):
                counts[concern][metric.name] += 1
    name, total = loaded.task.name, len(loaded.documents)
    for concern, by_metric in counts.items():
        affected = max(by_metric.values())
        log.warning("%s: %d of %d documents have %s (%s)", name, affected, total, concern, ", ".join(by_metric))


def _metrics(task: Task, protocol: Protocol) -> dict[str, metrics.Metric]:
    try:
        reported = {name: metrics.get(name) for name in protocol.reported}
    except UsageError as error:
        raise UsageError(f"task {task.name}: {error}") from None
    for name, metric in reported.items():
        if metric.needs_choices and protocol.kind != "choice":
            raise UsageError(
                f"task {task.name}: metric {name!r} needs a protocol of the kind choice, not {protocol.kind}"
            )
        if name == UNCONDITIONAL and not protocol.answer_context:
            raise UsageError(f"task {task.name}: metric {name!r} needs a protocol with an answer_context")
    return reported


def count_documents(task: Task, data: DataPaths) -> int | None:
    """Count a task's documents where that is quick (local, and small or countable without parsing), else None."""
    if not task.source.at_hand(data):
        return None
    if task.documents is one_document and (rows := sources.count(task.source, data)) is not None:
        return rows
    if sources.size(task.source, data) > _QUICK:
        return None
    index = 0
    try:
        return sum(1 for index, row in enumerate(task.source.rows("test", data)) for _ in task.documents(row, index))
    except _ROW_ERRORS as error:
        raise _row_error(task, "test", data, index, error) from error


def examples(task: Task, split: Split, data: DataPaths) -> Iterator[Pair]:
    """Yield a split's documents with their examples; one whose label names no choice has an error instead.

    Raises DataError naming a row that the task cannot read.
    """
    place = sources.files(task.source, split, data)
    index = 0
    try:
        for index, row in enumerate(task.source.rows(split, data)):
            for document in task.documents(row, index):
                yield document, _example(task, document, where=_row(split, index, place))
    except _ROW_ERRORS as error:
        raise _row_error(task, split, data, index, error) from error


def tell_unlabelled(name: str, split: Split, errors: Sequence[str], *, total: int) -> None:
    """Warn of labels that name no choice, quoting the first. errors: those of the examples concerned, of `total`.

    Raises DataError where all labels are like that: a split without labels.
    """
    if not errors:
        return
    if len(errors) == total:
        use = "cannot be scored" if split == "test" else "has no examples to show or to train on"
        raise DataError(
            f"{name}: {errors[0]}; no label of its {split} data names one, and a split without labels {use}"
        )
    consequence = "are failed items" if split == "test" else "are left out"
    log.warning("%s: %d of %d labels name no choice and %s (%s)", name, len(errors), total, consequence, errors[0])


def _example(task: Task, document: Document, *, where: str) -> Example:
    """Make a document's example. Raises TypeError for a field that is not text, which would end up in the prompt."""
    needed = any(protocol.kind == "choice" for protocol in task.protocols.values())
    try:
        example = with_whole_gold(task.to_example(document), needed=needed)
    except LabelError as error:
        return Example.failed(f"{where}: {error}")
    texts = (document.id, document.cluster, document.level, example.input, example.output)
    for text in (*texts, *example.choices, *example.references, *example.parts.values()):
        if not isinstance(text, str):
            raise TypeError(f"{repr(text)[:60]} is {type(text).__name__}, not text")
    return example


def _row(split: Split, index: int, place: str) -> str:
    return f"row {index + 1} of its {split} data" + (f", {place}" if place else "")


def _row_error(task: Task, split: Split, data: DataPaths, index: int, error: Exception) -> DataError:
    place = sources.whereabouts(task.source, split, data, index)
    return DataError(
        f"{task.name}: {_row(split, index, '')} is not as expected ({type(error).__name__}: {error})"
        + (f"; it is in {place}" if place else "")
    )


def _pool(task: Task, data: DataPaths, *, same_split: bool) -> tuple[Pool, str]:
    """Read the pool of shots; return it and, where only a part was kept, how many of how many.

    same_split: it is the scored split. Ids and clusters are unique within one split only.
    """
    samples: dict[str, _Lowest[tuple[int, Document]]] = defaultdict(lambda: _Lowest(POOL_LIMIT))
    place = sources.files(task.source, "shots", data)
    index = 0
    try:
        for index, row in enumerate(task.source.rows("shots", data)):
            for document in task.documents(row, index):
                sample = samples[task.shot_group(document) if task.shot_group else ""]
                sample.add(_rank(document.id)[:8], (index, document))
        groups: dict[str, list[Pair]] = {group: [] for group in samples}
        for group, sample in samples.items():
            for _, (index, document) in sorted(sample.kept(), key=lambda kept: kept[0]):
                pooled = document if same_split else replace(document, id=f"shots/{document.id}", cluster="")
                example = _example(task, document, where=_row("shots", index, place))
                groups[group].append((pooled, example))
    except _ROW_ERRORS as error:
        raise _row_error(task, "shots", data, index, error) from error
    if not same_split:
        errors = [example.error for pairs in groups.values() for _, example in pairs]
        tell_unlabelled(task.name, "shots", [*filter(None, errors)], total=len(errors))
    groups = {group: [pair for pair in pairs if not pair[1].error] for group, pairs in groups.items()}
    size, total = sum(map(len, groups.values())), sum(sample.seen for sample in samples.values())
    return Pool(task.name, groups), f"{size} of {total}" if size < total else ""


class _Lowest(Generic[T]):
    """The items with the lowest ranks: a random subset that does not depend on the order in which they come.

    limit: how many are kept; None for all. seen: how many there were.
    """

    def __init__(self, limit: int | None):
        self.seen, self._limit = 0, limit
        self._heap: list[tuple[int, int, T]] = []

    def add(self, rank: bytes, item: T) -> None:
        """Add an item; it may push out an earlier one."""
        entry = (-int.from_bytes(rank, "big"), self.seen, item)
        self.seen += 1
        if self._limit is None or len(self._heap) < self._limit:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def kept(self) -> list[tuple[int, T]]:
        """Return (place among all, item), the lowest rank first."""
        return [(place, item) for _, place, item in sorted(self._heap, key=lambda entry: (-entry[0], entry[1]))]


def _rank(name: str) -> bytes:
    """Return the rank by which a document is taken into a subset; it depends on the id alone."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()


def _check_pool(loaded: Loaded, count: int) -> None:
    """Raise UsageError, before anything is computed, where a document would get fewer shots than requested.

    Documents are tried one by one only where that could happen: a draw skips the document itself, its cluster and
    equal inputs.
    """
    if count and len(loaded.pool.groups) == 1:
        [pairs] = loaded.pool.groups.values()
        same = Counter(document.cluster for document, _ in pairs if document.cluster)
        alike = Counter(example.input for _, example in pairs)
        if len(pairs) - max(same.values(), default=0) - max(alike.values(), default=0) >= count:
            return
    for document, example in loaded.documents:
        if not example.error:
            loaded.pool.draw(document, example, group=loaded.group(document), count=count, seed=0)
