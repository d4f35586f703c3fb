"""The cast that stories, tales and plots share: first names, things, rooms, food, animals."""

from __future__ import annotations

from evalkit.world.lexicon import of_kind
from evalkit.world.people import BOYS, GIRLS

__all__ = ["ANIMALS", "FOODS", "NAMES", "ROOMS", "THINGS", "facts_key", "her", "she"]

THINGS = tuple(noun.english for noun in of_kind("t"))
FOODS = tuple(noun.english for noun in of_kind("f") if noun.english != "cheese")
ANIMALS = tuple(noun.english for noun in of_kind("a"))
ROOMS = (
    "kitchen",
    "garden",
    "cellar",
    "garage",
    "attic",
    "library",
    "barn",
    "hall",
    "forest",
    "park",
    "church",
    "school",
)
NAMES = (*GIRLS, *BOYS)
_WOMEN = frozenset(GIRLS)


def she(name: str) -> str:
    """Return the pronoun of a person: she or he."""
    return "she" if name in _WOMEN else "he"


def her(name: str) -> str:
    """Return the possessive of a person: her or his."""
    return "her" if name in _WOMEN else "his"


def facts_key(family: str, *pairs: tuple[str, ...]) -> str:
    """Return the key of facts, whatever their order and wording."""
    return f"{family}:" + ";".join(sorted(" ".join(pair) for pair in pairs))
