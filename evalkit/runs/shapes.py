"""Whether plain values, as JSON gives them, have the types that a dataclass declares.

A checksum tells a changed file from a whole one, not a right one from a wrong one: a file that another program wrote
or that somebody edited and sealed again is checked here, before anything counts on its values.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

Fits = Callable[[Any], bool]

# Whole numbers beyond are no count, and no float or array holds them.
_LARGEST = 2**63


def check(kind: type, value: Any, *, more: bool = False) -> None:
    """Raise TypeError naming the first field that is missing, unknown or of another type than the dataclass says.

    more: fields that it does not have are let pass. A whole number may stand for a float, a list for a tuple.
    """
    if not fits(kind, more)(value):
        raise TypeError(_problem(kind, value, more))


@cache
def fits(kind: Any, more: bool = False) -> Fits:
    """Return what tells whether a plain value has the type."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _of_dataclass(kind, more)
    if origin in (Union, types.UnionType):
        return _of_any(tuple(fits(one, more) for one in inner))
    if origin in (tuple, list, Sequence):
        return _of_list(fits(inner[0], more))
    if origin in (dict, Mapping):
        return _of_table(fits(inner[1], more))
    return _PLAIN[kind]


def _whole(value: Any) -> bool:
    return type(value) is int and -_LARGEST <= value < _LARGEST


_PLAIN: Mapping[Any, Fits] = {
    Any: lambda value: True,
    str: lambda value: type(value) is str,
    bool: lambda value: type(value) is bool,
    int: _whole,
    float: lambda value: type(value) is float or _whole(value),
    types.NoneType: lambda value: value is None,
}


def _of_any(kinds: Sequence[Fits]) -> Fits:
    return lambda value: any(fit(value) for fit in kinds)


def _of_list(fit: Fits) -> Fits:
    return lambda value: type(value) in (list, tuple) and all(map(fit, value))


def _of_table(fit: Fits) -> Fits:
    return lambda value: type(value) is dict and all(map(fit, value.values()))


def _of_dataclass(kind: Any, more: bool) -> Fits:
    known = _fields(kind, more)
    needed = frozenset(name for name, (_, needed) in known.items() if needed)
    allowed = known.keys()
    checks = [(name, fit) for name, (fit, _) in known.items()]

    def fit_all(value: Any) -> bool:
        if type(value) is not dict or not (needed <= value.keys() and (more or value.keys() <= allowed)):
            return False
        return all(fit(value[name]) for name, fit in checks if name in value)

    return fit_all


@cache
def _fields(kind: Any, more: bool) -> Mapping[str, tuple[Fits, bool]]:
    """Return of each field what its values must fit, and whether it must be there."""
    hints = get_type_hints(kind)
    return {
        field.name: (fits(hints[field.name], more), field.default is MISSING and field.default_factory is MISSING)
        for field in fields(kind)
    }


def _problem(kind: Any, value: Any, more: bool) -> str:
    """Say what does not fit, as near to the fault as fields lead."""
    if type(value) is not dict:
        return f"{value!r:.60} in the place of named values"
    known, hints = _fields(kind, more), get_type_hints(kind)
    for name, (fit, needed) in known.items():
        if name not in value:
            if needed:
                return f"no field {name!r}"
        elif not fit(value[name]):
            inside = is_dataclass(hints[name]) and type(value[name]) is dict
            return f"{name}: {_problem(hints[name], value[name], more)}" if inside else f"{name} is {value[name]!r:.60}"
    return f"unknown field {min(map(str, value.keys() - known.keys()))!r:.60}"
