"""Scores: what the aggregates and comparisons need of a run's records, in columns of numbers (columns.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from evalkit.runs.columns import OWN, CellColumns, Documents
from evalkit.runs.sample import Sample
from evalkit.types import Cell, Record


class Scores:
    """The scores of records, added one by one or merged; a document counts once per cell.

    documents: by task. columns: by cell.
    """

    def __init__(self, records: Iterable[Record] = ()):
        self.documents: dict[str, Documents] = {}
        self.columns: dict[Cell, CellColumns] = {}
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
        if cell not in self.columns:
            self.columns[cell] = CellColumns()
            self.documents.setdefault(cell.task, Documents())
        number = self.documents[cell.task].number(record.doc_id, record.cluster, record.level)
        self.columns[cell].add(number, record, offset)

    def update(self, scores: Scores, *, start: int = 0) -> None:
        """Merge other records' scores. start: what their offsets are counted from. Raises ValueError as `add` does."""
        for task, documents in scores.documents.items():
            own = self.documents.setdefault(task, Documents())
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
        return rest

    def beyond(self, planned: Mapping[Cell, Collection[str]]) -> tuple[Cell, str] | None:
        """Return a record of a cell or a document that is not planned, or None. planned: the ids of each cell."""
        for cell, held in self.columns.items():
            ids, allowed = self.documents[cell.task].ids, planned.get(cell, ())
            foreign = {number for number, name in enumerate(ids) if name not in allowed}
            if foreign and (number := next((each for each in held.documents if each in foreign), None)) is not None:
                return cell, ids[number]
        return None

    def widths(self) -> Iterator[tuple[tuple[str, str], int]]:
        """Yield how many statistics each task's metrics have."""
        for cell, held in self.columns.items():
            yield from (((cell.task, name), c.width) for (source, name), c in held.statistics.items() if source == OWN)

    def sample(self, task: str, cells: Sequence[Cell]) -> Sample:
        """Return the records of a task's cells that differ in their seed alone."""
        return Sample(self.documents[task], [(cell.seed, self.columns[cell]) for cell in cells])

    def errors(self, cell: Cell) -> tuple[Sequence[str], int]:
        """Return the reasons of the records that failed, and how many records there are."""
        held = self.columns[cell]
        return tuple(held.errors.values()), len(held)
