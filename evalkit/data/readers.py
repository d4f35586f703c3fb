"""Files -> rows: compressed or not, as lines, JSON, JSONL or parquet. A file with any fault raises DataError."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

from evalkit.errors import DataError
from evalkit.extras import require
from evalkit.files import check_regular

Row = Mapping[str, Any]

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


def _zstandard(file: Path | IO[bytes]) -> IO[bytes]:
    # Arrow's reader detects a truncated file and continues with a second frame; zstandard.open does neither.
    pyarrow = require("pyarrow", "files ending in .zst")
    return io.BufferedReader(pyarrow.input_stream(file, compression="zstd"))


_OPENERS: Mapping[str, Callable[[Path | IO[bytes]], IO[bytes]]] = {
    ".gz": gzip.open,  # type: ignore[dict-item]
    ".bz2": bz2.open,  # type: ignore[dict-item]
    ".xz": lzma.open,
    ".zst": _zstandard,
}
COMPRESSED = tuple(_OPENERS)
# A file that expands to more than this many bytes and this many times its size is refused. Text shrinks to a tenth.
_SMALL, _RATIO = 64 << 20, 200
# Bytes of a line: a whole file of JSON may be one, a text of gigabytes is none that anybody can read as rows.
_LONGEST_LINE = 256 << 20
TABLES = (".jsonl", *(f".jsonl{suffix}" for suffix in COMPRESSED), ".parquet")
# A .json is a table only where the hub's layout names the split; elsewhere it is a release in its own format.
HUB_TABLES = (*TABLES, ".json", *(f".json{suffix}" for suffix in COMPRESSED))
# Text tables with a header; the file's ending decides the delimiter.
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
SHEETS = tuple(f"{kind}{suffix}" for kind in _DELIMITERS for suffix in ("", *COMPRESSED))


def plain_name(path: Path) -> str:
    """Return a file's name without the suffix of its compression."""
    return path.stem if path.suffix in COMPRESSED else path.name


class _Expanding(io.RawIOBase):
    """The content of a compressed file. Raises DataError where it grows beyond what text can expand to: a bomb."""

    def __init__(self, inner: IO[bytes], path: Path):
        self._inner, self._path, self._count = inner, path, 0
        self._most = max(_SMALL, _RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count: int = self._inner.readinto(buffer)  # type: ignore[attr-defined]
        self._count += count
        if self._count > self._most:
            raise DataError(
                f"{self._path}: expands to more than {_RATIO} times its size, and to more than {_SMALL >> 20} MiB; "
                f"if the file is valid, decompress it first"
            )
        return count

    def close(self) -> None:
        self._inner.close()
        super().close()


def open_bytes(path: Path, *, raw: IO[bytes] | None = None) -> IO[bytes]:
    """Open a file, decompressing .gz, .bz2, .xz and .zst on the fly. raw: the compressed file, if already open."""
    check_regular(path, DataError)
    opener = _OPENERS.get(path.suffix)
    if opener is None:
        return raw or path.open("rb")
    return io.BufferedReader(_Expanding(opener(raw or path), path), buffer_size=1 << 17)


def open_text(path: Path) -> io.TextIOWrapper:
    """Open a text file, decompressing it as it is read."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8", newline="\n")


def read_lines(path: Path, *, raw: IO[bytes] | None = None) -> Iterator[tuple[int, str]]:
    """Yield (line number, line without its end). Raises DataError for an unreadable, cut or empty file."""
    for number, line in read_raw_lines(path, raw=raw):
        # Decoded line by line: a text file decodes ahead, and could not name the faulty line.
        yield number, decode_line(line, number, path)


def decode_line(line: bytes, number: int, path: Path) -> str:
    """Return a line of UTF-8 without its end. Raises DataError naming the line if it is something else."""
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} line {number}: not UTF-8 text ({error.reason})") from None


def read_raw_lines(path: Path, *, raw: IO[bytes] | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, bytes of the line). Raises DataError for an unreadable, cut or empty file."""
    number = 0
    try:
        with open_bytes(path, raw=raw) as file:
            for number, line in enumerate(iter(partial(file.readline, _LONGEST_LINE + 1), b""), start=1):
                if len(line) > _LONGEST_LINE:
                    raise DataError(f"{path} line {number}: longer than {_LONGEST_LINE >> 20} MiB")
                yield number, line
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} after line {number}: cannot be read ({reason}); is the file cut?") from error
    if not number:
        raise DataError(f"{path} is empty")


def read_json(path: Path) -> Any:
    """Read a file that is one JSON value. Raises DataError naming the line where it becomes invalid."""
    try:
        return json.loads("\n".join(line for _, line in read_lines(path)))
    except json.JSONDecodeError as error:
        raise DataError(f"{path} line {error.lineno}: not valid JSON ({error.msg}); is the file cut?") from None
    except (RecursionError, ValueError) as error:  # also a number of thousands of digits
        raise DataError(f"{path}: not valid JSON ({error})") from None


def read_jsonl(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield one object per line of JSON. Raises DataError naming the file and the line that is not an object."""
    for path in paths:
        yield from (row for _, row in read_rows(path))


def read_rows(path: Path, *, raw: IO[bytes] | None = None) -> Iterator[tuple[int, Row]]:
    """Yield (line number, object) of one JSONL file, as read_jsonl does."""
    for number, line in read_lines(path, raw=raw):
        if not line.strip():
            continue
        yield number, parse_row(line, f"{path} line {number}")


def parse_row(line: str, place: str) -> Row:
    """Return a line's JSON object. Raises DataError, naming the place, for anything else."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not valid JSON ({error}); is the file cut?") from None
    if not isinstance(row, dict):
        raise DataError(f"{place}: expected a JSON object, found {type(row).__name__}")
    return row


def read_tables(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the rows of JSONL, parquet, JSON (lines or one list), CSV and TSV files."""
    for path in paths:
        if path.name.endswith(SHEETS):
            yield from (row for _, row in read_sheet(path))
            continue
        if _is_list(path):
            yield from _read_list(path)
            continue
        if path.suffix != ".parquet":
            yield from read_jsonl([path])
            continue
        pyarrow, parquet = require("pyarrow", "parquet files"), require("pyarrow.parquet", "parquet files")
        check_regular(path, DataError)
        try:
            with parquet.ParquetFile(path) as file:
                for batch in parquet_batches(file, path):
                    yield from batch.to_pylist()
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not a readable parquet file ({error})") from error


def read_sheet(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield (last line, row) of each record of a text table with a header; it is read twice, and not held.

    Types are those of the hub's datasets from such files: a column of integers, or of numbers, holds numbers, and an
    empty field is null. A number with leading zeros is text, a column without a name "Unnamed: PLACE".
    Raises DataError naming a line of another length.
    """
    records = _records(path)
    _, header = next(records)
    fitting = [list(_TYPES) for _ in header]
    filled = [False] * len(header)
    for _, record in records:
        for i, value in enumerate(record):
            if value:
                filled[i] = True
                fitting[i] = [kind for kind in fitting[i] if _TYPES[kind].fullmatch(value)]
    kinds = [kinds[0] if kinds and any_value else str for kinds, any_value in zip(fitting, filled, strict=True)]
    for line, record in islice(_records(path), 1, None):
        values = (kind(value) if value else None for kind, value in zip(kinds, record, strict=True))
        yield line, dict(zip(header, values, strict=True))


# The types of a column's values besides text, each with the form of its values; the first that fits all of them counts.
_TYPES: Mapping[Callable[[str], Any], re.Pattern[str]] = {int: _WHOLE, float: _NUMBER}


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (last line, fields) of a text table's header and of each record."""
    lines = (line + "\n" for _, line in read_lines(path))
    records = csv_reader(lines, delimiter=_DELIMITERS[Path(plain_name(path)).suffix], strict=True)
    try:
        header = [name or f"Unnamed: {i}" for i, name in enumerate(next(records, []))]
        if len(set(header)) < len(header) or not header:
            raise DataError(f"{path} line 1: expected a header, each column once, found {', '.join(header)[:100]!r}")
        yield records.line_num, header
        for record in records:
            if record and len(record) != len(header):
                raise DataError(f"{path} line {records.line_num}: expected {len(header)} fields, found {len(record)}")
            if record:
                yield records.line_num, record
    except csv.Error as error:
        raise DataError(f"{path} line {records.line_num}: not a table ({error}); is the file cut?") from None


def csv_reader(lines: Iterable[str], **options: Any) -> Any:
    """Return csv.reader(lines, ...) for fields as long as a line may be; by itself it ends at 131,072 characters."""
    csv.field_size_limit(_LONGEST_LINE)
    return csv.reader(lines, **options)


def _is_list(path: Path) -> bool:
    """Whether a file is one JSON list rather than lines of JSON."""
    if not plain_name(path).endswith(".json"):
        return False
    return next((line.lstrip()[0] for _, line in read_lines(path) if line.strip()), "") == "["


def _read_list(path: Path) -> Iterator[Row]:
    for number, row in enumerate(read_json(path), start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path} item {number}: expected a JSON object, found {type(row).__name__}")
        yield row


def parquet_batches(file: Any, path: Path, *, columns: list[str] | None = None) -> Iterator[Any]:
    """Yield record batches of an open parquet file.

    Raises DataError where its metadata or its batches show that it expands beyond what text can: a page that expands
    without end, one long value of a dictionary repeated.
    """
    most, metadata = max(_SMALL, _RATIO * path.stat().st_size), file.metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    bomb = DataError(f"{path}: expands to more than {_RATIO} times its size; if the file is valid, write it as JSONL")
    # Not the columns' own sizes: asked for them, Arrow ends the process where a column's facts are damaged.
    if sum(group.total_byte_size for group in groups) > most:
        raise bomb
    size = 0
    for batch in file.iter_batches(batch_size=128, columns=columns):
        size += batch.nbytes
        if size > most:
            raise bomb
        yield batch


def row_place(paths: Sequence[Path], index: int) -> str:
    """Return the place of row `index` (from 0) of read_tables: its file and line, or in parquet its file and row."""
    for path in paths:
        rows = count_rows(path)
        if index >= rows:
            index -= rows
        elif path.suffix == ".parquet":
            return f"{path} row {index + 1}"
        elif path.name.endswith(SHEETS):
            return f"{path} line {next(islice(read_sheet(path), index, None))[0]}"
        elif _is_list(path):
            return f"{path} item {index + 1}"
        else:
            filled = (number for number, line in read_lines(path) if line.strip())
            return f"{path} line {next(islice(filled, index, None))}"
    return ""


def count_rows(path: Path) -> int:
    """Count the rows of a file; of JSONL and parquet without parsing them. Raises DataError for an unreadable file."""
    if path.name.endswith(SHEETS):
        return sum(1 for _ in read_sheet(path))
    if _is_list(path):
        return sum(1 for _ in _read_list(path))
    if path.suffix != ".parquet":
        return sum(1 for _, line in read_lines(path) if line.strip())
    pyarrow, parquet = require("pyarrow", "parquet files"), require("pyarrow.parquet", "parquet files")
    check_regular(path, DataError)
    try:
        return int(parquet.read_metadata(path).num_rows)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable parquet file ({error})") from error
