"""Seeded draws, and the rule that decides which content is kept for testing.

Both are defined here down to the hash and the rounding, so that a corpus is the same on every machine and
under every Python: `random.Random.random` is promised to be stable, `choice` and `shuffle` are not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Protocol, TypeVar

__all__ = ["HELD_OUT", "Dice", "Keyed", "digest", "draw", "held_out"]

T = TypeVar("T")

# One in this many contents of a family is held out. Families with few possible contents hold out a larger share.
HELD_OUT = {
    "document": 20,
    "reading": 8,
    "translation": 8,
    "summary": 8,
    "qa": 4,
    "lastword": 8,
    "cloze": 8,
    "pronouns": 4,
    "patterns": 4,
}


class Keyed(Protocol):
    """Content with a canonical key, "FAMILY:what it says": paraphrases of the same content share the key."""

    @property
    def key(self) -> str:
        """The canonical key."""


K = TypeVar("K", bound=Keyed)


def digest(text: str) -> int:
    """Return 64 bits that depend on the text alone."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def held_out(key: str) -> bool:
    """Say whether the content with this key is kept for testing; no training text may contain it.

    >>> held_out("qa:Ada Moren/birthplace") == held_out("qa:Ada Moren/birthplace")
    True
    """
    return digest(key) % HELD_OUT[key.partition(":")[0]] == 0


class Dice:
    """Draws from one stream, which is named by the parts given.

    >>> Dice("corpus", 0, 1).below(1000) == Dice("corpus", 0, 1).below(1000)
    True
    """

    __slots__ = ("_random",)

    def __init__(self, *parts: object) -> None:
        self._random = random.Random(digest("/".join(map(str, parts)))).random

    def below(self, n: int) -> int:
        """Draw from 0 .. n - 1."""
        return int(self._random() * n)

    def chance(self, p: float) -> bool:
        """Return True with probability p."""
        return self._random() < p

    def fraction(self) -> float:
        """Draw from [0, 1)."""
        return self._random()

    def pick(self, options: Sequence[T]) -> T:
        """Draw one of the options."""
        return options[int(self._random() * len(options))]

    def some(self, options: Sequence[T], count: int) -> list[T]:
        """Draw `count` different positions of the options, in random order."""
        chosen: dict[int, T] = {}
        while len(chosen) < count:
            at = int(self._random() * len(options))
            chosen[at] = options[at]
        return list(chosen.values())

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """Return the options in random order."""
        result = list(options)
        for i in range(len(result) - 1, 0, -1):
            j = int(self._random() * (i + 1))
            result[i], result[j] = result[j], result[i]
        return result


def draw(dice: Dice, make: Callable[[Dice], K], *, held: bool = False) -> K:
    """Draw content until it is (or is not) held out: this one loop is what separates test from training."""
    while True:
        content = make(dice)
        if held_out(content.key) == held:
            return content
