"""How a task reads a row: the choice that its label names, and lists of texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

from evalkit.errors import LabelError
from evalkit.types import Example

# An integer as text; pandas writes those of a column with gaps as 1.0.
_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,18})(?:\.0*)?\s*")


def choice_of(
    label: Any,
    choices: Sequence[str],
    *,
    names: Iterable[Any] | Mapping[Any, int] | None = None,
    numbered: bool = False,
    first: int = 0,
) -> int:
    """Return the index of the choice that a label names.

    names: the labels of the choices, in their order, or label -> index. numbered: integers from `first` on name the
    choices too, as they do without names; they may be texts, or floats without a fraction, but not bools.

    Raises LabelError for every other label: -1 of a split without labels, null, a letter of none of the choices.
    """
    places: Mapping[Any, int] = {}
    if names is not None:
        pairs = (
            names.items() if isinstance(names, Mapping) else ((name, i) for i, name in reversed([*enumerate(names)]))
        )
        places = {name: i for name, i in pairs if _hashable(name)}
    place = None
    # As a key, True equals 1.
    if _hashable(label) and (not isinstance(label, bool) or any(isinstance(name, bool) for name in places)):
        place = places.get(label)
    if place is None and (names is None or numbered) and (number := whole(label)) is not None:
        place = number - first
    if place is None or not 0 <= place < len(choices):
        raise LabelError(f"the label {_shown(label)} names none of its {len(choices)} choices")
    return place


def _hashable(value: Any) -> bool:
    """Whether a value can be a key: a tuple that holds a list cannot, though it is a Hashable."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def whole(value: Any) -> int | None:
    """Return the integer that an int, a float or a text stands for; None for everything else, a bool included."""
    if isinstance(value, str):
        match = _WHOLE.fullmatch(value)
        return int(match.group(1)) if match else None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    number: Any = value
    return int(number) if number == number // 1 else None  # false for NaN and infinity


def texts_of(value: Any, column: str) -> tuple[str, ...]:
    """Return the texts of a list unchanged.

    Raises TypeError for anything else: a string would be taken for a list of its letters.
    """
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a list of texts in {column!r}, found {type(value).__name__}")
    return tuple(value)


def with_whole_gold(example: Example, *, needed: bool) -> Example:
    """Return the example with its golds as ints. needed: it must have a right choice.

    Raises LabelError where a gold is not one of its choices.
    """
    if not example.choices:
        return example
    if example.golds:
        return replace(example, golds=tuple(_place(gold, example.choices) for gold in example.golds))
    if example.gold is None and not needed:
        return example
    return replace(example, gold=_place(example.gold, example.choices))


def _place(gold: Any, choices: Sequence[str]) -> int:
    """Return the index of a gold that a task has made from a label; a number as text would be the task's mistake."""
    return choice_of(gold, choices, names=None if isinstance(gold, Real) else ())


def _shown(label: Any) -> str:
    text = "null" if label is None else repr(label)
    return text if len(text) <= 60 else f"{text[:57]}..."
