"""scores.npz: the columns of a run's scores beside its journal, so that nobody has to parse that again.

An uncompressed zip of NumPy arrays (numpy.load reads it without evalkit). `header` is JSON: of which run it is, the
size and SHA-256 of the part of records.jsonl that it was made from (and the digest that results.json holds of it), and
what cannot be an array. The others:

    task3/ids, task3/clusters, task3/levels    texts as JSON: different ones, and which one each document has
    cell5/documents, offsets, answers          of each record, in the order of the journal
    cell5/truncated                            rows whose prompts were shortened
    cell5/statistics2/rows, numbers            the rows that have this metric, and their statistics, (rows, width)
    cell5/chance0/rows, numbers                the same of a metric's chance levels

It is a copy: where it is missing, damaged, of another version or of another journal, records.jsonl is read instead. One
of the journal's beginning, as a killed run leaves it, spares reading that part.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import zipfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import StoreError, cannot
from evalkit.files import check_regular, replacing
from evalkit.runs.columns import CellColumns, Column, Documents, as_ints
from evalkit.runs.journal import JOURNAL, SCORES, open_lines
from evalkit.runs.scores import Scores
from evalkit.runs.shapes import check
from evalkit.types import Cell

log = logging.getLogger(__name__)

_FORMAT = 1
_BLOCK = 1 << 20

_Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class _AboutCell:
    """What the header says of a cell: its fields are those of CellColumns that cannot be arrays.

    statistics, chance: of which source and metric each column is.
    """

    cell: Cell
    statistics: Sequence[Sequence[str]]
    chance: Sequence[str]
    errors: Mapping[str, str]
    values: Mapping[str, Mapping[str, Any]]
    shapes: Sequence[Sequence[Any]]
    unlikely: bool


@dataclass(frozen=True, kw_only=True)
class _Header:
    """The header, as `find` describes it."""

    format: int
    run: str
    size: int
    sha256: str
    records: str
    tasks: Sequence[str]
    cells: Sequence[_AboutCell]


class Content:
    """The SHA-256 of the first `size` bytes of a file that grows."""

    def __init__(self, path: Path):
        self.path, self.size = path, 0
        self._sum = hashlib.sha256()

    def upto(self, size: int) -> str:
        """Read on to this size, and return the digest; of fewer bytes where the file is shorter.

        Raises StoreError where it cannot be read.
        """
        try:
            with open_lines(self.path) as file:
                file.seek(self.size)
                while self.size < size and (block := file.read(min(_BLOCK, size - self.size))):
                    self._sum.update(block)
                    self.size += len(block)
        except OSError as error:
            raise cannot("read", self.path, error) from error
        return self._sum.hexdigest()


@dataclass(frozen=True)
class Saved:
    """A file that was made from the first `content.size` bytes of a journal, which are as they were.

    records: the digest of all records of the journal, in any order; "" where it is unknown, or there are more by now.
    """

    path: Path
    header: Mapping[str, Any]
    content: Content
    records: str

    def scores(self) -> Scores | None:
        """Return the scores of these records; None where the file is damaged, or is another one by now."""
        with _unless_wrong(self.path), np.load(self.path, allow_pickle=False) as arrays:
            if _parsed(arrays["header"]) != self.header:
                raise ValueError("it was written again")
            return _unpacked(self.header, arrays)
        return None


@contextlib.contextmanager
def _unless_wrong(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass
    except Exception as error:  # of damaged files, zipfile and NumPy raise almost anything
        log.debug("%s is not used (%s)", path, error)


def save(folder: Path, scores: Scores, content: Content, *, run: str, size: int, records: str = "") -> None:
    """Write the file. content: of the journal, of which these scores are the first `size` bytes. run: the run's digest.

    The same journal gives the same bytes, whether its records were read from it or written to it.
    Raises StoreError where it cannot be written.
    """
    arrays: _Arrays = {}
    cells = sorted(scores.columns.items(), key=lambda pair: pair[1].offsets[0])
    tasks = dict.fromkeys(cell.task for cell, _ in cells)
    header = {
        "format": _FORMAT, "run": run, "size": size, "sha256": content.upto(size), "records": records,
        "tasks": [_pack_documents(f"task{i}", task, scores.documents[task], arrays) for i, task in enumerate(tasks)],
        "cells": [_pack_cell(f"cell{i}", *pair, arrays) for i, pair in enumerate(cells)],
    }  # fmt: skip
    with replacing(folder / SCORES) as file:
        np.savez(file, allow_pickle=False, header=_json(header), **arrays)


def find(folder: Path, *, run: str) -> Saved | None:
    """Find the file of a run; None where it is missing, damaged or not of this journal. run: the run's digest."""
    path = folder / SCORES
    with _unless_wrong(path):
        check_regular(path, StoreError)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("compressed")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("larger than its file")
        with np.load(path, allow_pickle=False) as arrays:
            header = _parsed(arrays["header"])
        check(_Header, header)
        if (header["format"], header["run"]) != (_FORMAT, run):
            raise ValueError("of another run, or another version's")
        content = Content(folder / JOURNAL)
        if content.upto(header["size"]) != header["sha256"] or content.size != header["size"]:
            raise ValueError("not made from the journal as it is")
        complete = content.size == (folder / JOURNAL).stat().st_size
        return Saved(path, header, content, header["records"] if complete else "")
    return None


def load(folder: Path, *, run: str) -> tuple[Scores, Saved] | None:
    """Find the file of a run as `find` does, and read it."""
    saved = find(folder, run=run)
    scores = saved.scores() if saved else None
    return (scores, saved) if saved and scores is not None else None


def _unpacked(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Scores:
    """Build scores. Raises some exception for anything that does not fit together."""
    scores = Scores()
    for i, task in enumerate(header["tasks"]):
        scores.documents[task] = _unpack_documents(f"task{i}", arrays)
    for i, about in enumerate(header["cells"]):
        cell = Cell(**about["cell"])
        columns = _unpack_cell(f"cell{i}", about, arrays, documents=len(scores.documents[cell.task].ids))
        scores.take(cell, columns)
    return scores


def _pack_documents(name: str, task: str, documents: Documents, arrays: _Arrays) -> str:
    """Add a task's arrays; return its entry in the header."""
    for column, texts in zip(("ids", "clusters", "levels"), documents.columns, strict=True):
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        arrays[f"{name}/{column}"] = _json([*places])
        if len(places) < len(texts):
            arrays[f"{name}/{column}/which"] = np.fromiter(map(places.__getitem__, texts), dtype="u4", count=len(texts))
    return task


def _unpack_documents(name: str, arrays: Mapping[str, NDArray[Any]]) -> Documents:
    columns: list[list[str]] = []
    for column in ("ids", "clusters", "levels"):
        texts = _parsed(arrays[f"{name}/{column}"])
        if f"{name}/{column}/which" in arrays:
            texts = [*map(texts.__getitem__, _of_kind(arrays[f"{name}/{column}/which"], "u4").tolist())]
        columns.append(texts)
    if len({*map(len, columns)}) != 1 or not all(isinstance(text, str) for texts in columns for text in texts):
        raise ValueError("documents that do not fit together")
    return Documents(*columns)


def _pack_cell(name: str, cell: Cell, columns: CellColumns, arrays: _Arrays) -> dict[str, Any]:
    """Add a cell's arrays; return its entry in the header."""
    for row, kind in _ROWS.items():
        arrays[f"{name}/{row}"] = np.frombuffer(getattr(columns, row), dtype=kind)
    statistics, chance = sorted(columns.statistics), sorted(columns.chance)
    held = [columns.statistics[key] for key in statistics], [columns.chance[key] for key in chance]
    for kind, its in zip(("statistics", "chance"), held, strict=True):
        for i, column in enumerate(its):
            arrays[f"{name}/{kind}{i}/rows"] = np.frombuffer(column.rows, dtype="u4")
            numbers = np.frombuffer(column.numbers, dtype="f8")
            arrays[f"{name}/{kind}{i}/numbers"] = numbers.reshape(len(column.rows), column.width)
    shapes: dict[tuple[str, ...], str] = {}
    for metrics, first in columns.shapes.items():  # the journal has them in alphabetical order
        names = tuple(sorted(metrics))
        shapes[names] = min(first, shapes.get(names, first))
    return {
        "cell": asdict(cell), "statistics": statistics, "chance": chance,
        "errors": columns.errors, "values": columns.values, "shapes": sorted(shapes.items()),
        "unlikely": columns.unlikely,
    }  # fmt: skip


# The arrays of a cell with their types: one number a record, and the rows that were truncated.
_ROWS = {"documents": "u4", "offsets": "i8", "answers": "u4", "truncated": "u4"}


def _unpack_cell(
    name: str, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], *, documents: int
) -> CellColumns:
    columns = CellColumns()
    for column, kind in _ROWS.items():
        _fill(getattr(columns, column), arrays[f"{name}/{column}"], kind)
    records = len(columns.documents)
    if {len(columns.offsets), len(columns.answers)} != {records}:
        raise ValueError("records that do not fit together")
    _check_below(documents, columns.documents)
    columns.statistics = {
        (source, metric): _unpack_column(f"{name}/statistics{i}", arrays, records)
        for i, (source, metric) in enumerate(about["statistics"])
    }
    columns.chance = {
        metric: _unpack_column(f"{name}/chance{i}", arrays, records) for i, metric in enumerate(about["chance"])
    }
    columns.errors = {int(row): error for row, error in about["errors"].items()}
    columns.values = {metric: {int(r): value for r, value in rows.items()} for metric, rows in about["values"].items()}
    columns.shapes = {tuple(map(str, metrics)): str(first) for metrics, first in about["shapes"]}
    columns.unlikely = about["unlikely"]
    _check_below(records, columns.truncated, [*columns.errors], *map(list, columns.values.values()))
    if any(column.width != 1 for column in columns.chance.values()):
        raise ValueError("chance levels that are several numbers")
    return columns


def _unpack_column(name: str, arrays: Mapping[str, NDArray[Any]], records: int) -> Column:
    numbers = arrays[f"{name}/numbers"]
    column = Column(numbers.shape[1])
    _fill(column.rows, arrays[f"{name}/rows"], "u4")
    if len(column.rows) != len(numbers):
        raise ValueError("statistics that do not fit together")
    _check_below(records, column.rows)
    _fill(column.numbers, numbers.ravel(), "f8")
    return column


def _fill(column: array[Any], values: NDArray[Any], kind: str) -> None:
    column.frombytes(_of_kind(values, kind).tobytes())


def _check_below(end: int, *parts: Sequence[int]) -> None:
    """Raise ValueError for a number that is not from 0 to `end` - 1."""
    for numbers in map(as_ints, parts):
        if np.any((numbers < 0) | (numbers >= end)):
            raise ValueError("a row that there is not")


def _of_kind(values: NDArray[Any], kind: str) -> NDArray[Any]:
    if values.dtype != np.dtype(kind) or values.ndim != 1:
        raise ValueError("an array of another type")
    return np.ascontiguousarray(values)


def _json(value: Any) -> NDArray[Any]:
    return np.frombuffer(json.dumps(value, separators=(",", ":"), sort_keys=True).encode(), dtype=np.uint8)


def _parsed(values: NDArray[Any]) -> Any:
    return json.loads(_of_kind(values, "u1").tobytes())
