"""Files and datasets -> raw documents. Whatever is wrong with one is a DataError that names file and place."""

from __future__ import annotations

import lzma
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from evalkit.corpus.extras import require
from evalkit.errors import DataError
from evalkit.harness.readers import open_bytes, read_rows

# A longer text file is cut into several documents, so that memory stays bounded.
LONGEST = 16 << 20  # bytes

_READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Raw:
    """A document as its source has it: text, or the bytes of an HTML page. source: the file or dataset it is of."""

    content: str | bytes
    source: str


@dataclass(frozen=True, kw_only=True)
class Naming:
    """source: what statistics call the file. column: the text's, where there are columns."""

    source: str
    column: str

    def document(self, row: Mapping[str, Any], place: str) -> Raw:
        """Return a row's text. Raises DataError naming the columns that there are."""
        text = row.get(self.column)
        if not isinstance(text, str):
            kind = f"holds {type(text).__name__}, not text" if self.column in row else "is missing"
            there = ", ".join(str(name) for name in row)
            raise DataError(f"{place}: the column {self.column!r} {kind} (columns: {there}); choose with --column")
        return Raw(text, self.source)


def read_text(path: Path, raw: IO[bytes], naming: Naming) -> Iterator[Raw]:
    """Yield a text file as one document, or a very long one in several, cut at lines' ends."""
    rest, offset = b"", 0
    try:
        with open_bytes(path, raw=raw) as file:
            while block := file.read(LONGEST - len(rest)):
                block = rest + block
                end = block.rfind(b"\n") + 1 if len(block) == LONGEST else len(block)
                end = end or _whole_characters(block)
                yield Raw(_decode(block[:end], path, offset), naming.source)
                rest, offset = block[end:], offset + end
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error
    if rest:
        yield Raw(_decode(rest, path, offset), naming.source)


def _whole_characters(block: bytes) -> int:
    """Return how many bytes of UTF-8 end with a whole character."""
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
    for number, row in read_rows(path, raw=raw):
        yield naming.document(row, f"{path} line {number}")


def read_parquet(path: Path, raw: IO[bytes], naming: Naming) -> Iterator[Raw]:
    """Yield the text column of each row; other columns are not read."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            if naming.column not in columns:
                naming.document(dict.fromkeys(columns), str(path))
            count = 0
            for batch in file.iter_batches(batch_size=256, columns=[naming.column]):
                for row in batch.to_pylist():
                    count += 1
                    yield naming.document(row, f"{path} row {count}")
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file ({error})") from error


def read_page(path: Path, raw: IO[bytes], naming: Naming) -> Iterator[Raw]:
    """Yield an HTML file, whose main text is taken out later, by the process that cleans it."""
    require("trafilatura", "HTML pages")
    try:
        with open_bytes(path, raw=raw) as file:
            yield Raw(file.read(), naming.source)
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error


def read_warc(path: Path, raw: IO[bytes], naming: Naming) -> Iterator[Raw]:
    """Yield the HTML pages of a web archive: responses with status 200, and resources."""
    require("trafilatura", "HTML pages")
    archives = require("warcio.archiveiterator", "WARC files")
    exceptions = require("warcio.exceptions", "WARC files")
    try:
        # Decompressed here, and read to the end, for the library takes a cut archive for a whole one.
        with open_bytes(path, raw=raw) as file:
            for record in archives.ArchiveIterator(file):
                if _is_page(record):
                    content = record.content_stream().read()
                    record.raw_stream.read()  # what may follow the page's own end
                    if record.raw_stream.limit:
                        raise EOFError("the last record ends early")
                    yield Raw(content, naming.source)
            file.read(1)
    except (*_READ_ERRORS, exceptions.ArchiveLoadFailed) as error:
        raise _unreadable(path, error) from error


def _is_page(record: Any) -> bool:
    headers = record.http_headers
    if record.rec_type == "response" and headers is not None:
        kind = headers.get_header("Content-Type") or ""
        return headers.get_statuscode() == "200" and "html" in kind
    return record.rec_type == "resource" and "html" in (record.content_type or "")


def read_dataset(identifier: str, config: str | None, split: str, column: str) -> Iterator[Raw]:
    """Yield the text column of a dataset: of the hub, a folder in its layout, or one written by save_to_disk."""
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    import datasets

    naming = Naming(source=f"hf:{identifier}", column=column)
    try:
        if (Path(identifier) / "state.json").exists() or (Path(identifier) / "dataset_dict.json").exists():
            found = datasets.load_from_disk(identifier)
            rows = found[split] if isinstance(found, datasets.DatasetDict) else found
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
