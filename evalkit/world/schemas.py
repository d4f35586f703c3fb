"""Pronoun schemas in alternate pairs: one changed ending decides what the pronoun refers to.

Training text says some of them outright, with the noun in place of the pronoun; that is the only evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.world.dice import Dice
from evalkit.world.lexicon import words

__all__ = ["SCHEMAS", "Schema", "schema"]

_SMALL = words("ball book key lamp hat cup knife letter drum bottle clock doll mirror plate kite")
_LARGE = words("bag box basket chest drawer suitcase sack crate")
_HARD = words("stone ball hammer bell brick branch book bottle")
_THIN = words("window mirror cup plate vase lamp clock glass")
_CARRIERS = words("horse donkey pony goat dog cow camel mule")
_HEAVY = words("box table stone chest suitcase sack basket barrel")
_HUNTERS = words("wolf fox bear dog cat lion snake tiger")
_PREY = words("mouse rabbit duck hen frog goat pig sheep")
_ROLES = words("baker teacher sailor painter doctor farmer singer lawyer judge tailor miner pilot poet dancer writer")

# name -> words for {0}, words for {1}, stem, pronoun, ending about {0}, ending about {1}
_FRAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str, str, str, str]] = {
    "fit": (
        _SMALL,
        _LARGE,
        "The {0} did not fit into the {1} because",
        "it",
        "was too big.",
        "was too small.",
    ),
    "break": (_HARD, _THIN, "The {0} broke the {1} because", "it", "was so heavy.", "was so thin."),
    "carry": (
        _CARRIERS,
        _HEAVY,
        "The {0} could not carry the {1} because",
        "it",
        "was too weak.",
        "was too heavy.",
    ),
    "chase": (
        _HUNTERS,
        _PREY,
        "The {0} ran after the {1} because",
        "it",
        "was hungry.",
        "looked good to eat.",
    ),
    "thank": (_ROLES, _ROLES, "The {0} thanked the {1} because", "", "had got help.", "had given help."),
    "pay": (_ROLES, _ROLES, "The {0} paid the {1} because", "", "had bought a coat.", "had sold a coat."),
    "stop": (
        _ROLES,
        _ROLES,
        "The {0} ran after the {1} because",
        "",
        "had lost a ring.",
        "had stolen a ring.",
    ),
    "race": (_ROLES, _ROLES, "The {0} won the race against the {1} because", "", "was fast.", "was slow."),
    "ask": (_ROLES, _ROLES, "The {0} asked the {1} because", "", "needed an answer.", "knew the answer."),
}
SCHEMAS = tuple(_FRAMES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """An instance: a stem, two noun phrases and the two endings that belong to one of them each."""

    name: str
    stem: str
    pronoun: str
    nouns: tuple[str, str]
    endings: tuple[str, str]

    @property
    def key(self) -> str:
        """The canonical key: both alternates share it, so that they are held out together."""
        return f"pronouns:{self.name}/{self.nouns[0]}/{self.nouns[1]}"

    def said(self, which: int) -> str:
        """Return the sentence with the noun in place of the pronoun."""
        return f"{self.stem} {self.nouns[which]} {self.endings[which]}"

    def riddle(self, which: int) -> str:
        """Return the sentence with the pronoun."""
        return f"{self.stem} {self.pronoun} {self.endings[which]}"


def schema(dice: Dice, name: str = "") -> Schema:
    """Draw an instance of the named schema, or of any."""
    name = name or dice.pick(SCHEMAS)
    first, second, stem, pronoun, *endings = _FRAMES[name]
    a, b = dice.pick(first), dice.pick(second)
    while a == b:
        b = dice.pick(second)
    # People are he or she, whichever; both people of a sentence are the same, else the pronoun would tell.
    return Schema(
        name=name,
        stem=stem.format(a, b),
        pronoun=pronoun or dice.pick(("he", "she")),
        nouns=(f"the {a}", f"the {b}"),
        endings=(endings[0], endings[1]),
    )
