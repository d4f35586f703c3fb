"""The settings of a model's file, checked by type as they are read: a damaged or hostile file gives one clear error."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from evalkit.errors import CheckpointError
from evalkit.files import read_json

T = TypeVar("T")
_MISSING = object()


class NotNativeError(CheckpointError):
    """A sound model that our network cannot be; transformers may run it."""


class Settings:
    """A table of settings. defaults: the values of keys that a file may leave out; path: of the file, for errors.

    The methods raise CheckpointError, naming file and key, for a value of another type and for a missing one.
    """

    def __init__(self, raw: Mapping[str, Any], path: Path, *, defaults: Mapping[str, Any], within: str = ""):
        self.path, self._raw, self._defaults, self._within = path, raw, defaults, within

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read a JSON file that holds a table."""
        raw = read_json(path, CheckpointError)
        if not isinstance(raw, dict):
            raise CheckpointError(f"{path}: expected a JSON object, found {type(raw).__name__}")
        return cls(raw, path, defaults={})

    def with_defaults(self, defaults: Mapping[str, Any]) -> Settings:
        """Return the same table with other values for keys that it leaves out."""
        return Settings(self._raw, self.path, defaults=defaults, within=self._within)

    def has(self, key: str) -> bool:
        """Whether the file gives a value other than null."""
        return self._raw.get(key) is not None

    def whole(self, key: str) -> int:
        """Return a whole number."""
        return self._typed(key, int, "a whole number")

    def whole_or_none(self, key: str) -> int | None:
        """Return a whole number, or None for null."""
        return None if self._value(key) is None else self.whole(key)

    def wholes(self, key: str) -> Sequence[int]:
        """Return a list of whole numbers; one alone is a list of one."""
        value = self._value(key)
        listed = value if isinstance(value, list) else [value]
        if all(isinstance(item, int) and not isinstance(item, bool) for item in listed):
            return listed
        raise self.wrong(key, "a whole number or a list of them")

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self._value(key)
        try:
            if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(number := float(value)):
                return number
        except OverflowError:  # a whole number of hundreds of digits
            pass
        raise self.wrong(key, "a number")

    def flag(self, key: str) -> bool:
        """Return true or false."""
        return self._typed(key, bool, "true or false")

    def text(self, key: str) -> str:
        """Return a text."""
        return self._typed(key, str, "a text")

    def items(self, key: str) -> Sequence[Any]:
        """Return a list; its items are not checked."""
        return self._typed(key, list, "a list")

    def table(self, key: str) -> Settings:
        """Return a table within; an empty one for null or a missing key."""
        raw = self._raw.get(key)
        if raw is not None and not isinstance(raw, dict):
            raise self.wrong(key, "an object")
        return Settings(raw or {}, self.path, defaults={}, within=self._named(key))

    def one_of(self, key: str, choices: Mapping[str, T]) -> T:
        """Return what a text stands for. Raises NotNativeError for one that our network does not know."""
        if (text := self.text(key)) not in choices:
            raise self.refused(key, f"our GPT has {', '.join(choices)}")
        return choices[text]

    def wrong(self, key: str, expected: str) -> CheckpointError:
        """Return the error for a value that no such file can have; expected: what it must be."""
        value = self._value(key)
        found = "is missing" if value is _MISSING else f"is {_short(value)}"
        return CheckpointError(f"{self.path}: {self._named(key)} {found}; it must be {expected}")

    def refused(self, key: str, reason: str) -> NotNativeError:
        """Return the error for a setting that asks for another network than ours."""
        return NotNativeError(f"{self.path}: {self._named(key)} {_short(self._value(key))}: {reason}")

    def refuse(self, reason: str, *keys: str) -> None:
        """Raise NotNativeError if one of these keys is given and neither null, false nor zero."""
        for key in keys:
            if self._raw.get(key):
                raise self.refused(key, reason)

    def others(self, known: Collection[str]) -> list[str]:
        """Return the keys of the file that are not among the known ones."""
        return [key for key in self._raw if key not in known]

    def _value(self, key: str) -> Any:
        return self._raw.get(key, self._defaults.get(key, _MISSING))

    def _typed(self, key: str, kind: type[T], expected: str) -> T:
        value = self._value(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(key, expected)
        return value

    def _named(self, key: str) -> str:
        return f"{self._within}.{key}" if self._within else key


def _short(value: Any) -> str:
    if isinstance(value, int) and abs(value) > 10**18:
        return "a very large number"  # Python refuses to write one of thousands of digits
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."
