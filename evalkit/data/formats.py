"""Formats that several benchmarks were published in: Wikipedia pages, parallel lines, pronoun problems, tables of text.

Each reader takes the files of a release and yields rows with the columns of the hub's dataset.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from evalkit.data.readers import Row, csv_reader, open_text, read_json, read_jsonl, read_lines
from evalkit.errors import DataError

# One pair of equals signs opens a page; " = = Career = = " is a section of it.
_TITLE = re.compile(r"\s*= (?!= ).*(?<! =) =\s*")

# The bytes of a UTF-8 character beyond its first.
_CONTINUATION = bytes(range(0x80, 0xC0))


def read_pages(paths: Sequence[Path]) -> Iterator[Row]:
    """Split WikiText into pages, whose concatenation is the file; text above the first title joins its page."""
    for path in paths:
        page: list[str] = []
        titled = False
        for _, line in read_lines(path):
            if _TITLE.fullmatch(line):
                if titled:
                    yield {"page": "".join(page)}
                    page = []
                titled = True
            page.append(line + "\n")
        yield {"page": "".join(page)}


def read_column(name: str) -> Callable[[Sequence[Path]], Iterator[Row]]:
    """Return a reader of plain text that makes each line a row with this one column."""

    def read(paths: Sequence[Path]) -> Iterator[Row]:
        for path in paths:
            yield from ({name: line} for _, line in read_lines(path))

    return read


def read_parallel(*languages: str) -> Callable[[Sequence[Path]], Iterator[Row]]:
    """Return a reader that pairs the lines of one file per language, in this order.

    It raises DataError where one file ends before the other.
    """

    def read(paths: Sequence[Path]) -> Iterator[Row]:
        for lines in zip_longest(*(read_lines(path) for path in paths)):
            if None in lines:
                number = next(line[0] for line in lines if line)
                raise DataError(
                    f"{paths[lines.index(None)]} ends before its line {number}: "
                    "expected as many lines as in the other language"
                )
            yield {"translation": {language: line[1] for language, line in zip(languages, lines, strict=True)}}

    return read


def read_problems(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield pronoun problems in Rahman and Ng's format: sentence, pronoun, candidates, the right one, empty line.

    Rows have the columns sentence, pronoun, candidates, label (as the hub's dataset of the same paper) and line.
    """
    for path in paths:
        lines = [line.strip() for _, line in read_lines(path)]
        while lines and not lines[-1]:
            lines.pop()
        for start in range(0, len(lines), 5):
            sentence, pronoun, candidates, answer, blank = (*lines[start : start + 5], *[""] * 5)[:5]
            options = [option.strip() for option in candidates.split(",")]
            if blank or not (sentence and pronoun) or answer not in options or not all(options[1:]):
                raise DataError(
                    f"{path} line {start + 1}: expected a sentence, its pronoun, two or more candidates separated by "
                    "commas, the right candidate and an empty line"
                )
            yield {
                "sentence": sentence,
                "pronoun": pronoun,
                "candidates": options,
                "label": options.index(answer),
                "line": start + 1,
            }


def read_table(
    columns: Mapping[str, str] | Sequence[str], *, delimiter: str, quoted: bool = False
) -> Callable[[Sequence[Path]], Iterator[Row]]:
    """Return a reader of tables with one record per line.

    columns: the columns in order, for a file without a header; or header -> column, for a file that has one.
    It raises DataError for a line with another number of fields, naming it, or a header that lacks a column.
    """

    def read(paths: Sequence[Path]) -> Iterator[Row]:
        for path in paths:
            yield from _table(path, columns, delimiter, quoted)

    return read


def _table(path: Path, columns: Mapping[str, str] | Sequence[str], delimiter: str, quoted: bool) -> Iterator[Row]:
    lines = (line for _, line in read_lines(path))
    records = csv_reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=quoted
    )
    try:
        names = list(columns)
        header = next(records) if isinstance(columns, Mapping) else names
        header[:1] = [header[0].removeprefix("\ufeff")]
        if absent := [name for name in names if name not in header]:
            raise DataError(f"{path} line 1: expected a header with {', '.join(names)}; {absent[0]} is missing")
        for record in records:
            if len(record) != len(header):
                raise DataError(f"{path} line {records.line_num}: expected {len(header)} fields, found {len(record)}")
            row: dict[str, Any] = dict(zip(header, record, strict=True))
            yield {columns[name]: row[name] for name in names} if isinstance(columns, Mapping) else row
    except csv.Error as error:
        raise DataError(f"{path} line {records.line_num}: not a table ({error}); is the file cut?") from None


def read_whole(*, size: int, part: int) -> Callable[[Sequence[Path]], Iterator[Row]]:
    """Return a reader of a text file of `size` bytes, or of its last `part`, as one row `text`.

    A character that either end cuts is dropped. It raises DataError for a file of another size, or one that is not
    UTF-8.
    """

    def read(paths: Sequence[Path]) -> Iterator[Row]:
        for path in paths:
            with open_text(path) as file:
                content = bytes(file.buffer.read())
            if len(content) not in (size, part):
                raise DataError(
                    f"{path} has {len(content):,} bytes, expected {size:,}, or the last {part:,}; is the file cut?"
                )
            try:
                yield {"text": codecs.getincrementaldecoder("utf-8")().decode(content.lstrip(_CONTINUATION))}
            except UnicodeDecodeError as error:
                raise DataError(f"{path} byte {error.start}: not UTF-8 text ({error.reason})") from None

    return read


def last_bytes(text: str, count: int) -> str:
    """Return the end of a text, at most `count` bytes of UTF-8; a character that would be split is dropped."""
    return text.encode()[-count:].lstrip(_CONTINUATION).decode()


def stem_questions(column: str) -> Callable[[Sequence[Path]], Iterator[Row]]:
    """Return a reader of AI2's releases of multiple-choice questions, whose text goes to this column of the hub.

    {"question": {"stem": ..., "choices": [{"text", "label"}, ...]}} becomes {column: ..., "choices": {"text": [...],
    "label": [...]}}; rows in another form are left unchanged.
    """

    def read(paths: Sequence[Path]) -> Iterator[Row]:
        for row in read_jsonl(paths):
            question = row.get("question")
            if isinstance(question, dict) and isinstance(question.get("choices"), list):
                options = [option for option in question["choices"] if isinstance(option, dict)]
                columns = {key: [option.get(key) for option in options] for key in ("text", "label")}
                row = {**row, column: question.get("stem"), "choices": columns}
            yield row

    return read


def read_sections(
    name: str, rows: Callable[[Any], Iterable[Row]], *, key: str = "data", unit: str, expected: str
) -> Callable[[Sequence[Path]], Iterator[Row]]:
    """Return a reader of a release in one JSON file: a list of sections, each of which holds many rows.

    name: the benchmark, as messages call it. rows: a section -> its rows. key: where the list stands in the file's
    object; empty where the file is the list. unit, expected: what a section is and what it has to hold, for messages.

    The reader raises DataError where the file has no such list, or as `expand` does.
    """

    def read(paths: Sequence[Path]) -> Iterator[Row]:
        for path in paths:
            content = read_json(path)
            if key:
                content = content.get(key) if isinstance(content, dict) else None
            if not isinstance(content, list):
                form = f"an object with a list {key!r}" if key else "a list"
                raise DataError(f"{path}: expected the official {name} file, {form}")
            sections = ((f"{unit} {number}", section) for number, section in enumerate(content, start=1))
            yield from expand(sections, rows, path=path, expected=expected)

    return read


def read_records(rows: Callable[[Any], Iterable[Row]], *, expected: str) -> Callable[[Sequence[Path]], Iterator[Row]]:
    """Return a reader of JSONL whose lines hold the rows in another form; the arguments are those of `expand`."""

    def read(paths: Sequence[Path]) -> Iterator[Row]:
        for path in paths:
            records = ((f"row {number}", record) for number, record in enumerate(read_jsonl([path]), start=1))
            yield from expand(records, rows, path=path, expected=expected)

    return read


def expand(
    sections: Iterable[tuple[str, Any]], rows: Callable[[Any], Iterable[Row]], *, path: Path, expected: str
) -> Iterator[Row]:
    """Yield the rows of sections, each given with its place in the file ("article 3").

    Raises DataError naming file and place: with `expected`, what a section has to hold, where `rows` lacks a key or
    meets a wrong type; with the message of a ValueError that `rows` raises.
    """
    for place, section in sections:
        try:
            yield from rows(section)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} {place}: expected {expected} ({type(error).__name__}: {error})") from error
        except ValueError as error:
            raise DataError(f"{path} {place}: {error}") from error
