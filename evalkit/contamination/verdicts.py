"""What was seen of each task and each document: GPT-2's overlap, GPT-3's clean and dirty documents, and the passage.

GPT-2 (Radford et al. 2019, section 4): the share of the test's different 8-grams that the training text has.
GPT-3 (Brown et al. 2020, appendix C): a document is dirty if any of its N-grams is in the training text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.contamination.documents import OVERLAP_N, Runs, TaskText
from evalkit.contamination.search import Sightings
from evalkit.corpus.word_hashes import spans


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One document. length: its words. overlap_seen, overlap: 8-grams, with repetitions. seen: N-grams of `runs`.

    passage: the longest run of words of a dirty document that was seen; source, training_document: where first.
    """

    document: str
    length: int
    overlap_seen: int
    overlap: int
    seen: int
    runs: int
    passage: str = ""
    source: str = ""
    training_document: int = -1

    @property
    def dirty(self) -> bool:
        """Whether any N-gram was seen."""
        return self.seen > 0

    @property
    def share(self) -> float:
        """The share of its 8-grams that was seen; 0 without any."""
        return self.overlap_seen / self.overlap if self.overlap else 0.0


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """One task. n: GPT-3's N. overlap_seen, overlap: different 8-grams; own_seen: those in its own training split.

    own_seen is None where the task has no such split.
    """

    task: str
    n: int
    overlap_seen: int
    overlap: int
    own_seen: int | None
    verdicts: Sequence[Verdict]

    @property
    def documents(self) -> int:
        """The number of documents."""
        return len(self.verdicts)

    @property
    def dirty(self) -> int:
        """The number of dirty documents."""
        return sum(verdict.dirty for verdict in self.verdicts)

    @property
    def short(self) -> int:
        """The number of documents with fewer than N words, which cannot be found."""
        return sum(not verdict.runs for verdict in self.verdicts)

    @property
    def share(self) -> float | None:
        """GPT-2's share of 8-grams in the training text; None without 8-grams."""
        return self.overlap_seen / self.overlap if self.overlap else None

    @property
    def own_share(self) -> float | None:
        """The share of 8-grams in the task's own training split; None without one, or without 8-grams."""
        return self.own_seen / self.overlap if self.own_seen is not None and self.overlap else None

    @property
    def mean_share(self) -> float | None:
        """The mean over documents with 8-grams of their own shares; None without any."""
        shares = [verdict.share for verdict in self.verdicts if verdict.overlap]
        return sum(shares) / len(shares) if shares else None


def judge(task: TaskText, sightings: Sightings) -> Overlap:
    """Return what was seen of a task."""
    short = _first_of(task.runs[OVERLAP_N], sightings)
    long = _first_of(task.runs[task.n], sightings) if task.n in sightings.first else _whole(task, short)
    overlap_seen, overlap = _by_document(task, task.runs[OVERLAP_N], short >= 0)
    seen, runs = _by_document(task, task.runs[task.n], long >= 0)
    passages = _passages(task, long, sightings.sources)
    verdicts = [
        Verdict(
            document=name, length=int(task.lengths[i]), overlap_seen=int(overlap_seen[i]), overlap=int(overlap[i]),
            seen=int(seen[i]), runs=int(runs[i]), **passages.get(i, {}),
        )
        for i, name in enumerate(task.ids)
    ]  # fmt: skip
    values = task.runs[OVERLAP_N].values
    own = task.in_own_train
    return Overlap(
        task=task.name, n=task.n, overlap_seen=int((sightings.first_of(values, n=OVERLAP_N) >= 0).sum()),
        overlap=len(values), own_seen=None if own is None else int(own.sum()), verdicts=verdicts,
    )  # fmt: skip


def _first_of(runs: Runs, sightings: Sightings) -> NDArray[np.int64]:
    """Return the first document of the corpus, or -1, for each run of the texts in their order."""
    return sightings.first_of(runs.values, n=runs.n)[runs.places]


def _whole(task: TaskText, short: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0 for each run of N words all of whose 8-grams were seen, else -1, for an index that has no others.

    They may have been seen in different places, so that no fewer runs count than a search of the corpus finds.
    """
    assert task.n >= OVERLAP_N, "a run of fewer words has no 8-gram"
    width = task.n - OVERLAP_N + 1
    inner, outer = task.runs[OVERLAP_N].bounds, task.runs[task.n].bounds
    places = np.arange(outer[-1]) + np.repeat(inner[:-1] - outer[:-1], np.diff(outer))
    counts = np.concatenate([[0], np.cumsum(short >= 0)])
    return np.where(counts[places + width] - counts[places] == width, 0, -1)


def _by_document(task: TaskText, runs: Runs, seen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the runs of each document that were seen, and all of them."""
    owners = np.repeat(task.owners, np.diff(runs.bounds))
    counts = [np.bincount(owners[chosen], minlength=len(task.ids)) for chosen in (seen, np.ones_like(seen))]
    return counts[0], counts[1]


def _passages(task: TaskText, first: NDArray[np.int64], sources: Mapping[int, str]) -> dict[int, dict[str, Any]]:
    """Return for each dirty document the longest passage that was seen, and the document of the corpus that has it."""
    runs = task.runs[task.n]
    longest: dict[int, tuple[int, int, int, int]] = {}  # length in runs, text, first run, training document
    for text in np.unique(np.searchsorted(runs.bounds, np.flatnonzero(first >= 0), side="right") - 1).tolist():
        seen = first[runs.bounds[text] : runs.bounds[text + 1]]
        starts, ends = np.flatnonzero(np.diff(np.concatenate([[0], seen >= 0, [0]]))).reshape(-1, 2).T
        at = int((ends - starts).argmax())
        start, length = int(starts[at]), int(ends[at] - starts[at])
        owner = int(task.owners[text])
        if length > longest.get(owner, (0,))[0]:
            longest[owner] = (length, text, start, int(seen[start]))
    return {
        owner: {
            "passage": _words(task.texts[text], start, start + length + task.n - 1),
            "source": sources.get(document, ""),
            "training_document": document if document in sources else -1,
        }
        for owner, (length, text, start, document) in longest.items()
    }


def _words(text: str, start: int, end: int) -> str:
    """Return a text from word `start` to before word `end`."""
    places = list(islice(spans(text), start, end))
    return text[places[0][0] : places[-1][1]]
