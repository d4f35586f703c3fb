"""How the headers of a table become the columns of a long one: names, constants, and patterns of wide tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalkit.errors import UsageError, unknown
from evalkit.report.imports import benchmarks
from evalkit.report.imports.columns import COLUMNS, column_of, is_missing

Row = Mapping[str, Any]  # by the file's headers


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a file's columns become ours.

    names: our column -> the file's. constants: our column -> the text of all its cells. wide: patterns of headers, each
    with {task} or {metric} and further columns of ours, such as "eval/{task}/{metric}"; "METRIC_stderr" is its error.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    wide: Sequence[str] = ()


@dataclass(frozen=True)
class Cell:
    """A cell before it is parsed, and the header that it stands under."""

    content: Any
    header: str


def columns_of(headers: Sequence[str], layout: Layout, *, where: str) -> dict[str, str]:
    """Return our column -> the file's header. Raises UsageError for a name that is not there. where: for messages."""
    for name in (*layout.names, *layout.constants):
        if name not in COLUMNS:
            raise unknown("column", name, COLUMNS)
    columns: dict[str, str] = {}
    for header in headers:
        recognised = column_of(header)
        if recognised and recognised not in layout.names and header not in layout.names.values():
            columns.setdefault(recognised, header)
    for header in layout.names.values():
        if header not in headers:
            raise unknown("header", header, headers, where=f"of {where}")
    return columns | dict(layout.names)


def patterns_of(headers: Sequence[str], layout: Layout) -> dict[str, Mapping[str, str]]:
    """Return the headers that fit a pattern of the layout, each with what it says: task, metric, ..."""
    fitting: dict[str, Mapping[str, str]] = {}
    for pattern in layout.wide:
        forms = _forms(pattern)
        for header in headers:
            if header.endswith(("__MIN", "__MAX")):  # of wandb's charts, for each line
                continue
            if fit := next(filter(None, (form.fullmatch(header) for form in forms)), None):
                fitting.setdefault(header, fit.groupdict())
    if layout.wide and not fitting:
        raise UsageError(f"--wide {layout.wide[0]}: fits none of the headers {', '.join(headers)[:200]}")
    return fitting


def _forms(pattern: str) -> list[re.Pattern[str]]:
    """Return a pattern of headers as regular expressions: for a known metric, which may hold "_", and for any.

    Raises UsageError for one without our columns.
    """
    pieces = re.split(r"{(\w+)}", pattern)  # text, name, text, name, ..., text
    names = pieces[1::2]
    for name in names:
        if name not in COLUMNS:
            raise unknown("column", name, COLUMNS)
    if not names or len(set(names)) < len(names):
        raise UsageError(f"--wide {pattern}: expected a pattern such as eval/{{task}}/{{metric}}, each column once")
    known = "|".join(map(re.escape, sorted(benchmarks.METRICS)))
    forms = []
    for parts in ({"metric": f"(?:{known})(?:_stderr)?"}, {"task": ".+"}):
        groups = [f"(?P<{name}>{parts.get(name, '.+?')})" for name in names]
        texts = map(re.escape, pieces[::2])
        forms.append(re.compile("".join(text + group for text, group in zip(texts, [*groups, ""], strict=True))))
    return forms


def long_rows(
    row: Row, columns: Mapping[str, str], patterns: Mapping[str, Mapping[str, str]], constants: Mapping[str, str]
) -> Iterator[dict[str, Cell]]:
    """Yield the long rows of one row: itself, or one per header that fits a pattern and has a cell with content."""
    cells = {name: Cell(row[header], header) for name, header in columns.items()}
    cells |= {name: Cell(text, f"--set {name}") for name, text in constants.items()}
    if not patterns:
        yield cells
    errors = {
        tuple(sorted({**fields, "metric": fields["metric"].removesuffix("_stderr")}.items())): header
        for header, fields in patterns.items()
        if fields.get("metric", "").endswith("_stderr")
    }
    for header, fields in patterns.items():
        if header in errors.values() or is_missing(row[header]):
            continue
        wide = {name: Cell(text, header) for name, text in fields.items()} | {"value": Cell(row[header], header)}
        if error := errors.get(tuple(sorted(fields.items()))):
            wide["stderr"] = Cell(row[error], error)
        yield {**cells, **wide}
