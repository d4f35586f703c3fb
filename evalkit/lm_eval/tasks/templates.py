"""Jinja templates of lm-evaluation-harness: parsed once, rendered under limits.

A template of plain parts (columns, conditions, filters and methods whose work grows no faster than the data) is
rendered here, in microseconds. Any other is rendered by the child process, whose time and memory are limited; documents
are sent to it many at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.exceptions import TemplateAssertionError

from evalkit.sandbox import child
from evalkit.sandbox.environment import LimitedEnvironment

__all__ = ["Renderer", "TemplateError", "check", "render"]

# Most characters and nodes of a template; nodes of a plain one; documents sent at a time.
_LONGEST, _NODES, _PLAIN_NODES, _AT_ONCE = 200_000, 20_000, 500, 256

_PARTS = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.If, nodes.List,
    nodes.Tuple, nodes.Add, nodes.Sub, nodes.Concat, nodes.Filter, nodes.Test, nodes.Call, nodes.Keyword,
)  # fmt: skip
_FILTERS = {
    "trim", "lower", "upper", "title", "capitalize", "length", "count", "first", "last", "string", "int", "float",
    "default", "d", "replace", "joined",
}  # fmt: skip
_METHODS = {
    "strip", "lstrip", "rstrip", "lower", "upper", "title", "capitalize", "split", "rsplit", "startswith", "endswith",
    "replace", "get", "keys", "values", "items", "isdigit", "isupper", "islower", "removeprefix", "removesuffix",
}  # fmt: skip


@cache
def _environment() -> LimitedEnvironment:
    return LimitedEnvironment.for_tasks()


@dataclass(frozen=True)
class _Parsed:
    """A parsed template. plain: it is rendered here. names: the columns that it reads."""

    plain: bool
    names: frozenset[str]


@cache
def _read(source: str) -> _Parsed:
    if len(source) > _LONGEST:
        raise TemplateError(f"a template may have at most {_LONGEST:,} characters")
    environment = _environment()
    try:
        tree = environment.parse(source)
        parts = list(tree.find_all(nodes.Node))
        names = frozenset(part.name for part in parts if isinstance(part, nodes.Name))
    except (RecursionError, MemoryError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise TemplateError(f"it is nested too deeply, or holds too long a number ({type(error).__name__})") from None
    if len(parts) > _NODES:
        raise TemplateError(f"a template may have at most {_NODES:,} parts")
    for part in parts:
        registered = environment.filters if isinstance(part, nodes.Filter) else environment.tests
        if isinstance(part, nodes.Filter | nodes.Test) and part.name not in registered:
            kind = type(part).__name__.lower()
            raise TemplateAssertionError(f"No {kind} named {part.name!r}.", part.lineno)
    return _Parsed(len(parts) <= _PLAIN_NODES and all(map(_is_plain, parts)), names)


def _is_plain(part: nodes.Node) -> bool:
    """Whether a part's work is bounded by the size of its values, and that by the data's; loops are not."""
    if isinstance(part, nodes.Filter):
        return part.name in _FILTERS
    if isinstance(part, nodes.Call):
        return isinstance(part.node, nodes.Getattr) and part.node.attr in _METHODS
    return isinstance(part, _PARTS)


def check(source: str) -> None:
    """Raise jinja2.TemplateError for a broken template, without running it."""
    _read(source)


@dataclass
class Renderer:
    """Fills templates with the columns of documents. rows: the documents in the order of their rendering."""

    rows: Sequence[Mapping[str, Any]] = ()
    _places: dict[int, int] = field(default_factory=dict)
    _ahead: dict[str, tuple[int, list[Any]]] = field(default_factory=dict)

    def follow(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Announce the documents to be rendered; they are recognised by identity."""
        self.rows, self._ahead = rows, {}
        self._places = {id(row): place for place, row in enumerate(rows)}

    def render(self, source: str, row: Mapping[str, Any]) -> str:
        """Fill a template. Raises jinja2.TemplateError, or what an expression in it raises."""
        template = _read(source)
        if template.plain:
            return _environment().render(source, row)
        try:
            value = self._from_child(source, row, template.names)
        except child.UnreadableError:  # rows of a task's own code, which is trusted
            return _environment().render(source, row)
        if isinstance(value, Exception):
            raise value
        return str(value)

    def _from_child(self, source: str, row: Mapping[str, Any], names: frozenset[str]) -> Any:
        place = self._places.get(id(row))
        if place is None:
            return child.ask("render", source, [_columns(row, names)])[0]
        start, values = self._ahead.get(source, (0, []))
        if not start <= place < start + len(values):
            rows = self.rows[place : place + _AT_ONCE]
            start, values = place, child.ask("render", source, [_columns(row, names) for row in rows])
            self._ahead[source] = start, values
        return values[place - start]


def _columns(row: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: row[name] for name in names if name in row}


def render(source: str, row: Mapping[str, Any]) -> str:
    """Fill a template with a document's columns, as Renderer does."""
    return Renderer().render(source, row)
