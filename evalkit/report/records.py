"""The records of a run as a table, a batch of rows at a time: numbers from the columns, texts from the journal.

A row is a record: its cell, its document, what went wrong, and each metric's score of this document alone, as tables
show it. Texts are read only where a column needs them, at the places in records.jsonl that the columns name.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from evalkit import metrics
from evalkit.errors import EvalkitError, StoreError, UsageError, unknown
from evalkit.runs.columns import OWN, CellColumns, Column
from evalkit.runs.journal import open_lines
from evalkit.runs.record_lines import record_at
from evalkit.runs.signature import Signature
from evalkit.runs.store import StoredRun
from evalkit.types import Cell, Record

_ROWS = 4096

# Of a whole cell, of a document, and of a record's texts: with the kind of value.
OF_CELL = {"model": str, **{field.name: int if field.name in ("shots", "seed") else str for field in fields(Cell)}}
OF_DOCUMENT = {"doc_id": str, "cluster": str, "level": str, "truncated": bool, "error": str}
TEXTS: Mapping[str, Callable[[Record], Any]] = {
    "gold": lambda record: record.gold,
    "prediction": lambda record: record.prediction,
    "contexts": lambda record: list(record.prompt.contexts),
    "continuations": lambda record: list(record.continuations),
    "loglikelihoods": lambda record: [response.loglikelihood for response in record.responses],
    "answers": lambda record: [response.text for response in record.responses],
}
_KINDS_OF_TEXTS = {"gold": str, "prediction": str, "loglikelihoods": list[float]}

_CLAUSE = re.compile(r" *(.+?) *(!=|<=|>=|=|<|>) *(.*)", re.DOTALL)
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

Batch = dict[str, list[Any]]


@dataclass(frozen=True)
class Clause:
    """One condition on a column."""

    column: str
    sign: str
    value: Any

    def holds(self, value: Any) -> bool:
        """Whether a value meets it; a missing one meets none."""
        return value is not None and _COMPARISONS[self.sign](value, self.value)


class Table:
    """The records of a run that meet all conditions.

    where: KEY=VALUE, KEY!=VALUE, KEY<VALUE and so on. columns: names; ("all",) with the texts, () without these.
    Raises UsageError for a column that there is not, and StoreError as `StoredRun.scores` does.
    """

    def __init__(self, run: StoredRun, *, where: Sequence[str] = (), columns: Sequence[str] = ()):
        self._run, self._scores = run, run.scores()
        self._rules = {(r.task, r.metric): Signature.parse(r.signature).rule for r in run.results}
        available = {**OF_CELL, **OF_DOCUMENT, **dict.fromkeys(self._metrics, float), **_text_kinds()}
        plain = [name for name in available if name not in TEXTS]
        for name in columns:
            if name not in available and name != "all":
                raise unknown("column", name, [*available, "all"])
        chosen = list(available) if "all" in columns else list(columns) or plain
        self.columns: Mapping[str, Any] = {name: available[name] for name in chosen}
        self._clauses = [_parsed(text, available) for text in where]
        self._needed = {*chosen, *(clause.column for clause in self._clauses)}

    def check_cells(self) -> None:
        """Raise UsageError for a condition that no record can meet, because no cell of the run has such a value."""
        cells = [self._values(cell) for cell in self._scores.columns]
        for clause in self._clauses:
            if clause.column in OF_CELL and clause.sign == "=":
                values = {values[clause.column] for values in cells}
                if clause.column == "task":  # an unfinished run has no record yet of some
                    values |= {*self._run.settings.get("tasks", ())}
                if clause.value not in values:
                    raise unknown(clause.column, str(clause.value), map(str, values), where="in this run")

    def _values(self, cell: Cell) -> dict[str, Any]:
        """Return the values of a cell's columns."""
        return {"model": self._model, **{field.name: getattr(cell, field.name) for field in fields(Cell)}}

    def batches(self) -> Iterator[Batch]:
        """Yield the columns of some rows at a time, cell by cell. Raises StoreError for a line that cannot be read."""
        with open_lines(self._run.folder / "records.jsonl") as file:
            for cell, held in self._scores.columns.items():
                of_cell = self._values(cell)
                if all(c.holds(of_cell[c.column]) for c in self._clauses if c.column in of_cell):
                    yield from self._of_cell(cell, held, of_cell, file)

    @cached_property
    def _model(self) -> str:
        return str((self._run.settings.get("model") or {}).get("model", ""))

    @cached_property
    def _metrics(self) -> Mapping[str, str]:
        """The metrics of any task by their columns, in the order of the results."""
        widths = (of_task.items() for of_task in self._scores.widths.values())
        scored = {name for its in widths for (source, name), width in its if source == OWN and width}
        listed = dict.fromkeys(result.metric for result in self._run.results if result.metric in scored)
        taken = {*OF_CELL, *OF_DOCUMENT, *TEXTS}
        return {f"{name}_score" if name in taken else name: name for name in [*listed, *sorted(scored - listed.keys())]}

    def _of_cell(self, cell: Cell, held: CellColumns, of_cell: Mapping[str, Any], file: IO[bytes]) -> Iterator[Batch]:
        documents = self._scores.documents[cell.task]
        truncated = set(held.truncated)
        scores = {
            column: self._score(cell, name, held) for column, name in self._metrics.items() if column in self._needed
        }
        for start in range(0, len(held), _ROWS):
            rows = range(start, min(start + _ROWS, len(held)))
            numbers = held.documents[rows.start : rows.stop]
            batch: Batch = {name: [value] * len(rows) for name, value in of_cell.items()}
            batch |= {
                "doc_id": [documents.ids[n] for n in numbers], "cluster": [documents.clusters[n] for n in numbers],
                "level": [documents.levels[n] for n in numbers], "truncated": [row in truncated for row in rows],
                "error": [held.errors.get(row, "") for row in rows],
            }  # fmt: skip
            for name, values in scores.items():
                batch[name] = [None if x != x else x for x in values[rows.start : rows.stop].tolist()]
            offsets = held.offsets[rows.start : rows.stop].tolist()
            if kept := self._narrowed(batch, offsets, file):
                yield kept

    def _narrowed(self, batch: Batch, offsets: Sequence[int], file: IO[bytes]) -> Batch:
        """Leave out the rows that do not meet the conditions, and add texts; empty without rows."""
        batch, offsets = self._filtered(batch, offsets)
        texts = [name for name in TEXTS if name in self._needed]
        if texts and offsets:
            records = [record_at(self._run.folder, file, offset) for offset in offsets]
            batch |= {name: [TEXTS[name](record) for record in records] for name in texts}
            batch, offsets = self._filtered(batch, offsets)
        return {name: batch[name] for name in self.columns} if offsets else {}

    def _filtered(self, batch: Batch, offsets: Sequence[int]) -> tuple[Batch, Sequence[int]]:
        clauses = [clause for clause in self._clauses if clause.column in batch]
        if not clauses:
            return batch, offsets
        kept = [i for i in range(len(offsets)) if all(clause.holds(batch[clause.column][i]) for clause in clauses)]
        return {name: [values[i] for i in kept] for name, values in batch.items()}, [offsets[i] for i in kept]

    def _score(self, cell: Cell, name: str, held: CellColumns) -> NDArray[np.float64]:
        """Return each record's score, as shown; NaN where it has none."""
        scores = np.full(len(held), np.nan)
        column = held.statistics.get((OWN, name))
        if column and column.width:
            rows, _ = column.table()
            scores[rows] = self._shown(cell, name, column)
        return scores

    def _shown(self, cell: Cell, name: str, column: Column) -> NDArray[np.float64]:
        _, table = column.table()
        try:
            metric = metrics.get(name, self._rules.get((cell.task, name), ""))
        except EvalkitError:  # of a task's own code, which averages the first statistic
            return table[:, 0]
        try:
            with np.errstate(all="ignore"):
                return np.asarray(metric.aggregate(table, np.ones(len(table)))) * metric.scale
        except (IndexError, TypeError, ValueError):
            raise StoreError(f"{self._run.folder}: {column.width} statistics are not those of {name}") from None


def _text_kinds() -> dict[str, Any]:
    return {name: _KINDS_OF_TEXTS.get(name, list[str]) for name in TEXTS}


def _parsed(text: str, columns: Mapping[str, Any]) -> Clause:
    """Parse a condition. Raises UsageError for anything else, and for a column that there is not."""
    match = _CLAUSE.fullmatch(text)
    if not match:
        raise UsageError(f"--where {text!r}: expected KEY=VALUE, with one of {', '.join(_COMPARISONS)}")
    name, sign, value = match.groups()
    if name not in columns:
        raise unknown("column", name, columns, where="in --where")
    kind = columns[name]
    if kind not in _READ:
        raise UsageError(f"--where {text!r}: {name} is a list, which cannot be compared")
    expected, read = _READ[kind]
    try:
        return Clause(name, sign, read(value))
    except (KeyError, ValueError):
        raise UsageError(f"--where {text!r}: expected {expected}, not {value!r}") from None


# How a value is read from a condition, by its kind.
_READ: Mapping[Any, tuple[str, Callable[[str], Any]]] = {
    str: ("a text", str),
    int: ("a whole number", int),
    float: ("a number", float),
    bool: ("true or false", lambda value: {"true": True, "false": False}[value.lower()]),
}
