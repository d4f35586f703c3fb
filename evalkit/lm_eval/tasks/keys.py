"""Reads and checks the keys of a task file; a value of the wrong kind is a DataError naming file and key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import DataError
from evalkit.lm_eval.tasks import templates
from evalkit.lm_eval.tasks.functions import FunctionRef

# The types that doc_to_... may have besides a function.
_FIELD_KINDS: Mapping[str, tuple[type, ...]] = {
    "doc_to_text": (str, int),
    "doc_to_target": (str, int, list),
    "doc_to_choice": (str, list, dict),
}


@dataclass(frozen=True)
class Keys:
    """The keys of a file, or of a mapping in it, whose name is the prefix of its keys in errors."""

    path: Path
    values: Mapping[str, Any]
    prefix: str = ""

    def wrong(self, key: str, expected: str) -> DataError:
        """Build the error for a value of the wrong kind."""
        return DataError(f"{self.path}: {self.prefix}{key}: expected {expected}, found {self.values.get(key)!r}")

    def text(self, key: str) -> str | None:
        """Read a text, or None."""
        value = self.values.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and key in ("task", "dataset_name"):
            return str(value)  # a name such as 2024, which YAML takes for a number
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def template(self, key: str) -> str | None:
        """Read a column's name or a template, or None."""
        value = self.text(key)
        self._compile(key, value)
        return value

    def choice(self, key: str, allowed: Sequence[str], *, default: str) -> str:
        """Read one of the allowed words."""
        value = self.values.get(key) or default
        if value not in allowed:
            raise self.wrong(key, f"one of {', '.join(allowed)}")
        return str(value)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Read keys and values; empty without them."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, "keys and values")
        return value or {}

    def function(self, key: str) -> Any:
        """Read a function, loaded or not, or None."""
        value = self.values.get(key)
        if value is not None and not is_code(value):
            raise self.wrong(key, "a !function")
        return value

    def field(self, key: str) -> Any:
        """Read a doc_to_... key: a function, a column or template, or (by key) a number, list or mapping."""
        value = self.values.get(key)
        if value is None or is_code(value):
            return value
        if isinstance(value, bool) or not isinstance(value, _FIELD_KINDS[key]):
            raise self.wrong(key, "a column, a template or a function")
        self._compile(key, value)
        return value

    def whole(self, key: str, *, least: int) -> int | None:
        """Read a whole number, or None."""
        value = self.values.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise self.wrong(key, f"a whole number from {least} up")
        return value

    def real(self, key: str, *, default: float) -> float:
        """Read a number, which may be written as a text."""
        value = self.values.get(key)
        try:
            return default if value is None else float(value)
        except (TypeError, ValueError):
            raise self.wrong(key, "a number") from None

    def _compile(self, key: str, value: Any) -> None:
        """Compile a template, so that a broken one is reported before any data is read."""
        if isinstance(value, str):
            try:
                templates.check(value)
            except templates.TemplateError as error:
                raise DataError(f"{self.path}: {self.prefix}{key}: not a valid template ({error})") from None


def is_code(value: Any) -> bool:
    """Whether a value is a function, loaded or not."""
    return isinstance(value, FunctionRef) or callable(value)
