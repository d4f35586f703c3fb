"""What a task reads of a row: the choice that its label names, and lists of texts."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

from evalkit.errors import LabelError
from evalkit.types import Example

# A whole number as a table's column has it; pandas writes those of a column with gaps as 1.0.
_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,18})(?:\.0*)?\s*")


def choice_of(
    label: Any,
    choices: Sequence[str],
    *,
    names: Iterable[Any] | Mapping[Any, int] | None = None,
    numbered: bool = False,
    first: int = 0,
) -> int:
    """Return which of the choices a label names.

    names: what the choices are called, in their order, or name -> place. numbered: they are numbered too, as they are
    without names: by whole numbers from `first` on, which may be texts, or floats without a fraction. A bool is no
    number.

    Raises LabelError for every other label: -1 of a split without labels, null, a letter of none of the choices.
    """
    known: Mapping[Any, int] = {}
    if names is not None:
        known = names if isinstance(names, Mapping) else {name: i for i, name in reversed([*enumerate(names)])}
    place = None
    # To a mapping, true is 1.
    if isinstance(label, Hashable) and (not isinstance(label, bool) or any(isinstance(name, bool) for name in known)):
        place = known.get(label)
    if place is None and (names is None or numbered) and (number := whole(label)) is not None:
        place = number - first
    if place is None or not 0 <= place < len(choices):
        raise LabelError(f"the label {_shown(label)} names none of its {len(choices)} choices")
    return place


def whole(value: Any) -> int | None:
    """Return a whole number that is written as an int, a float or a text; None for everything else, a bool too."""
    if isinstance(value, str):
        found = _WHOLE.fullmatch(value)
        return int(found.group(1)) if found else None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    number: Any = value
    return int(number) if number == number // 1 else None  # false for NaN and infinity


def texts_of(value: Any, column: str) -> tuple[str, ...]:
    """Return the texts of a list as they are.

    Raises TypeError for anything else: a text would be taken for a list of its letters.
    """
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a list of texts in {column!r}, found {type(value).__name__}")
    return tuple(value)


def with_whole_gold(example: Example, *, needed: bool) -> Example:
    """Return the example with its golds as ints. needed: one of its choices has to be right.

    Raises LabelError where a gold is none of its choices.
    """
    if not example.choices:
        return example
    if example.golds:
        return replace(example, golds=tuple(_place(gold, example.choices) for gold in example.golds))
    if example.gold is None and not needed:
        return example
    return replace(example, gold=_place(example.gold, example.choices))


def _place(gold: Any, choices: Sequence[str]) -> int:
    """Take a gold that a task has made of a label; a number as text would be its mistake."""
    return choice_of(gold, choices, names=None if isinstance(gold, Real) else ())


def _shown(label: Any) -> str:
    text = "null" if label is None else repr(label)
    return text if len(text) <= 60 else f"{text[:57]}..."
