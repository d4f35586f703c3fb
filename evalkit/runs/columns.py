"""The columns that scores are held in: of a task's documents, of a metric, and of a cell's records.

A record takes kilobytes as an object, most of them texts, and a run may have millions. Here a document takes the bytes
of its statistics and about thirty more per cell; its id, passage and level are held once for all cells of its task.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.types import Record, Response

Ints = NDArray[np.int64]
Table = NDArray[np.float64]

OWN = ""  # the source of the model's own statistics; those of a baseline have its name
Key = tuple[str, str]  # a source and a metric


class Documents:
    """The documents of a task, numbered as they come."""

    def __init__(self, ids: Sequence[str] = (), clusters: Sequence[str] = (), levels: Sequence[str] = ()):
        self.ids, self.clusters, self.levels = list(ids), list(clusters), list(levels)
        self._numbers: dict[str, int] = {}
        self._ranks: Ints = np.empty(0, dtype=np.int64)

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each id; made when it is needed, because readers of a whole run do without."""
        if not self._numbers:
            self._numbers = {name: number for number, name in enumerate(self.ids)}
        return self._numbers

    def number(self, name: str, cluster: str, level: str) -> int:
        """Return a document's number, a new one for a document that is not held yet."""
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


class Column:
    """Rows of a cell, and as many numbers for each."""

    def __init__(self, width: int):
        self.width = width
        self.rows, self.numbers = array("I"), array("d")

    def add(self, row: int, numbers: Sequence[float]) -> None:
        """Add a row's numbers."""
        self.rows.append(row)
        self.numbers.extend(numbers)

    def update(self, column: Column, *, start: int) -> None:
        """Add another column of the same width, whose rows begin at `start`."""
        self.rows.frombytes((np.array(column.rows) + np.uint32(start)).tobytes())
        self.numbers.extend(column.numbers)

    def table(self) -> tuple[Ints, Table]:
        """Return the rows (m) and the numbers (m, width)."""
        return as_ints(self.rows), np.array(self.numbers, dtype=np.float64).reshape(len(self.rows), self.width)


class CellColumns:
    """The records of a cell, a row each in the order in which they came.

    documents: the number of each row's document. offsets: the byte of records.jsonl at which its line starts. answers:
    a checksum of its responses. statistics: by baseline (or OWN) and metric. shapes: which metrics records have, each
    with the first id, in alphabetical order, of the documents that have these. unlikely: whether some record has
    responses without any log-likelihood.
    """

    def __init__(self) -> None:
        self.documents = array("I")
        self.offsets = array("q")
        self.answers = array("I")
        self.errors: dict[int, str] = {}
        self.truncated = array("I")
        self.statistics: dict[Key, Column] = {}
        self.chance: dict[str, Column] = {}
        self.values: dict[str, dict[int, Any]] = {}
        self.shapes: dict[tuple[str, ...], str] = {}
        self.unlikely = False
        self._seen = bytearray()

    def __len__(self) -> int:
        return len(self.documents)

    def has(self, number: int) -> bool:
        """Whether there is a record of the document with this number."""
        return 0 <= number < len(self._marks) and bool(self._marks[number])

    @property
    def _marks(self) -> bytearray:
        """Whether each number has a record; made when it is needed, because readers of a whole run do without."""
        if not self._seen and self.documents:
            seen = np.zeros(max(self.documents) + 1, dtype=np.uint8)
            seen[as_ints(self.documents)] = 1
            self._seen.extend(seen.tobytes())
        return self._seen

    def _new(self, number: int, offset: int, answer: int) -> int:
        marks = self._marks
        if number >= len(marks):
            marks.extend(bytes(number + 1 - len(marks)))
        marks[number] = 1
        self.documents.append(number)
        self.offsets.append(offset)
        self.answers.append(answer)
        return len(self.documents) - 1

    def add(self, number: int, record: Record, offset: int) -> None:
        """Add a record of the document with this number, whose statistics have the widths of the others."""
        row = self._new(number, offset, answer_checksum(record.responses))
        self.unlikely = self.unlikely or not any(response.loglikelihood for response in record.responses)
        if record.error:
            self.errors[row] = record.error
        if record.prompt.dropped or record.prompt.cut:
            self.truncated.append(row)
        for key, numbers in statistics_of(record):
            column_of(self.statistics, key, len(numbers)).add(row, numbers)
        for metric, chance in record.chance.items():
            column_of(self.chance, metric, 1).add(row, (chance,))
        for metric, value in record.values.items():
            self.values.setdefault(metric, {})[row] = value
        self._note_shape(tuple(record.scores), record.doc_id)

    def update(self, cell: CellColumns, numbers: Sequence[int], *, start: int) -> None:
        """Add another cell's records, with statistics of the same widths.

        numbers: of its documents here. start: what its offsets are counted from.
        """
        row = len(self.documents)
        for number, offset, answer in zip(cell.documents, cell.offsets, cell.answers, strict=True):
            self._new(numbers[number], start + offset, answer)
        self.unlikely |= cell.unlikely
        self.errors |= {row + each: error for each, error in cell.errors.items()}
        self.truncated.extend(row + each for each in cell.truncated)
        for key, column in cell.statistics.items():
            column_of(self.statistics, key, column.width).update(column, start=row)
        for metric, column in cell.chance.items():
            column_of(self.chance, metric, column.width).update(column, start=row)
        for metric, values in cell.values.items():
            self.values.setdefault(metric, {}).update({row + each: value for each, value in values.items()})
        for metrics, name in cell.shapes.items():
            self._note_shape(metrics, name)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Whether each row has statistics of the model's own."""
        scored = np.zeros(len(self.documents), dtype=np.bool_)
        for (source, _), column in self.statistics.items():
            if source == OWN:
                scored[as_ints(column.rows)] = True
        return scored

    def _note_shape(self, metrics: tuple[str, ...], name: str) -> None:
        self.shapes[metrics] = min(name, self.shapes.get(metrics, name))


def statistics_of(record: Record) -> Iterator[tuple[Key, Sequence[float]]]:
    """Yield a record's statistics, each with what it is of."""
    for metric, numbers in record.scores.items():
        yield (OWN, metric), numbers
    for name, scores in record.baselines.items():
        for metric, numbers in scores.items():
            yield (name, metric), numbers


def answer_checksum(responses: Sequence[Response]) -> int:
    """Return a checksum of a record's responses: their texts and likelihoods, as JSON writes these."""
    answers = []
    for response in responses:
        likelihood = response.loglikelihood
        written = float.__repr__(likelihood) if isinstance(likelihood, float) else repr(likelihood)
        answers.append(f"{written} {response.text}")
    return zlib.crc32("\0".join(answers).encode("utf-8", "surrogatepass"))


def column_of(columns: dict[Any, Column], key: Any, width: int) -> Column:
    """Return the column of this key, a new one if need be."""
    column = columns.get(key)
    if column is None:
        column = columns[key] = Column(width)
    return column


def as_ints(numbers: Sequence[int]) -> Ints:
    """Return a copy as an array of integers."""
    return np.array(numbers, dtype=np.int64)
