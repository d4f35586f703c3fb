"""Whether plain values, as JSON gives them, have the types that a dataclass declares.

A checksum shows that a file was changed, not that its content is right: a file that another program wrote, or that
somebody edited and sealed again, is checked here before anything relies on its values.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from operator import itemgetter
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
        return _of_list(fits(inner[0], extra), _EXACT.get(inner[0], frozenset()))
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

# Types whose values all fit a kind.
_EXACT: Mapping[Any, frozenset[type]] = {kind: frozenset({kind}) for kind in (str, bool, float)}
_TEXT = _EXACT[str]
# Choices of names whose tests are remembered.
_PLANS = 64


def _of_any(kinds: Sequence[Fits]) -> Fits:
    return lambda value: any(fit(value) for fit in kinds)


def _of_list(fit: Fits, exact: frozenset[type]) -> Fits:
    """Return the test of a list. exact: types whose values all fit."""
    return lambda value: type(value) in (list, tuple) and (exact.issuperset(map(type, value)) or all(map(fit, value)))


def _of_table(fit: Fits) -> Fits:
    return lambda value: type(value) is dict and all(map(fit, value.values()))


def _of_dataclass(kind: Any, extra: bool) -> Fits:
    """Return the test of named values, which is planned once for each choice of names."""
    expected = _fields(kind, extra)
    needed = frozenset(name for name, (_, needed) in expected.items() if needed)
    plans: dict[tuple[Any, ...], tuple[Callable[[Any], Any], Sequence[tuple[str, Fits]]]] = {}

    def fit_all(value: Any) -> bool:
        if type(value) is not dict:
            return False
        names = tuple(value)
        if names not in plans:
            if not needed <= value.keys() or not (extra or value.keys() <= expected.keys()):
                return False
            if len(plans) >= _PLANS:
                plans.clear()
            plans[names] = _planned({name: expected[name][0] for name in names if name in expected})
        texts_of, others = plans[names]
        if not _TEXT.issuperset(map(type, texts_of(value))):
            return False
        for name, fit in others:  # noqa: SIM110 - a generator costs more than most of the tests
            if not fit(value[name]):
                return False
        return True

    return fit_all


def _planned(tests: Mapping[str, Fits]) -> tuple[Callable[[Any], Any], Sequence[tuple[str, Fits]]]:
    """Return a function that picks the values that have to be texts, and the tests of the others."""
    texts = [name for name, fit in tests.items() if fit is _PLAIN[str]]
    if len(texts) < 2:  # of one name, itemgetter gives no tuple
        return lambda value: (), [*tests.items()]
    return itemgetter(*texts), [(name, fit) for name, fit in tests.items() if fit is not _PLAIN[str]]


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
