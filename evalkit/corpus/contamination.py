"""Evaluation text in the corpus, found and cut as GPT-3 did it (Brown et al. 2020, appendix C).

A run of 13 words that a document shares with a task is cut out with 200 characters on either side. So the unit is a
passage, not a document: a book that is quoted once in a benchmark stays, except for the quotation. Pieces of fewer than
200 characters are removed, and so is a document that would fall into more than ten pieces. Runs of words that occur in
more than ten documents are common phrases and are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evalkit.corpus.clean import clean
from evalkit.corpus.word_hashes import GramSet, WordHasher, grams, spans
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

_LONG = 1000  # characters

# Collisions of one document, (collisions, 4): the gram, its first character, the one after its last, and the task.
Hits = NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class EvaluationText:
    """The runs of words of the tasks' scored documents.

    grams: sorted hashes, each once. tasks: for each gram the index in `names` of the first task that has it.
    examples: per task, how many documents were read, and how many of them are too short to be found.
    """

    names: tuple[str, ...]
    grams: NDArray[np.uint64]
    tasks: NDArray[np.uint16]
    examples: tuple[tuple[int, int], ...]

    @cached_property
    def _set(self) -> GramSet:
        return GramSet(self.grams)

    def find(self, text: str, words: NDArray[np.uint64]) -> Hits:
        """Return the collisions of a text whose words are hashed, (collisions, 4)."""
        text_grams = grams(words, n=N)
        matches, places = self._set.matches(text_grams)
        if not len(matches):
            return np.zeros((0, 4), dtype=np.uint64)
        word_spans = np.array(list(spans(text)), dtype=np.uint64)
        tasks = self.tasks[places].astype(np.uint64)
        return np.stack([text_grams[matches], word_spans[matches, 0], word_spans[matches + N - 1, 1], tasks], axis=1)


def choose(words: Sequence[str] | None, data: DataPaths) -> list[Task]:
    """Return the named tasks, or every benchmark for which the user has files.

    The latter does not include the generated world's tasks, which its pages never contain.
    """
    if words is not None:
        return catalog.select(words)
    tasks = catalog.bundled().values()
    return [t for t in tasks if isinstance(t.source, BenchmarkSource) and t.source.find("test", data)]


def evaluation_text(tasks: Sequence[Task], data: DataPaths) -> EvaluationText:
    """Read the scored documents of the tasks. Raises DataError for wrong files, UsageError for too many tasks."""
    if len(tasks) > np.iinfo(np.uint16).max:
        raise UsageError(f"too many tasks to compare with: {len(tasks)}")
    grams_of_tasks, examples = [], []
    hasher = WordHasher()
    with progress("read evaluation text", total=len(tasks), unit="tasks") as bar:
        for task in tasks:
            task_grams, counts = _grams_of(task, data, hasher)
            grams_of_tasks.append(task_grams)
            examples.append(counts)
            bar.advance(1, note=task.name)
    all_grams = np.concatenate([*grams_of_tasks, np.zeros(0, dtype=np.uint64)])
    owners = np.repeat(np.arange(len(tasks), dtype=np.uint16), [len(task_grams) for task_grams in grams_of_tasks])
    values, first = np.unique(all_grams, return_index=True)
    names = tuple(task.name for task in tasks)
    return EvaluationText(names=names, grams=values, tasks=owners[first], examples=tuple(examples))


def _grams_of(task: Task, data: DataPaths, hasher: WordHasher) -> tuple[NDArray[np.uint64], tuple[int, int]]:
    """Return a task's grams, each once, with the number of its examples and of those without any gram."""
    last: dict[str, str] = {}
    text_grams = [np.zeros(0, dtype=np.uint64)]
    read = short = 0
    for _, example in load.examples(task, "test", data):
        if example.error:
            continue
        texts = _texts(example)
        new_grams = [grams(hasher(clean(_new(text, last.get(name, "")))), n=N) for name, text in texts.items()]
        last = texts
        read += 1
        short += not any(map(len, new_grams))
        text_grams += new_grams
    return np.unique(np.concatenate(text_grams)), (read, short)


def _new(text: str, before: str) -> str:
    """Return what is new in a text compared with the one before it, which it may continue (a dialogue's next turn)."""
    return text[max(0, len(before) - _LONG) :] if text.startswith(before) else text


def _texts(example: Example) -> dict[str, str]:
    """Return an example's texts: its input, parts and options, and its answer after the input's last words."""
    last_words = " ".join(example.input[-_LONG:].split()[1 - N :])
    texts = {"input": example.input, "original": example.original, "answer": f"{last_words} {example.output}"}
    choices = {f"choice {i}": choice for i, choice in enumerate(example.choices)}
    return texts | choices | {f"part {name}": text for name, text in example.parts.items()}


def common_grams(documents: Iterable[Hits]) -> NDArray[np.uint64]:
    """Return the grams that more than COMMON of the documents hold, sorted."""
    grams_of_documents = [np.unique(hits[:, 0]) for hits in documents if len(hits)]
    values, counts = np.unique(np.concatenate([*grams_of_documents, np.zeros(0, dtype=np.uint64)]), return_counts=True)
    return values[counts > COMMON]


def without(hits: Hits, common: NDArray[np.uint64]) -> Hits:
    """Return the collisions except those with common grams."""
    return hits[~np.isin(hits[:, 0], common)] if len(hits) else hits


def pieces(length: int, hits: Hits) -> list[tuple[int, int]]:
    """Return the (start, end) of the pieces that remain of a document of `length` characters; none if too many."""
    remaining, start = [], 0
    for first, last in sorted(zip(hits[:, 1].tolist(), hits[:, 2].tolist(), strict=True)):
        if first - MARGIN > start:
            remaining.append((start, first - MARGIN))
        start = max(start, last + MARGIN)
    if start < length:
        remaining.append((start, length))
    if len(remaining) > MOST_PIECES:
        return []
    return [(a, b) for a, b in remaining if b - a >= SHORTEST] if len(hits) else remaining
