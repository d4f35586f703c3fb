"""Scores: what the aggregates and comparisons need of a run's records, in columns of numbers (columns.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from evalkit.runs.columns import CellColumns, Documents, Key, statistics_of
from evalkit.runs.sample import Sample
from evalkit.types import Cell, Record


class Scores:
    """The scores of records, added one by one or merged; a document counts once per cell.

    documents: by task. columns: by cell. widths: how many statistics each task's metrics have, of the model and of
    baselines; all documents have as many.
    """

    def __init__(self, records: Iterable[Record] = ()):
        self.documents: dict[str, Documents] = {}
        self.columns: dict[Cell, CellColumns] = {}
        self.widths: dict[str, dict[Key, int]] = {}
        for record in records:
            self.add(record)

    def __contains__(self, key: tuple[Cell, str]) -> bool:
        """Whether there is a record of this document in this cell."""
        cell, name = key
        held = self.columns.get(cell)
        return held is not None and held.has(self.documents[cell.task].numbers.get(name, -1))

    def __len__(self) -> int:
        return sum(map(len, self.columns.values()))

    def __iter__(self) -> Iterator[tuple[Cell, str]]:
        for cell, held in self.columns.items():
            names = self.documents[cell.task].ids
            yield from ((cell, names[number]) for number in held.documents)

    @property
    def cells(self) -> Sequence[Cell]:
        """The cells that have records."""
        return tuple(self.columns)

    def add(self, record: Record, *, offset: int = 0) -> None:
        """Add a record. offset: the byte of the journal at which its line starts.

        Raises ValueError where a metric has another number of statistics than before.
        """
        cell = record.cell
        self._take_widths(cell.task, {key: len(numbers) for key, numbers in statistics_of(record)})
        if cell not in self.columns:
            self.columns[cell] = CellColumns()
            self.documents.setdefault(cell.task, Documents())
        number = self.documents[cell.task].number(record.doc_id, record.cluster, record.level)
        self.columns[cell].add(number, record, offset)

    def update(self, scores: Scores, *, start: int = 0) -> None:
        """Merge other records' scores. start: what their offsets are counted from. Raises ValueError as `add` does."""
        self.check_widths(scores)
        for task, documents in scores.documents.items():
            own = self.documents.setdefault(task, Documents())
            self._take_widths(task, scores.widths.get(task, {}))
            numbers = [own.number(*each) for each in zip(*documents.columns, strict=True)]
            for cell, held in scores.columns.items():
                if cell.task == task:
                    self.columns.setdefault(cell, CellColumns()).update(held, numbers, start=start)

    def without(self, tasks: Iterable[str]) -> Scores:
        """Return the scores of the other tasks; the columns are shared."""
        left_out = set(tasks)
        rest = Scores()
        rest.documents = self.documents
        rest.columns = {cell: held for cell, held in self.columns.items() if cell.task not in left_out}
        rest.widths = self.widths
        return rest

    def beyond(self, planned: Mapping[Cell, Collection[str]]) -> tuple[Cell, str] | None:
        """Return a record of a cell or a document that is not planned, or None. planned: the ids of each cell."""
        for cell, held in self.columns.items():
            ids, allowed = self.documents[cell.task].ids, planned.get(cell, ())
            foreign = {number for number, name in enumerate(ids) if name not in allowed}
            if foreign and (number := next((each for each in held.documents if each in foreign), None)) is not None:
                return cell, ids[number]
        return None

    def take(self, cell: Cell, columns: CellColumns) -> None:
        """Hold the columns of a cell whose documents are held. Raises ValueError as `add` does."""
        self._take_widths(cell.task, {key: column.width for key, column in columns.statistics.items()})
        self.columns[cell] = columns

    def check_widths(self, scores: Scores) -> None:
        """Raise ValueError where other records' scores cannot be merged with these, as `add` does."""
        for task, widths in scores.widths.items():
            _check_widths(self.widths.get(task, {}), widths)

    def _take_widths(self, task: str, widths: Mapping[Key, int]) -> None:
        held = self.widths.setdefault(task, {})
        if not widths.items() <= held.items():
            _check_widths(held, widths)
            held.update(widths)

    def sample(self, task: str, cells: Sequence[Cell]) -> Sample:
        """Return the records of a task's cells that differ in their seed alone."""
        return Sample(self.documents[task], [(cell.seed, self.columns[cell]) for cell in cells])

    def errors(self, cell: Cell) -> tuple[Sequence[str], int]:
        """Return the reasons of the records that failed, and how many records there are."""
        held = self.columns[cell]
        return tuple(held.errors.values()), len(held)


def _check_widths(held: Mapping[Key, int], widths: Mapping[Key, int]) -> None:
    for key, width in widths.items():
        if width != (expected := held.get(key, width)):
            raise ValueError(f"{width} statistics of {key[1]!r:.60}, where others have {expected}")
