"""Where the records lie that the browser of samples may show, and which of them it shows.

The columns say at which byte of the journal each record starts, so only those that are shown are read. Of large runs,
these are the documents whose ids hash lowest: the same ones of every model, whatever else the runs hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.report.pages.pieces import Group
from evalkit.runs.columns import Ints, as_ints
from evalkit.runs.journal import open_lines
from evalkit.runs.record_lines import record_at
from evalkit.runs.scores import Scores
from evalkit.runs.store import StoredRun
from evalkit.types import Record

TaskKey = tuple[str, str, str]  # task as the run names it, protocol, template
Ranks = NDArray[np.uint64]


@dataclass(frozen=True)
class _Places:
    """A group's records in one run: the document's number, the first byte and the length of each."""

    numbers: Ints
    offsets: Ints
    lengths: Ints

    def where(self, chosen: NDArray[np.bool_]) -> _Places:
        return _Places(self.numbers[chosen], self.offsets[chosen], self.lengths[chosen])


@dataclass(eq=False)
class RunRecords:
    """The records of a run that the page may show, each document with its first seed.

    ids, ranks: of the documents by the run's task, in the order of their numbers. tasks: of each group, as the run
    names it. shown: the places of the records that are shown; at first all.
    """

    folder: Path
    ids: Mapping[str, Sequence[str]]
    ranks: Mapping[str, Ranks]
    tasks: dict[Group, str] = field(default_factory=dict)
    places: dict[Group, list[_Places]] = field(default_factory=dict)
    shown: dict[Group, list[_Places]] = field(default_factory=dict)

    def ranked(self, group: Group) -> Iterator[tuple[Ranks, _Places]]:
        """Yield the ranks of a group's documents and the places of their records."""
        for places in self.places.get(group, ()):
            yield self.ranks[self.tasks[group]][places.numbers], places

    def read(self, only: Mapping[Group, Collection[str]] | None = None) -> Iterator[tuple[Group, Record]]:
        """Read the records that are shown. only: the ids of the documents to read. Raises StoreError."""
        with open_lines(self.folder / "records.jsonl") as file:
            for group, parts in self.shown.items():
                ids = self.ids[self.tasks[group]]
                for places in parts:
                    for number, offset in zip(places.numbers.tolist(), places.offsets.tolist(), strict=True):
                        if only is None or ids[number] in only.get(group, ()):
                            yield group, record_at(self.folder, file, offset)


def locate(run: StoredRun, names: Mapping[TaskKey, str]) -> RunRecords:
    """Find the records of the tasks that are shown. names: of these tasks, as the report has them.

    Raises StoreError as `StoredRun.scores` does.
    """
    scores = run.scores()
    starts, lengths = _extents(scores, (run.folder / "records.jsonl").stat().st_size)
    ids = {task: documents.ids for task, documents in scores.documents.items()}
    located = RunRecords(run.folder, ids, {task: _ranks(its) for task, its in ids.items()})
    seeds: dict[Group, int] = {}
    for cell, held in scores.columns.items():
        task = names.get((cell.task, cell.protocol, cell.template))
        if task is None:
            continue
        group = (task, cell.shots, cell.variant)
        if cell.seed == seeds.setdefault(group, cell.seed):
            offsets = as_ints(held.offsets)
            places = _Places(as_ints(held.documents), offsets, lengths[np.searchsorted(starts, offsets)])
            located.tasks[group] = cell.task
            located.places.setdefault(group, []).append(places)
    located.shown = dict(located.places)
    return located


def choose(runs: Sequence[RunRecords], most: int) -> None:
    """Choose the documents to show: of each group as many as its share of `most` bytes of records holds, at least one.

    Groups that need less than an equal share leave the rest to the others.
    """
    groups = list(dict.fromkeys(group for run in runs for group in run.places))
    sizes = [sum(int(places.lengths.sum()) for run in runs for places in run.places.get(group, ())) for group in groups]
    if sum(sizes) <= most:
        return
    share = _share(sizes, most)
    for group, size in zip(groups, sizes, strict=True):
        if size > share:
            last = _last_rank([each for run in runs for each in run.ranked(group)], share)
            for run in runs:
                if group in run.places:
                    run.shown[group] = [places.where(ranks <= last) for ranks, places in run.ranked(group)]


def counts(runs: Sequence[RunRecords]) -> dict[Group, int]:
    """Return how many different documents each group has."""
    groups = dict.fromkeys(group for run in runs for group in run.places)
    return {
        group: len(np.unique(np.concatenate([r for run in runs for r, _ in run.ranked(group)]))) for group in groups
    }


def _extents(scores: Scores, size: int) -> tuple[Ints, Ints]:
    """Return the first byte and the length of every record of a journal of this size."""
    starts = np.sort(
        np.concatenate([np.empty(0, np.int64), *(as_ints(held.offsets) for held in scores.columns.values())])
    )
    return starts, np.diff(starts, append=size)


def _ranks(ids: Sequence[str]) -> Ranks:
    """Return the ranks by which documents are chosen: as `pieces` sorts them, by the first 8 bytes of the SHA-256."""
    hashes = b"".join(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8] for name in ids)
    return np.frombuffer(hashes, dtype=">u8").astype(np.uint64)


def _share(sizes: Sequence[int], most: int) -> int:
    """Return the largest size to which all have to be cut so that together they are at most `most`."""
    left = most
    for taken, size in enumerate(sorted(sizes)):
        if size * (len(sizes) - taken) >= left:
            return left // (len(sizes) - taken)
        left -= size
    return left


def _last_rank(parts: Sequence[tuple[Ranks, _Places]], most: int) -> int:
    """Return the rank of the last document that is chosen, all models' records of a document together."""
    ranks = np.concatenate([ranks for ranks, _ in parts])
    lengths = np.concatenate([places.lengths for _, places in parts])
    different, which = np.unique(ranks, return_inverse=True)
    ends = np.cumsum(np.bincount(which, weights=lengths))
    return int(different[max(int(np.searchsorted(ends, most, side="right")) - 1, 0)])
