"""Evaluation text in the corpus, found and cut as GPT-3 did it (Brown et al. 2020, appendix C).

A run of 13 words that a document shares with a task is cut out with 200 characters on either side. The unit is thus a
passage, not a document: a book that is quoted once in a benchmark stays, but for the quotation. Pieces of fewer than
200 characters go, and so does a document that would fall into more than ten pieces. Runs of words that stand in more
than ten documents are common phrases, and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evalkit.corpus.clean import clean
from evalkit.corpus.word_hashes import WordHasher, grams, spans
from evalkit.data.sources import BenchmarkSource, DataPaths
from evalkit.errors import UsageError
from evalkit.harness import catalog, load
from evalkit.harness.task import Task
from evalkit.progress import progress
from evalkit.types import Example

N = 13
MARGIN = 200
SHORTEST = 200
MOST_PIECES = 10
COMMON = 10

_BITS = 24
_REST = np.uint64(64 - _BITS)
_LONG = 1000  # characters

# Collisions of one document: column 0 the gram, then its first character, the one after its last, and the task.
Hits = NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class EvaluationText:
    """The runs of words of the tasks' scored documents.

    grams: sorted hashes, each once. tasks: for each gram the index in `names` of the first task that has it.
    examples: by task, how many documents were read, and how many of them are too short to be found.
    """

    names: tuple[str, ...]
    grams: NDArray[np.uint64]
    tasks: NDArray[np.uint16]
    examples: tuple[tuple[int, int], ...]

    @cached_property
    def _beginnings(self) -> NDArray[np.bool_]:
        """Whether any gram begins with these bits: a look into 16 MB spares most grams the search."""
        there = np.zeros(1 << _BITS, dtype=bool)
        there[self.grams >> _REST] = True
        return there

    def find(self, text: str, words: NDArray[np.uint64]) -> Hits:
        """Return the collisions of a text whose words are hashed, (collisions, 4)."""
        own = grams(words, n=N)
        if not (len(own) and len(self.grams)):
            return np.zeros((0, 4), dtype=np.uint64)
        maybe = np.flatnonzero(self._beginnings[own >> _REST])
        places = np.searchsorted(self.grams, own[maybe]).clip(max=len(self.grams) - 1)
        same = self.grams[places] == own[maybe]
        found, places = maybe[same], places[same]
        if not len(found):
            return np.zeros((0, 4), dtype=np.uint64)
        where = np.array(list(spans(text)), dtype=np.uint64)
        tasks = self.tasks[places].astype(np.uint64)
        return np.stack([own[found], where[found, 0], where[found + N - 1, 1], tasks], axis=1)


def choose(words: Sequence[str] | None, data: DataPaths) -> list[Task]:
    """Return the tasks named, or every benchmark of which the user has files.

    The generated world's tasks are among the latter not: its pages never hold them.
    """
    if words is not None:
        return catalog.select(words)
    tasks = catalog.bundled().values()
    return [t for t in tasks if isinstance(t.source, BenchmarkSource) and t.source.find("test", data)]


def evaluation_text(tasks: Sequence[Task], data: DataPaths) -> EvaluationText:
    """Read the scored documents of the tasks. Raises DataError for wrong files, UsageError for too many tasks."""
    if len(tasks) > np.iinfo(np.uint16).max:
        raise UsageError(f"too many tasks to compare with: {len(tasks)}")
    found, examples = [], []
    hasher = WordHasher()
    with progress("read evaluation text", total=len(tasks), unit="tasks") as bar:
        for task in tasks:
            its_grams, counts = _grams_of(task, data, hasher)
            found.append(its_grams)
            examples.append(counts)
            bar.advance(1, note=task.name)
    every = np.concatenate([*found, np.zeros(0, dtype=np.uint64)])
    owners = np.repeat(np.arange(len(tasks), dtype=np.uint16), [len(its_grams) for its_grams in found])
    values, first = np.unique(every, return_index=True)
    names = tuple(task.name for task in tasks)
    return EvaluationText(names=names, grams=values, tasks=owners[first], examples=tuple(examples))


def _grams_of(task: Task, data: DataPaths, hasher: WordHasher) -> tuple[NDArray[np.uint64], tuple[int, int]]:
    """Return a task's grams, each once, with how many examples it has and how many of them have none."""
    last: dict[str, str] = {}
    found = [np.zeros(0, dtype=np.uint64)]
    read = short = 0
    for _, example in load.examples(task, "test", data):
        if example.error:
            continue
        texts = _texts(example)
        fresh = [grams(hasher(clean(_new(text, last.get(name, "")))), n=N) for name, text in texts.items()]
        last = texts
        read += 1
        short += not any(map(len, fresh))
        found += fresh
    return np.unique(np.concatenate(found)), (read, short)


def _new(text: str, known: str) -> str:
    """Return what a text says beyond the one before it, of which it may be a continuation (a dialogue's next turn)."""
    return text[max(0, len(known) - _LONG) :] if text.startswith(known) else text


def _texts(example: Example) -> dict[str, str]:
    """Return what an example says: its input, parts and options, and its answer after the input's last words."""
    last_words = " ".join(example.input[-_LONG:].split()[1 - N :])
    own = {"input": example.input, "original": example.original, "answer": f"{last_words} {example.output}"}
    choices = {f"choice {i}": choice for i, choice in enumerate(example.choices)}
    return own | choices | {f"part {name}": text for name, text in example.parts.items()}


def common_grams(documents: Iterable[Hits]) -> NDArray[np.uint64]:
    """Return the grams that more than COMMON of the documents hold, sorted."""
    each = [np.unique(hits[:, 0]) for hits in documents if len(hits)]
    values, counts = np.unique(np.concatenate([*each, np.zeros(0, dtype=np.uint64)]), return_counts=True)
    return values[counts > COMMON]


def without(hits: Hits, common: NDArray[np.uint64]) -> Hits:
    """Return the collisions but those with common grams."""
    return hits[~np.isin(hits[:, 0], common)] if len(hits) else hits


def pieces(length: int, hits: Hits) -> list[tuple[int, int]]:
    """Return what stays of a document of so many characters, as (start, end); nothing of one in too many pieces."""
    kept, start = [], 0
    for first, last in sorted(zip(hits[:, 1].tolist(), hits[:, 2].tolist(), strict=True)):
        if first - MARGIN > start:
            kept.append((start, first - MARGIN))
        start = max(start, last + MARGIN)
    if start < length:
        kept.append((start, length))
    if len(kept) > MOST_PIECES:
        return []
    return [(a, b) for a, b in kept if b - a >= SHORTEST] if len(hits) else kept
