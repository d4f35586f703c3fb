"""Names that other packages and users may add to: metrics, models, engines, task folders, families, result readers.

A package announces them as entry points (`[project.entry-points."evalkit.metrics"]` in its pyproject.toml), a script by
calling `register_...` of `import evalkit`. evalkit's own names come first and cannot be taken.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from evalkit.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

# Modules of users' files under names of our own, which no other process can import: it gets their code.
FILE_MODULES: list[ModuleType] = []


class Later(NamedTuple):
    """A value to import when it is first needed: "package.module:name"."""

    place: str


def later(place: str) -> Any:
    """Return a placeholder for a value of evalkit's own that a registry imports when it is needed."""
    return Later(place)


class Registry(Mapping[str, T]):
    """Names and values of one kind. kind: in messages. own: evalkit's names. group: of the entry points.

    A value behind an entry point is imported when it is needed. Raises UsageError where that fails, and KeyError for an
    unknown name.
    """

    def __init__(self, kind: str, own: Mapping[str, T], *, group: str):
        self._kind, self._own, self._group = kind, own, group
        self._added: dict[str, T] = {}

    def add(self, name: str, value: T) -> None:
        """Add a name, or replace one that was added before (a notebook's cell may run again).

        Raises UsageError for one of evalkit's own.
        """
        if not name or name in self._own:
            raise UsageError(f"{self._kind} {name!r}: that name is evalkit's own" if name else f"{self._kind}: no name")
        self._added[name] = value

    def __getitem__(self, name: str) -> T:
        if name in self._own:
            value = self._own[name]
            return pkgutil.resolve_name(value.place) if isinstance(value, Later) else value
        if name not in self._added and name in self._announced:
            self._added[name] = self._load(self._announced[name])
        return self._added[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._own, *self._announced, *self._added)))

    def __len__(self) -> int:
        return len({*self._own, *self._announced, *self._added})

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._added or name in self._announced

    @cached_property
    def _announced(self) -> Mapping[str, EntryPoint]:
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=self._group)}

    def _load(self, point: EntryPoint) -> T:
        try:
            value: T = point.load()
        except Exception as error:  # another package's import may fail in any way
            owner = point.dist.name if point.dist else point.value
            cause = f"{type(error).__name__}: {error}"
            raise UsageError(f"{self._kind} {point.name!r} of the package {owner} cannot be loaded: {cause}") from error
        return value
