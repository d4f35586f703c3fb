"""Whether plain values, as JSON gives them, have the types that a dataclass declares.

A checksum shows that a file was changed, not that its content is right: a file that another program wrote, or that
somebody edited and sealed again, is checked here before anything relies on its values.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

Fits = Callable[[Any], bool]

# Larger integers are no count, and no array holds them.
_LARGEST = 2**63


def check(kind: type, value: Any, *, extra: bool = False) -> None:
    """Raise TypeError naming the first field that is missing, unknown or of another type than the dataclass says.

    extra: fields that it does not have are allowed. An integer may stand for a float, a list for a tuple.
    """
    if not fits(kind, extra)(value):
        raise TypeError(_problem(kind, value, extra))


@cache
def fits(kind: Any, extra: bool = False) -> Fits:
    """Return a function that tests whether a plain value has the type."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _of_dataclass(kind, extra)
    if origin in (Union, types.UnionType):
        return _of_any(tuple(fits(part, extra) for part in inner))
    if origin in (tuple, list, Sequence):
        return _of_list(fits(inner[0], extra))
    if origin in (dict, Mapping):
        return _of_table(fits(inner[1], extra))
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


def _of_dataclass(kind: Any, extra: bool) -> Fits:
    expected = _fields(kind, extra)
    needed = frozenset(name for name, (_, needed) in expected.items() if needed)
    allowed = expected.keys()
    checks = [(name, fit) for name, (fit, _) in expected.items()]

    def fit_all(value: Any) -> bool:
        if type(value) is not dict or not (needed <= value.keys() and (extra or value.keys() <= allowed)):
            return False
        return all(fit(value[name]) for name, fit in checks if name in value)

    return fit_all


@cache
def _fields(kind: Any, extra: bool) -> Mapping[str, tuple[Fits, bool]]:
    """Return, for each field, the test of its values and whether it is required."""
    hints = get_type_hints(kind)
    return {
        field.name: (fits(hints[field.name], extra), field.default is MISSING and field.default_factory is MISSING)
        for field in fields(kind)
    }


def _problem(kind: Any, value: Any, extra: bool) -> str:
    """Return what does not fit, naming the innermost field that is at fault."""
    if type(value) is not dict:
        return f"{value!r:.60} in the place of named values"
    expected, hints = _fields(kind, extra), get_type_hints(kind)
    for name, (fit, needed) in expected.items():
        if name not in value:
            if needed:
                return f"no field {name!r}"
        elif not fit(value[name]):
            inside = is_dataclass(hints[name]) and type(value[name]) is dict
            return (
                f"{name}: {_problem(hints[name], value[name], extra)}" if inside else f"{name} is {value[name]!r:.60}"
            )
    return f"unknown field {min(map(str, value.keys() - expected.keys()))!r:.60}"
