"""The cast that stories, tales and plots share: first names, things, rooms, food, animals."""

from __future__ import annotations

from evalkit.world.lexicon import words
from evalkit.world.people import BOYS, GIRLS

__all__ = ["ANIMALS", "FOODS", "NAMES", "ROOMS", "THINGS", "facts_key", "her", "she"]

# Few of each: what a small model has to learn per word, it learns from the number of times it meets the word.
THINGS = words("ball book key lamp hat cup ring watch drum map clock doll flag box bag coat")
FOODS = words("apple cake egg pear orange lemon carrot biscuit nut cherry")
ANIMALS = words("dog cat horse cow bird rabbit goat duck frog pig")
ROOMS = words("kitchen garden cellar attic library barn hall forest church school")
NAMES = (*GIRLS[:12], *BOYS[:12])
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
