"""The tests' side: the texts of the scored documents, and their runs of words.

GPT-2 looks for runs of 8 words (Radford et al. 2019, section 4). GPT-3 looks for runs of N words, N being the 5th
percentile of the documents' lengths, at least 8 (2 for made tasks) and at most 13 (Brown et al. 2020, appendix C).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evalkit.corpus.clean import clean
from evalkit.corpus.word_hashes import GramSet, WordHasher, grams
from evalkit.data.sources import DataPaths
from evalkit.errors import DataError, NoDataError, UsageError
from evalkit.harness import load
from evalkit.harness.loaded import ImportedTask
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Task
from evalkit.progress import progress
from evalkit.types import Document, Example

log = logging.getLogger(__name__)

T = TypeVar("T")

OVERLAP_N = 8
LEAST_N, MOST_N, LEAST_SYNTHETIC_N = 8, 13, 2
_PERCENTILE = 5
_BLOCK = 512  # documents of a training split that are compared at a time


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The runs of n words of T texts. values: (G,) sorted hashes, each once. places: (R,) of each run in `values`.

    bounds: (T + 1,) where the runs of each text begin, and the end.
    """

    n: int
    values: NDArray[np.uint64]
    places: NDArray[np.int64]
    bounds: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Item:
    """A scored document with its answer as one text. cluster: its passage. level: its level; empty for none."""

    text: str
    id: str = ""
    cluster: str = ""
    level: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskText:
    """A task's scored documents.

    n: GPT-3's N. ids: of the documents. texts: what is looked for, one or more per document. owners: (T,) the document
    of each text, ascending. lengths: (D,) words of each document's input and answer. runs: by n, of 8 words and of N.
    in_own_train: which values of runs[8] are in the task's own training split; None where it has none.
    """

    name: str
    n: int
    ids: Sequence[str]
    texts: Sequence[str]
    owners: NDArray[np.int64]
    lengths: NDArray[np.int64]
    runs: Mapping[int, Runs]
    in_own_train: NDArray[np.bool_] | None


def read(tasks: Sequence[Task], data: DataPaths, *, own: bool = True) -> list[TaskText]:
    """Read the tasks' scored documents. own: and compare them with their training splits.

    Tasks without data are left out with a warning. Raises NoDataError if none has any, DataError for wrong files and
    for a task without a text.
    """
    hasher = WordHasher()
    return _of_each(tasks, lambda task: _read(task, data, hasher, own=own))


def items(tasks: Sequence[Task], data: DataPaths) -> dict[str, list[Item]]:
    """Return the tasks' scored documents with their answers, in the order of the files; raises as `read` does."""
    return dict(_of_each(tasks, lambda task: (task.name, _items(task, data))))


def _of_each(tasks: Sequence[Task], read_task: Callable[[Task], T]) -> list[T]:
    """Return what was read of each task; those without data are left out with a warning, unless none has any."""
    results: list[T] = []
    missing: list[NoDataError] = []
    with progress("read the tasks", total=len(tasks), unit="tasks") as bar:
        for task in tasks:
            bar.advance(0, note=task.name)
            try:
                results.append(read_task(task))
            except NoDataError as error:
                missing.append(error)
            bar.advance(1)
    if missing and not results:
        raise missing[0]
    for reason in missing:
        log.warning("left out: %s", reason)
    return results


def findable(tasks: Sequence[TaskText]) -> tuple[list[TaskText], list[str]]:
    """Return the tasks that an index of 8-grams can judge, and what a reader has to know.

    Raises UsageError if there is none.
    """
    texts = [task for task in tasks if task.n >= OVERLAP_N]
    left_out = ", ".join(f"{task.name} (N = {task.n})" for task in tasks if task.n < OVERLAP_N)
    if not texts:
        raise UsageError(f"an index of 8-grams does not have the shorter runs of {left_out}; give the corpus itself")
    notes = [
        "The index holds 8-grams: a longer run counts as seen where all its 8-grams were, so no fewer documents are "
        "dirty than a search of the corpus itself finds."
    ]
    if left_out:
        notes.append(f"Left out, because an index of 8-grams does not have their shorter runs: {left_out}.")
    return texts, notes


def texts_of(example: Example) -> list[str]:
    """Return the texts of an example that are looked for: its input with the answer, then each of the options."""
    return [clean(text) for text in (f"{example.input} {example.output}", *example.choices)]


def gram_length(lengths: NDArray[np.int64], *, synthetic: bool) -> int:
    """Return GPT-3's N for documents of these lengths in words."""
    least = LEAST_SYNTHETIC_N if synthetic else LEAST_N
    return int(np.clip(np.percentile(lengths, _PERCENTILE), least, MOST_N))


def runs_of(words: Sequence[NDArray[np.uint64]], *, n: int) -> Runs:
    """Return the runs of n words of texts whose words are hashed."""
    by_text = [grams(text, n=n) for text in words]
    values, places = np.unique(np.concatenate([*by_text, np.zeros(0, dtype=np.uint64)]), return_inverse=True)
    bounds = np.cumsum([0, *map(len, by_text)])
    return Runs(n=n, values=values, places=places.astype(np.int64), bounds=bounds)


def sought(tasks: Sequence[TaskText]) -> dict[int, NDArray[np.uint64]]:
    """Return all runs of words of the tests by n, each once, sorted."""
    lengths = sorted({n for task in tasks for n in task.runs})
    return {n: np.unique(np.concatenate([t.runs[n].values for t in tasks if n in t.runs])) for n in lengths}


def _read(task: Task, data: DataPaths, hasher: WordHasher, *, own: bool) -> TaskText:
    ids: list[str] = []
    texts: list[str] = []
    owners: list[int] = []
    for document, example in _scored(task, data):
        document_texts = texts_of(example)
        texts += document_texts
        owners += [len(ids)] * len(document_texts)
        ids.append(document.id)
    words = [hasher(text) for text in texts]
    if not any(map(len, words)):
        raise _without_words(task, data)
    first = np.flatnonzero(np.diff([-1, *owners]))  # the text with the answer
    lengths = np.array([len(words[place]) for place in first], dtype=np.int64)
    n = gram_length(lengths, synthetic=task.family == "synthetic")
    runs = {length: runs_of(words, n=length) for length in {OVERLAP_N, n}}
    return TaskText(
        name=task.name, n=n, ids=ids, texts=texts, owners=np.array(owners, dtype=np.int64), lengths=lengths, runs=runs,
        in_own_train=_in_own_train(task, data, hasher, runs[OVERLAP_N].values) if own else None,
    )  # fmt: skip


def _items(task: Task, data: DataPaths) -> list[Item]:
    texts = [(document, texts_of(example)[0]) for document, example in _scored(task, data)]
    if not any(text for _, text in texts):
        raise _without_words(task, data)
    return [
        Item(id=document.id, text=text, cluster=document.cluster, level=document.level)
        for document, text in texts
        if text
    ]


def _without_words(task: Task, data: DataPaths) -> DataError:
    return DataError(f"{task.name}: its test data holds no words ({task.source.at_hand(data)})")


def _scored(task: Task, data: DataPaths) -> Iterator[tuple[Document, Example]]:
    if isinstance(task, ImportedTask):
        pairs: Iterable[tuple[Document, Example]] = task.load(RunSettings(), data).documents
    else:
        pairs = load.examples(task, "test", data)
    for document, example in pairs:
        if not example.error and (not task.levels or document.level in task.levels):
            yield document, example


def _in_own_train(
    task: Task, data: DataPaths, hasher: WordHasher, values: NDArray[np.uint64]
) -> NDArray[np.bool_] | None:
    """Return which of the hashes are in the task's training split; None where it has none, or is another tool's."""
    if isinstance(task, ImportedTask) or task.source.fingerprint("shots", data) == task.source.fingerprint(
        "test", data
    ):
        return None
    present = np.zeros(len(values), dtype=bool)
    wanted = GramSet(values)
    for texts in _blocks(load.examples(task, "shots", data)):
        found = np.concatenate([grams(hasher(text), n=OVERLAP_N) for text in texts])
        present[wanted.matches(found)[1]] = True
    return present


def _blocks(pairs: Iterable[tuple[Document, Example]]) -> Iterator[list[str]]:
    """Yield the texts of some documents at a time: a lookup in the set costs the same for one text as for many."""
    texts: list[str] = []
    for number, (_, example) in enumerate(pairs, start=1):
        texts += texts_of(example) if not example.error else []
        if number % _BLOCK == 0 and texts:
            yield texts
            texts = []
    if texts:
        yield texts
