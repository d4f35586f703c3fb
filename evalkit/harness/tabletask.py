"""A benchmark from your own table: rows with columns, and a prompt template."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.data.readers import plain_name, read_tables
from evalkit.data.rows import choice_of, texts_of
from evalkit.data.sources import DataPaths, Row, Selection, Split
from evalkit.errors import DataError, UsageError, unknown
from evalkit.files import digest_of_list
from evalkit.harness.task import FAMILIES, Kind, Protocol, Task
from evalkit.types import Decoding, Document, Example

# Fields of a template that are not columns.
_FILLED = {"choice", "output"}


@dataclass(frozen=True)
class FileRows:
    """The rows of a table in a file, which is read whenever somebody goes through them.

    question, answer, options: as in `_filled`. count: of the rows.
    """

    path: Path
    question: str
    answer: str
    options: Sequence[str]
    count: int

    def __iter__(self) -> Iterator[Row]:
        return (_filled(row, self.question, self.answer, self.options) for row in read_tables([self.path]))

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True)
class RowsSource:
    """Rows in memory or of one file. shots: the pool that shots are drawn from; without it, the scored rows."""

    name: str
    test: Sequence[Mapping[str, Any]] | FileRows
    shots: Sequence[Mapping[str, Any]] = ()

    def rows(self, split: Split, data: DataPaths) -> Iterator[Row]:
        """Yield the rows of a split."""
        return iter(self.shots or self.test) if split == "shots" else iter(self.test)

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        """Hash the rows."""
        return digest_of_list(self.rows(split, data))

    def at_hand(self, data: DataPaths) -> str:
        """Return the file, or the number of rows."""
        return str(self.test.path) if isinstance(self.test, FileRows) else f"{len(self.test):,} rows in memory"

    def find(self, split: Split, data: DataPaths) -> Selection | None:
        """Return the file of a split that is read from one."""
        rows = self.shots or self.test if split == "shots" else self.test
        return Selection([rows.path], read_tables) if isinstance(rows, FileRows) else None


def task_from_rows(
    name: str,
    rows: Iterable[Mapping[str, Any]] | FileRows,
    *,
    query: str,
    answer: str,
    choices: str | Sequence[str] = (),
    shots: Iterable[Mapping[str, Any]] = (),
    target: str = " {output}",
    description: str = "",
    metrics: Sequence[str] = (),
    until: Sequence[str] = ("\n",),
    max_tokens: int = 32,
    cluster: str = "",
    level: str = "",
    family: str = "qa",
    version: int = 1,
) -> Task:
    """Build a task from rows: a list of dicts, a pandas DataFrame, or a dataset of `datasets`.

    query, target: `str.format` templates over the columns; a shot is query + target, where {output} is the answer.
    With {choice} in the query, the options are put there and the same target is scored after each.
    answer: the column of the answer: a text, or a list of all accepted ones; with choices the option itself, or its
    index from 0. choices: the column with a row's options, or the options that all rows share; without choices an
    answer is generated until a stop string or `max_tokens` tokens.
    shots: rows to draw shots from (default: the scored ones; a document is never its own shot).
    metrics: names in evalkit.metrics (default: acc with choices, otherwise exact_match). cluster: the column that
    names a passage which rows share; level: the column of a slice to report separately. A column `id` names the rows.

    Raises UsageError for a template or column that the rows do not have, DataError for no rows.
    """
    table, pool = rows if isinstance(rows, FileRows) else _plain(rows), _plain(shots)
    if not table:
        raise DataError(f"task {name}: no rows")
    roles = {answer: "answer", **({choices: "choices"} if isinstance(choices, str) else {})}
    roles |= {column: role for column, role in ((cluster, "cluster"), (level, "level")) if column}
    _check_columns(table, roles, (query, target), task=name)
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    kind: Kind = "choice" if choices else "generate"

    def documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
        shared = {"cluster": str(row[cluster]) if cluster else "", "level": str(row[level]) if level else ""}
        yield Document(id=str(row.get("id", index)), row=row, **shared)

    def to_example(document: Document) -> Example:
        return _example(document.row, query=query, answer=answer, choices=choices, task=name)

    return Task(
        name=name,
        family=family,
        title=f"{len(table):,} rows of your own",
        source=RowsSource(name, table, pool),
        documents=documents,
        to_example=to_example,
        protocols={
            "plain": Protocol(
                kind=kind,
                query=query,
                target=target if kind == "generate" else target.replace("{output}", "{choice}"),
                description=description,
                metrics=tuple(metrics) or (("acc",) if choices else ("exact_match",)),
                decoding=Decoding(until=tuple(until), max_tokens=max_tokens),
            )
        },
        version=version,
    )


def _check_columns(
    table: Iterable[Mapping[str, Any]], roles: Mapping[str, str], templates: Iterable[str], *, task: str
) -> None:
    """Raise UsageError for a column (roles: column -> what it is for) or a template's field that no row has."""
    columns = list(dict.fromkeys(column for row in table for column in row))
    for column, role in roles.items():
        if column not in columns:
            raise unknown("column", column, columns, where=f"for {role} of task {task}")
    for template in templates:
        _check_template(template, columns, task=task)


def task_from_file(
    path: Path, *, question: str | None = None, answer: str | None = None, choices: Sequence[str] = ()
) -> Task:
    """Build a task, named after the file, from a table: CSV, TSV, JSONL, a JSON list or parquet, compressed or not.

    question: a column, asked as "Q: ...\\nA:", or a template over the columns such as "{country}:" (default: the
    column input). answer: the column of the answer (default: output); with choices the option itself, its index from 0,
    or the name of its column. choices: the options that all rows share, or the column or columns that hold them.

    Raises UsageError for a column that the table does not have, DataError for a file that cannot be read.
    """
    if not path.is_file():
        raise DataError(f"there is no table {path}")
    question, answer = question or "input", answer or "output"
    columns, count = _survey(path)
    if not count:
        raise DataError(f"{path} has no rows")
    is_template = "{" in question
    for role, column in (("--input", "" if is_template else question), ("--output", answer)):
        if column and column not in columns:
            raise unknown("column", column, columns, where=f"of {path} for {role}")
    held = bool(choices) and all(name in columns for name in choices)
    return task_from_rows(
        plain_name(path).partition(".")[0],
        FileRows(path, question, answer, choices if held and len(choices) > 1 else (), count),
        query=question if is_template else "Q: {input}\nA:",
        answer="output",
        choices=("choices" if len(choices) > 1 else choices[0]) if held else choices,
    )


def _survey(path: Path) -> tuple[list[str], int]:
    """Return a table's columns and how many rows it has."""
    columns: dict[str, None] = {}
    count = 0
    for row in read_tables([path]):
        columns |= dict.fromkeys(row)
        count += 1
    return list(columns), count


def _filled(row: Mapping[str, Any], question: str, answer: str, options: Sequence[str]) -> dict[str, Any]:
    """Return a row with its input, output and, where several columns hold them, choices, under these names."""
    label = row.get(answer)
    filled = {**row, "output": label}
    if question in row:
        filled["input"] = row[question]
    if options:
        filled["choices"] = [row.get(column) for column in options]
        filled["output"] = options.index(label) if label in options else label
    return filled


def _example(row: Mapping[str, Any], *, query: str, answer: str, choices: str | Sequence[str], task: str) -> Example:
    parts = {column: _text(value) for column, value in row.items() if isinstance(value, str | int | float)}
    question = query.format_map({**parts, "choice": "", "output": ""})
    label = row[answer]
    if choices:
        options = texts_of(row[choices], choices) if isinstance(choices, str) else tuple(choices)
        gold = choice_of(label, options, names=options, numbered=True)
        return Example(task=task, input=question, output=options[gold], parts=parts, choices=options, gold=gold)
    accepted = texts_of(label, answer) if isinstance(label, list | tuple) else (_text(label),)
    return Example(task=task, input=question, output=accepted[0], parts=parts, references=accepted)


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float) or value != value:
        raise TypeError(f"expected a text or a number, found {value!r:.40}")
    return str(value)


def _check_template(template: str, columns: Sequence[str], *, task: str) -> None:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise UsageError(f"task {task}: the template {template!r} is not valid for str.format ({error})") from None
    for field in fields:
        if field not in columns and field not in _FILLED:
            raise unknown("column", field, columns, where=f"in the template {template!r}")


def _plain(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as JSON can hold them: numpy's numbers and arrays become Python's."""
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        rows = rows.to_dict("records")  # a DataFrame yields the names of its columns
    return [{str(column): _value(value) for column, value in row.items()} for row in rows]


def _value(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
