"""Scores: what the aggregates need of a run's records, in columns of numbers.

A record takes kilobytes as an object, most of them texts, and a run may have millions. Here a document takes the bytes
of its statistics and about twenty more per cell; its id, passage and level are held once for all cells of its task.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.types import Cell, Record

Ints = NDArray[np.int64]
Table = NDArray[np.float64]

_OWN = ""  # the source of the model's own statistics; those of a baseline have its name


class Scores:
    """The scores of records, added one by one or merged; a document counts once per cell."""

    def __init__(self, records: Iterable[Record] = ()):
        self._documents: dict[str, _Documents] = {}
        self._cells: dict[Cell, _Cell] = {}
        for record in records:
            self.add(record)

    def __contains__(self, key: tuple[Cell, str]) -> bool:
        """Whether there is a record of this document in this cell."""
        cell, name = key
        held = self._cells.get(cell)
        return held is not None and held.has(self._documents[cell.task].numbers.get(name, -1))

    def __len__(self) -> int:
        return sum(len(held.documents) for held in self._cells.values())

    def __iter__(self) -> Iterator[tuple[Cell, str]]:
        for cell, held in self._cells.items():
            names = self._documents[cell.task].ids
            yield from ((cell, names[number]) for number in held.documents)

    @property
    def cells(self) -> Sequence[Cell]:
        """The cells that have records."""
        return tuple(self._cells)

    def add(self, record: Record) -> None:
        """Add a record. Raises ValueError where a metric has another number of statistics than before."""
        documents = self._documents.setdefault(record.cell.task, _Documents())
        number = documents.number(record.doc_id, record.cluster, record.level)
        self._cells.setdefault(record.cell, _Cell()).add(number, record)

    def update(self, scores: Scores) -> None:
        """Merge other records' scores. Raises ValueError as `add` does."""
        for task, documents in scores._documents.items():
            own = self._documents.setdefault(task, _Documents())
            numbers = [own.number(*each) for each in zip(*documents.columns, strict=True)]
            for cell, held in scores._cells.items():
                if cell.task == task:
                    self._cells.setdefault(cell, _Cell()).update(held, numbers)

    def without(self, tasks: Iterable[str]) -> Scores:
        """Return the scores of the other tasks; the columns are shared."""
        left_out = set(tasks)
        rest = Scores()
        rest._documents = self._documents
        rest._cells = {cell: held for cell, held in self._cells.items() if cell.task not in left_out}
        return rest

    def sample(self, task: str, cells: Sequence[Cell]) -> Sample:
        """Return the records of a task's cells that differ in their seed alone."""
        return Sample(self._documents[task], [(cell.seed, self._cells[cell]) for cell in cells])

    def errors(self, cell: Cell) -> tuple[Sequence[str], int]:
        """Return the reasons of the records that failed, and how many records there are."""
        held = self._cells[cell]
        return tuple(held.errors.values()), len(held.documents)


class Sample:
    """Records of one task in cells that differ in their seed alone, ordered by document and seed.

    Places below are those of records in that order.
    """

    def __init__(self, documents: _Documents, parts: Sequence[tuple[int, _Cell]]):
        self._documents, self._parts = documents, parts
        lengths = [len(held.documents) for _, held in parts]
        self._starts = np.cumsum([0, *lengths])[:-1]
        numbers = _concatenated([_ints(held.documents) for _, held in parts])
        seeds = np.repeat(_ints([seed for seed, _ in parts]), lengths)
        order = np.lexsort((seeds, documents.ranks[numbers]))
        self._places = np.empty_like(order)
        self._places[order] = np.arange(len(order))
        self.numbers, self.seeds = numbers[order], seeds[order]

    def statistics(self, metric: str, *, baseline: str = _OWN) -> tuple[Ints, Table]:
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
        return {source for _, held in self._parts for source, _ in held.statistics if source != _OWN}

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

    def _joined(self, columns: Sequence[_Column | None]) -> tuple[Ints, Table]:
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
        at = [self._places[start + _ints(each)] for start, each in zip(self._starts, rows, strict=True)]
        return np.sort(_concatenated(at))


def unit_name(cluster: str, doc_id: str) -> str:
    """Return the name of an independent unit: a passage, or a document with all its seeds."""
    return f"passage {cluster}" if cluster else f"document {doc_id}"


class _Documents:
    """The documents of a task, numbered as they come."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.ids: list[str] = []
        self.clusters: list[str] = []
        self.levels: list[str] = []
        self._ranks: Ints = np.empty(0, dtype=np.int64)

    def number(self, name: str, cluster: str, level: str) -> int:
        number = self.numbers.setdefault(name, len(self.ids))
        if number == len(self.ids):
            self.ids.append(name)
            self.clusters.append(cluster)
            self.levels.append(level)
        return number

    @property
    def columns(self) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        """The ids, clusters and levels."""
        return self.ids, self.clusters, self.levels

    @property
    def ranks(self) -> Ints:
        """The place of each document among the sorted ids."""
        if len(self._ranks) != len(self.ids):
            self._ranks = np.empty(len(self.ids), dtype=np.int64)
            self._ranks[sorted(range(len(self.ids)), key=self.ids.__getitem__)] = np.arange(len(self.ids))
        return self._ranks


class _Column:
    """Rows of a cell, and as many numbers for each."""

    def __init__(self, width: int):
        self.width = width
        self.rows, self.numbers = array("I"), array("d")

    def add(self, row: int, numbers: Sequence[float]) -> None:
        self.rows.append(row)
        self.numbers.extend(numbers)

    def update(self, column: _Column, *, start: int) -> None:
        self.check(column.width)
        self.rows.frombytes((np.array(column.rows) + np.uint32(start)).tobytes())
        self.numbers.extend(column.numbers)

    def table(self) -> tuple[Ints, Table]:
        return _ints(self.rows), np.array(self.numbers, dtype=np.float64).reshape(len(self.rows), self.width)

    def check(self, width: int) -> None:
        if width != self.width:
            raise ValueError(f"{width} statistics of a metric, where other documents have {self.width}")


class _Cell:
    """The records of a cell, a row each in the order in which they came.

    documents: the number of each row's document. statistics: by baseline (or _OWN) and metric. shapes: which metrics
    records have, each with the first id, in alphabetical order, of the documents that have these.
    """

    def __init__(self) -> None:
        self.documents = array("I")
        self.errors: dict[int, str] = {}
        self.truncated = array("I")
        self.statistics: dict[tuple[str, str], _Column] = {}
        self.chance: dict[str, _Column] = {}
        self.values: dict[str, dict[int, Any]] = {}
        self.shapes: dict[tuple[str, ...], str] = {}
        self._seen = bytearray()

    def has(self, number: int) -> bool:
        return 0 <= number < len(self._seen) and bool(self._seen[number])

    def _new(self, number: int) -> int:
        if number >= len(self._seen):
            self._seen.extend(bytes(number + 1 - len(self._seen)))
        self._seen[number] = 1
        self.documents.append(number)
        return len(self.documents) - 1

    def add(self, number: int, record: Record) -> None:
        columns = [
            (_column(self.statistics, (source, metric), len(numbers)), numbers)
            for source, scores in ((_OWN, record.scores), *record.baselines.items())
            for metric, numbers in scores.items()
        ]
        for column, numbers in columns:
            column.check(len(numbers))
        row = self._new(number)
        if record.error:
            self.errors[row] = record.error
        if record.prompt.dropped or record.prompt.cut:
            self.truncated.append(row)
        for column, numbers in columns:
            column.add(row, numbers)
        for metric, chance in record.chance.items():
            _column(self.chance, metric, 1).add(row, (chance,))
        for metric, value in record.values.items():
            self.values.setdefault(metric, {})[row] = value
        self._note_shape(tuple(record.scores), record.doc_id)

    def update(self, cell: _Cell, numbers: Sequence[int]) -> None:
        start = len(self.documents)
        for number in cell.documents:
            self._new(numbers[number])
        self.errors |= {start + row: error for row, error in cell.errors.items()}
        self.truncated.extend(start + row for row in cell.truncated)
        for key, column in cell.statistics.items():
            _column(self.statistics, key, column.width).update(column, start=start)
        for metric, column in cell.chance.items():
            _column(self.chance, metric, column.width).update(column, start=start)
        for metric, values in cell.values.items():
            self.values.setdefault(metric, {}).update({start + row: value for row, value in values.items()})
        for metrics, name in cell.shapes.items():
            self._note_shape(metrics, name)

    def _note_shape(self, metrics: tuple[str, ...], name: str) -> None:
        self.shapes[metrics] = min(name, self.shapes.get(metrics, name))


def _column(columns: dict[Any, _Column], key: Any, width: int) -> _Column:
    """Return the column of this key, a new one if need be."""
    if key not in columns:
        columns[key] = _Column(width)
    return columns[key]


def _concatenated(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([_ints(()), *parts])


def _ints(numbers: Sequence[int]) -> Ints:
    return np.array(numbers, dtype=np.int64)
