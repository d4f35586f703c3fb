"""Files and datasets -> raw documents. Any problem with one is a DataError that names the file and the place."""

from __future__ import annotations

import lzma
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from evalkit.data.readers import (
    decode_line,
    open_bytes,
    parquet_batches,
    parse_row,
    read_json,
    read_lines,
    read_raw_lines,
)  # fmt: skip
from evalkit.errors import DataError
from evalkit.extras import require

# A longer text file is split into several documents, so that memory stays bounded.
LONGEST = 16 << 20  # bytes
# Bytes of a page: beyond that nobody wrote it to be read.
_LONGEST_PAGE, _TOO_LONG = 64 << 20, "page longer than 64 MiB"

# How HTML without a declared type begins (MIME Sniffing Standard, section 7.1).
_HTML = re.compile(
    rb"(\xef\xbb\xbf)?[\t\n\x0c\r ]*(<!doctype html|<(html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br"
    rb"|p)(?=[ >])|<!--|<\?xml[^>]*>\s*<!doctype html)",
    re.IGNORECASE,
)

_READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)

# Why a row is skipped with --skip-bad, as statistics name it.
_NO_TEXT, _NO_LINE, _NO_ITEM = BAD_ROWS = (
    "row without text", "line that is no JSON object", "item that is no JSON object",
)  # fmt: skip


@dataclass(frozen=True)
class Raw:
    """A document as its source has it: text, or the bytes of an HTML page.

    source: the file or dataset it comes from. left_out: the reason, if it is only counted and not a document.
    """

    content: str | bytes
    source: str
    left_out: str = ""


@dataclass(frozen=True, kw_only=True)
class Naming:
    """source: the file's name in statistics. column: the column of the text, if there are columns.

    skip_bad: count rows without text and lines that are not rows, instead of raising an error.
    """

    source: str
    column: str
    skip_bad: bool = False

    def document(self, row: Mapping[str, Any], place: str) -> Raw:
        """Return a row's text. Raises DataError, naming the existing columns, if it has none."""
        text = row.get(self.column)
        if isinstance(text, str):
            return Raw(text, self.source)
        if self.skip_bad:
            return self.left_out(_NO_TEXT)
        kind = "is null" if text is None else f"holds {type(text).__name__}, not text"
        kind = kind if self.column in row else "is missing"
        columns = ", ".join(str(name) for name in row)
        raise DataError(
            f"{place}: the column {self.column!r} {kind} (columns: {columns}); choose one with --column, or skip such "
            f"rows with --skip-bad"
        )

    def line(self, line: bytes, number: int, path: Path) -> Raw:
        """Return the text of a line of JSON. Raises DataError naming the place of a line that is not an object."""
        place = f"{path} line {number}"
        try:
            row = parse_row(decode_line(line, number, path), place)
        except DataError as error:
            if not self.skip_bad:
                raise DataError(f"{error} (--skip-bad skips such rows)") from None
            return self.left_out(_NO_LINE)
        return self.document(row, place)

    def left_out(self, reason: str) -> Raw:
        """Return a record of something that is only counted, with the reason."""
        return Raw("", self.source, left_out=reason)


def read_text(path: Path, raw: IO[bytes], naming: Naming) -> Iterator[Raw]:
    """Yield a text file as one document, or a very long one as several, split at line ends."""
    rest, offset = b"", 0
    try:
        with open_bytes(path, raw=raw) as file:
            while block := file.read(LONGEST - len(rest)):
                block = rest + block
                end = block.rfind(b"\n") + 1 if len(block) == LONGEST else len(block)
                end = end or _complete_characters(block)
                yield Raw(_decode(block[:end], path, offset), naming.source)
                rest, offset = block[end:], offset + end
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error
    if rest:
        yield Raw(_decode(rest, path, offset), naming.source)


def _complete_characters(block: bytes) -> int:
    """Return the number of leading bytes of UTF-8 that end with a complete character."""
    end = len(block)
    while end > len(block) - 4 and block[end - 1] & 0xC0 == 0x80:
        end -= 1
    return end - 1 if block[end - 1] & 0x80 else len(block)


def _decode(block: bytes, path: Path, offset: int) -> str:
    if (zero := block.find(b"\0")) >= 0:
        raise DataError(f"{path}: not text (a zero byte at {offset + zero})")
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {offset + error.start})") from None


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or error
    return DataError(f"{path}: cannot be read ({reason}); is the file cut?")


def read_jsonl(path: Path, raw: IO[bytes], naming: Naming) -> Iterator[Raw]:
    """Yield the text column of each line of JSON."""
    for number, line in read_raw_lines(path, raw=raw):
        if line.strip():
            yield naming.line(line, number, path)


def read_json_file(path: Path, raw: IO[bytes], naming: Naming) -> Iterator[Raw]:
    """Yield the text column of a JSON file: a list of rows, or one row per line; any other value is only counted."""
    lines = [line.strip() for _, line in islice((pair for pair in read_lines(path) if pair[1].strip()), 2)]
    if lines and lines[0].startswith("["):
        for number, row in enumerate(read_json(path), start=1):
            place = f"{path} item {number}"
            if isinstance(row, dict):
                yield naming.document(row, place)
            elif naming.skip_bad:
                yield naming.left_out(_NO_ITEM)
            else:
                raise DataError(f"{place}: expected a JSON object, found {type(row).__name__}")
    elif len(lines) == 2 and lines[0].endswith("}"):
        yield from read_jsonl(path, raw, naming)
    else:
        yield from _read_value(path, raw, naming)


def _read_value(path: Path, raw: IO[bytes], naming: Naming) -> Iterator[Raw]:
    """Yield the text of a file that is a single JSON value, if it is a row; invalid JSON fails as lines do."""
    try:
        value = read_json(path)
    except DataError:
        yield from read_jsonl(path, raw, naming)
        return
    if isinstance(value, dict) and naming.column in value:
        yield naming.document(value, str(path))
    else:
        yield naming.left_out("JSON that is no list of rows")


def read_parquet(path: Path, raw: IO[bytes], naming: Naming) -> Iterator[Raw]:
    """Yield the text column of each row; other columns are not read."""
    pyarrow, parquet = require("pyarrow", "parquet files"), require("pyarrow.parquet", "parquet files")
    try:
        with parquet.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            if naming.column not in columns:
                naming.document(dict.fromkeys(columns), str(path))
            count = 0
            for batch in parquet_batches(file, path, columns=[naming.column]):
                for row in batch.to_pylist():
                    count += 1
                    yield naming.document(row, f"{path} row {count}")
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable parquet file ({error})") from error


def read_page(path: Path, raw: IO[bytes], naming: Naming) -> Iterator[Raw]:
    """Yield an HTML file, whose main text is extracted later, by the process that cleans it."""
    require("trafilatura", "HTML pages")
    try:
        with open_bytes(path, raw=raw) as file:
            content = file.read(_LONGEST_PAGE + 1)
            yield naming.left_out(_TOO_LONG) if len(content) > _LONGEST_PAGE else Raw(content, naming.source)
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error


def read_warc(path: Path, raw: IO[bytes], naming: Naming) -> Iterator[Raw]:
    """Yield a web archive's HTML pages (responses with status 200, resources) and texts (conversions, as in WET files).

    A response without a declared type counts as a page if it begins as HTML does. Responses with another status or of
    another kind, and pages that were not fetched again, are only counted.
    """
    archives = require("warcio.archiveiterator", "WARC files")
    exceptions = require("warcio.exceptions", "WARC files")
    try:
        # Decompressed here and read to the end, because the library takes a truncated archive for a complete one.
        with open_bytes(path, raw=raw) as file:
            for record in archives.ArchiveIterator(file):
                if record.rec_type in ("request", "warcinfo", "metadata"):
                    continue  # about responses, not responses
                content = record.content_stream().read(_LONGEST_PAGE + 1)
                while record.raw_stream.read(1 << 20):
                    pass  # anything that follows the page's own end
                if record.raw_stream.limit:
                    raise EOFError("the last record ends early")
                if len(content) > _LONGEST_PAGE:
                    yield naming.left_out(_TOO_LONG)
                    continue
                yield _of_record(record, content, naming)
            file.read(1)
    except (*_READ_ERRORS, exceptions.ArchiveLoadFailed) as error:
        raise _unreadable(path, error) from error


def _of_record(record: Any, content: bytes, naming: Naming) -> Raw:
    """Return the page or text of an archive's record, or why it is not a document."""
    headers, kind = record.http_headers, record.content_type or ""
    if record.rec_type == "conversion":
        if (kind or "text").lower().startswith("text"):
            return Raw(content.decode("utf-8", "replace"), naming.source)
        return naming.left_out("archived: no page and no text")
    if record.rec_type not in ("response", "resource"):
        return naming.left_out("archived: not fetched again")
    if record.rec_type == "response":
        if headers is None or headers.get_statuscode() != "200":
            return naming.left_out("archived: another status than 200")
        kind = headers.get_header("Content-Type") or ""
    kind = kind.partition(";")[0].strip().lower()  # RFC 9110: case-insensitive, followed by parameters
    if "html" in kind or (not kind and _HTML.match(content[:1024])):
        require("trafilatura", "HTML pages")
        return Raw(content, naming.source)
    return naming.left_out("archived: no page and no text")


def read_dataset(identifier: str, config: str | None, split: str, naming: Naming) -> Iterator[Raw]:
    """Yield the text column of a dataset: on the hub, a folder in its layout, or one written by save_to_disk."""
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    datasets = require("datasets", "datasets of the hub")
    try:
        if (Path(identifier) / "state.json").exists() or (Path(identifier) / "dataset_dict.json").exists():
            stored = datasets.load_from_disk(identifier)
            rows = stored[split] if isinstance(stored, datasets.DatasetDict) else stored
        else:
            rows = datasets.load_dataset(identifier, config, split=split, streaming=True)
        for number, row in enumerate(rows):
            yield naming.document(row, f"hf:{identifier} row {number}")
    except DataError:
        raise
    except Exception as error:  # the library has no common base class for its failures
        message = str(error).strip().partition("\n")[0]
        raise DataError(
            f"hf:{identifier}: cannot be read (config {config}, split {split}): {type(error).__name__}: {message}"
        ) from error
