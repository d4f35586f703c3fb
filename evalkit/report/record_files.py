"""Tables of records as files: CSV, JSON lines or parquet, written batch by batch."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TextIO

from evalkit import sinks
from evalkit.errors import UsageError
from evalkit.extras import require
from evalkit.files import replacing
from evalkit.report.records import Batch, Table
from evalkit.runs.journal import RUN_FILES


def _csv(table: Table, file: TextIO) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(sinks.csv_cell, table.columns))
    rows = 0
    for batch in table.batches():
        writer.writerows([_cell(value) for value in row] for row in _rows(batch))
        rows += _length(batch)
    return rows


def _cell(value: Any) -> Any:
    """Return a cell: no text is taken for a formula, and a list is JSON."""
    if isinstance(value, list):
        value = _json(value)
    return sinks.csv_cell(value) if isinstance(value, str) else value


def _jsonl(table: Table, file: TextIO) -> int:
    rows = 0
    for batch in table.batches():
        file.writelines(_json(dict(zip(batch, row, strict=True))) + "\n" for row in _rows(batch))
        rows += _length(batch)
    return rows


def _json(value: dict[str, Any] | list[Any]) -> str:
    """Return a row or a list as JSON, which has neither NaN nor infinity: they are null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parquet(table: Table, file: IO[bytes]) -> int:
    arrow, parquet = require("pyarrow", "parquet files"), require("pyarrow.parquet", "parquet files")
    kinds = {
        str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_(),
        list[str]: arrow.list_(arrow.string()), list[float]: arrow.list_(arrow.float64()),
    }  # fmt: skip
    schema = arrow.schema([(name, kinds[kind]) for name, kind in table.columns.items()])
    rows = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in table.batches():
            writer.write_batch(arrow.record_batch(list(map(_sound, batch.values())), schema=schema))
            rows += _length(batch)
    return rows


def _sound(values: list[Any]) -> list[Any]:
    """Return the values with halves of surrogate pairs, which UTF-8 does not have, as escapes."""
    return [_escaped(value) for value in values] if values and isinstance(values[0], str | list) else values


def _escaped(value: Any) -> Any:
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


# Formats that are text: a function that writes a table to a file, and returns the number of rows.
TEXT_FORMATS: Mapping[str, Callable[[Table, TextIO], int]] = {"csv": _csv, "jsonl": _jsonl}
FORMATS = (*TEXT_FORMATS, "parquet")


def write(table: Table, path: Path, form: str) -> int:
    """Write a table as a file of one of FORMATS; return the number of rows.

    Raises UsageError for a file that belongs to a run, StoreError and DiskError.
    """
    place = path.resolve()
    if place.name in RUN_FILES and (place.parent / "manifest.json").exists():
        raise UsageError(f"{path} belongs to the run in {path.parent}; choose another file")
    with replacing(path) as file:
        if form == "parquet":
            return _parquet(table, file)
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        rows = TEXT_FORMATS[form](table, text)
        text.detach()
        return rows


def _rows(batch: Batch) -> Iterator[tuple[Any, ...]]:
    return zip(*batch.values(), strict=True)


def _length(batch: Batch) -> int:
    return len(next(iter(batch.values())))
