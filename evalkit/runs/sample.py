"""A sample: the records of one task in cells that differ in their seed alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.runs.columns import OWN, CellColumns, Column, Documents, Ints, Table, as_ints


class Sample:
    """Records of one task in cells that differ in their seed alone, ordered by document and seed.

    Places below are those of records in that order.
    """

    def __init__(self, documents: Documents, parts: Sequence[tuple[int, CellColumns]]):
        self._documents, self._parts = documents, parts
        lengths = [len(held.documents) for _, held in parts]
        self._starts = np.cumsum([0, *lengths])[:-1]
        numbers = _concatenated([as_ints(held.documents) for _, held in parts])
        seeds = np.repeat(as_ints([seed for seed, _ in parts]), lengths)
        order = np.lexsort((seeds, documents.ranks[numbers]))
        self._places = np.empty_like(order)
        self._places[order] = np.arange(len(order))
        self.numbers, self.seeds = numbers[order], seeds[order]

    def statistics(self, metric: str, *, baseline: str = OWN) -> tuple[Ints, Table]:
        """Return the places (m) that have statistics of a metric, in order, and the (m, k) statistics."""
        return self._joined([held.statistics.get((baseline, metric)) for _, held in self._parts])

    def chances(self, metric: str) -> tuple[Ints, Table]:
        """Return the places (m) that have a chance level, in order, and the (m, 1) levels."""
        return self._joined([held.chance.get(metric) for _, held in self._parts])

    def values(self, metric: str, places: Ints) -> list[Any]:
        """Return the stored values of these places, by length of the document's id and then by the id."""
        found: dict[int, Any] = {}
        for start, (_, held) in zip(self._starts, self._parts, strict=True):
            found |= {int(self._places[start + row]): value for row, value in held.values.get(metric, {}).items()}
        return [found[place] for place in sorted(places.tolist(), key=lambda place: (len(self.id(place)), place))]

    def count(self, places: Ints) -> int:
        """Count the documents at these places."""
        return len(np.unique(self.numbers[places]))

    @property
    def failed(self) -> Ints:
        """The places of the records that failed."""
        return self._at([list(held.errors) for _, held in self._parts])

    @property
    def truncated(self) -> Ints:
        """The places whose prompts were shortened."""
        return self._at([held.truncated for _, held in self._parts])

    @property
    def levels(self) -> Counter[str]:
        """How many places have a document of each level."""
        counts: Counter[str] = Counter()
        for number, count in zip(*np.unique(self.numbers, return_counts=True), strict=True):
            counts[self._documents.levels[number]] += int(count)
        return counts

    def at_level(self, level: str) -> NDArray[np.bool_]:
        """Return whether the document of each place has this level."""
        return np.asarray([each == level for each in self._documents.levels])[self.numbers]

    @property
    def baselines(self) -> set[str]:
        """The names of the baselines that were scored."""
        return {source for _, held in self._parts for source, _ in held.statistics if source != OWN}

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics with statistics, in the order in which they first appear."""
        first = [(name, seed, metrics) for seed, held in self._parts for metrics, name in held.shapes.items()]
        return list(dict.fromkeys(metric for *_, metrics in sorted(first) for metric in metrics))

    def id(self, place: int) -> str:
        """Return the id of the document at a place."""
        return self._documents.ids[int(self.numbers[place])]

    def units(self, places: Ints) -> Sequence[str]:
        """Return the name of the independent unit at each place."""
        documents = self._documents
        return self._named(places, map(unit_name, documents.clusters, documents.ids))

    def passages(self, places: Ints) -> Sequence[str]:
        """Return the name of the passage at each place, or "" without one."""
        return self._named(places, (unit_name(cluster, "") if cluster else "" for cluster in self._documents.clusters))

    def _named(self, places: Ints, names: Iterable[str]) -> Sequence[str]:
        """Return the names of the documents at these places; each is one object, wherever it stands."""
        by_document = np.array([*names, ""], dtype=object)
        named: list[str] = by_document[self.numbers[places]].tolist()
        return named

    def _joined(self, columns: Sequence[Column | None]) -> tuple[Ints, Table]:
        joined = [
            (self._places[start + rows], table)
            for start, column in zip(self._starts, columns, strict=True)
            if column is not None
            for rows, table in [column.table()]
        ]
        if not joined:
            return np.empty(0, dtype=np.int64), np.empty((0, 1))
        places, table = (np.concatenate(each) for each in zip(*joined, strict=True))
        order = np.argsort(places)
        return places[order], table[order]

    def _at(self, rows: Sequence[Sequence[int]]) -> Ints:
        at = [self._places[start + as_ints(each)] for start, each in zip(self._starts, rows, strict=True)]
        return np.sort(_concatenated(at))


def unit_name(cluster: str, doc_id: str) -> str:
    """Return the name of an independent unit: a passage, or a document with all its seeds."""
    return f"passage {cluster}" if cluster else f"document {doc_id}"


def _concatenated(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([as_ints(()), *parts])
