"""Pronoun schemas in alternate pairs: one changed ending decides what the pronoun refers to.

Training text says some of them outright, with the noun in place of the pronoun, and asks about others.

Levels: "thing" (what the nouns are tells much), "person" (any of the persons could be either; only the verb and the
order tell), "nested" (a third person is named in between).
"""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.world.dice import Dice
from evalkit.world.lexicon import words

__all__ = ["LEVELS", "Schema", "schema"]

_SMALL = words("ball book key lamp hat cup knife letter drum bottle clock doll mirror plate kite")
_LARGE = words("bag box basket chest drawer suitcase sack crate")
_HARD = words("stone ball hammer bell brick branch book bottle")
_THIN = words("window mirror cup plate vase lamp clock glass")
_CARRIERS = words("horse donkey pony goat dog cow camel mule")
_HEAVY = words("box table stone chest suitcase sack basket barrel")
_HUNTERS = words("wolf fox bear dog cat lion snake tiger")
_PREY = words("mouse rabbit duck hen frog goat pig sheep")
_ROLES = words("baker teacher sailor painter doctor farmer singer lawyer judge tailor miner pilot poet dancer writer")

# words for {0}, words for {1}, stem, ending about {0}, ending about {1}
_Frame = tuple[tuple[str, ...], tuple[str, ...], str, str, str]

_THINGS: tuple[_Frame, ...] = (
    (_SMALL, _LARGE, "The {0} did not fit into the {1} because", "was too big.", "was too small."),
    (_HARD, _THIN, "The {0} broke the {1} because", "was so heavy.", "was so thin."),
    (_CARRIERS, _HEAVY, "The {0} could not carry the {1} because", "was too weak.", "was too heavy."),
    (_HUNTERS, _PREY, "The {0} ran after the {1} because", "was hungry.", "looked good to eat."),
    (_SMALL, _LARGE, "The {0} fell out of the {1} because", "was round.", "was open."),
)
_PERSONS: tuple[_Frame, ...] = (
    (_ROLES, _ROLES, "The {0} thanked the {1} because", "had got help.", "had given help."),
    (_ROLES, _ROLES, "The {0} paid the {1} because", "had bought a coat.", "had sold a coat."),
    (_ROLES, _ROLES, "The {0} ran after the {1} because", "had lost a ring.", "had stolen a ring."),
    (_ROLES, _ROLES, "The {0} won the race against the {1} because", "was fast.", "was slow."),
    (_ROLES, _ROLES, "The {0} asked the {1} because", "needed an answer.", "knew the answer."),
)
_NESTED: tuple[_Frame, ...] = tuple(
    (first, second, stem.replace("The {0}", f"The {{0}}, {tie} the {{2}},", 1), one, other)
    for (first, second, stem, one, other), tie in zip(
        _PERSONS, ("a friend of", "sent by", "seen by", "a cousin of", "brought by"), strict=True
    )
)
_FRAMES = {"thing": _THINGS, "person": _PERSONS, "nested": _NESTED}
LEVELS = tuple(_FRAMES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """An instance: a stem, two noun phrases and the two endings that belong to one of them each."""

    level: str
    stem: str
    pronoun: str
    nouns: tuple[str, str]
    endings: tuple[str, str]

    @property
    def key(self) -> str:
        """The canonical key: both alternates share it, so that they are held out together."""
        return f"pronouns:{self.stem}"

    def said(self, which: int) -> str:
        """Return the sentence with the noun in place of the pronoun."""
        return f"{self.stem} {self.nouns[which]} {self.endings[which]}"

    def riddle(self, which: int) -> str:
        """Return the sentence with the pronoun."""
        return f"{self.stem} {self.pronoun} {self.endings[which]}"

    def question(self, which: int) -> str:
        """Return the question what the pronoun stands for."""
        return f"{'What' if self.pronoun == 'it' else 'Who'} {self.endings[which].removesuffix('.')}?"


def schema(dice: Dice, level: str) -> Schema:
    """Draw an instance of a level."""
    first, second, stem, *endings = dice.pick(_FRAMES[level])
    a, b = dice.pick(first), dice.pick(second)
    while a == b:
        b = dice.pick(second)
    third = dice.pick([role for role in _ROLES if role not in (a, b)])
    # People are he or she, whichever; all people of a sentence are the same, else the pronoun would tell.
    return Schema(
        level=level,
        stem=stem.format(a, b, third),
        pronoun="it" if level == "thing" else dice.pick(("he", "she")),
        nouns=(f"the {a}", f"the {b}"),
        endings=(endings[0], endings[1]),
    )
