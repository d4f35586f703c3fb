"""doc_to_text, doc_to_target and doc_to_choice of one document: columns, templates and functions -> values."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from evalkit.data.rows import choice_of
from evalkit.errors import DataError, LabelError
from evalkit.lm_eval.tasks import templates
from evalkit.lm_eval.tasks.taskfile import TaskFile

Row = Mapping[str, Any]
T = TypeVar("T")

# How a template renders an integer of a column that has gaps: 1.0.
_WRITTEN = re.compile(r"[0-9]+\.0")

# What a template or a value of an unexpected form may raise.
_ROW_ERRORS = (
    templates.TemplateError, LookupError, TypeError, ValueError, AttributeError, SyntaxError, ArithmeticError,
    RecursionError,
)  # fmt: skip


@dataclass(frozen=True)
class Fields:
    """Reads the fields of documents as a task file defines them. columns: of the scored documents."""

    file: TaskFile
    columns: frozenset[str]
    renderer: templates.Renderer = field(default_factory=templates.Renderer)

    def text(self, row: Row, spec: Any = None) -> Any:
        """Return doc_to_text: a text, or with several inputs the index of the right one."""
        spec = self.file.doc_to_text if spec is None else spec
        return self._checked("doc_to_text", spec, lambda: self._of(row, spec, self._number_or_text))

    def target(self, row: Row, spec: Any = None) -> Any:
        """Return doc_to_target: a text, the index of a choice, or a list of right answers."""
        spec = self.file.doc_to_target if spec is None else spec
        return self._checked("doc_to_target", spec, lambda: self._of(row, spec, self._number_list_or_text))

    def choices(self, row: Row, spec: Any = None) -> list[str]:
        """Return doc_to_choice: the options as texts. Raises DataError for anything else."""
        spec = self.file.doc_to_choice if spec is None else spec
        if isinstance(spec, dict):
            options: Any = list(spec.values())
        else:
            options = self._checked("doc_to_choice", spec, lambda: self._of(row, spec, ast.literal_eval))
        if (
            not isinstance(options, list | tuple)
            or not options
            or not all(isinstance(choice, str) for choice in options)
        ):
            raise DataError(f"{self.file.path}: doc_to_choice: expected a list of texts, found {options!r}")
        return list(options)

    def prefix(self, row: Row, spec: str | None = None) -> str:
        """Return gen_prefix, the beginning of the answer that the prompt provides, or ""."""
        spec = self.file.gen_prefix if spec is None else spec
        return "" if spec is None else str(self._checked("gen_prefix", spec, lambda: self._of(row, spec, str)))

    def description(self, row: Row) -> str:
        """Return the description, which may be a column or a template."""
        spec = self.file.description
        if not spec:
            return ""
        if spec in row:
            return str(row[spec])
        return self._checked("description", spec, lambda: self.renderer.render(spec, row))

    def _of(self, row: Row, spec: Any, meaning: Callable[[str], Any]) -> Any:
        """Look up a column, call a function, or render a template and interpret its text."""
        if isinstance(spec, str):
            return row[spec] if spec in self.columns else meaning(self.renderer.render(spec, row))
        return spec(row) if callable(spec) else spec

    def _number_or_text(self, text: str) -> Any:
        return int(text) if text.isdecimal() and self.file.doc_to_choice is not None else text

    def _number_list_or_text(self, text: str) -> Any:
        if len(text) >= 2 and text[0] == "[" and text[-1] == "]":
            try:
                return ast.literal_eval(text)
            except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
                return text
        return self._number_or_text(text)

    def _checked(self, key: str, spec: Any, read: Callable[[], T]) -> T:
        """Read a field. Raises DataError (LabelError for a target) for what the field or the task's code raises."""
        try:
            return read()
        except Exception as error:
            if not callable(spec) and not isinstance(error, _ROW_ERRORS):
                raise
            kind = LabelError if key == "doc_to_target" else DataError
            raise kind(f"{self.file.path}: {key}: {type(error).__name__}: {error}") from error


def places(golds: Any, choices: Sequence[str]) -> list[int]:
    """Return the indices of the right choices. golds: the index or the text of one, or a list of them.

    Raises LabelError where one of them is not a choice, or there are none.
    """
    labels = golds if isinstance(golds, list) else [golds]
    if not labels:
        raise LabelError("the list of right choices is empty")
    return [
        choice_of(gold, choices, names=choices, numbered=not isinstance(gold, str) or bool(_WRITTEN.fullmatch(gold)))
        for gold in labels
    ]


def join(before: str, after: str, *, delimiter: str) -> str:
    """Join two texts with the delimiter, unless one is empty or they already meet in white space."""
    if not before or not after:
        return before or after
    return f"{before}{'' if touching_space(before, after) else delimiter}{after}"


def touching_space(before: str, after: str) -> bool:
    """Whether there is white space where two texts meet."""
    return before[-1].isspace() or after[0].isspace()


def columns_of(rows: Iterable[Row]) -> frozenset[str]:
    """Return the columns of the first row; none without rows."""
    return frozenset(next(iter(rows), {}))
