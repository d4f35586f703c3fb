"""Pages of `input -> output` under a rule that is never named; the level of a pattern is its rule.

Rules of the family "new" never stand in training text: only the examples in a prompt can tell them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evalkit.world.dice import Dice
from evalkit.world.lexicon import NOUNS, Noun, words

__all__ = ["LEVELS", "RULES", "TAUGHT", "Pattern", "pattern"]

# The 25 most frequent words of each of these kinds.
_KINDS = ("person", "animal", "thing", "food", "clothes", "place")
_NOUNS: dict[str, Noun] = {n.english: n for n in NOUNS if n.kind in _KINDS and n.rank < 25 and not n.mass}
_WORDS = tuple(_NOUNS)
_SHORT = tuple(word for word in _WORDS if len(word) <= 4)
_STAMPS = words("sun moon star rain snow wind")

Draw = Callable[[Dice], list[str]]
Apply = Callable[[list[str]], str]


def _some(options: tuple[str, ...], count: int) -> Draw:
    return lambda dice: dice.some(options, count)


def _number(most: int) -> Draw:
    return lambda dice: [str(1 + dice.below(most))]


def _summands(dice: Dice) -> list[str]:
    return [str(1 + dice.below(9)), str(1 + dice.below(9))]


def _letters(dice: Dice) -> list[str]:
    """Spell a short word."""
    return list(dice.pick(_SHORT))


def _backwards(dice: Dice) -> list[str]:
    """Spell a short word from its end, as GPT-3's reversed words (Brown et al. 2020, section 3.9.2)."""
    return _letters(dice)[::-1]


def _cycled(dice: Dice) -> list[str]:
    """Spell a short word with its letters moved round, as GPT-3's cycled letters."""
    letters = _letters(dice)
    by = 1 + dice.below(len(letters) - 1)
    return letters[by:] + letters[:by]


def _uncycle(letters: list[str]) -> str:
    turns = {"".join(letters[i:] + letters[:i]) for i in range(len(letters))}
    return next(word for word in _SHORT if word in turns)


# level -> rule -> how its input is drawn, what it does
_FAMILIES: dict[str, dict[str, tuple[Draw, Apply]]] = {
    "word": {
        "copy": (_some(_WORDS, 2), " ".join),
        "first": (_some(_WORDS, 2), lambda given: given[0]),
        "last": (_some(_WORDS, 2), lambda given: given[-1]),
        "double": (_some(_WORDS, 1), lambda given: f"{given[0]} {given[0]}"),
        **{f"stamp {s}": (_some(_WORDS, 1), lambda given, s=s: f"{given[0]} {s}") for s in _STAMPS[:4]},  # type: ignore[misc]
    },
    "meaning": {
        "kind": (_some(_WORDS, 1), lambda given: _NOUNS[given[0]].kind),
        "plural": (_some(_WORDS, 1), lambda given: _NOUNS[given[0]].english_plural),
        "french": (_some(_WORDS, 1), lambda given: _NOUNS[given[0]].french),
    },
    "number": {
        "same number": (_number(99), lambda given: given[0]),
        "successor": (_number(99), lambda given: str(int(given[0]) + 1)),
        "sum": (_summands, lambda given: str(int(given[0]) + int(given[1]))),
        "larger": (_summands, lambda given: max(given)),
    },
    "scramble": {
        "spell": (_some(_SHORT, 1), lambda given: " ".join(given[0])),
        "join": (_letters, "".join),
        "reversed": (_backwards, lambda given: "".join(given[::-1])),
        "cycled": (_cycled, _uncycle),
    },
    "new": {
        "always": (_some(_WORDS, 1), lambda given: "storm"),
        f"stamp {_STAMPS[5]}": (_some(_WORDS, 1), lambda given: f"{given[0]} {_STAMPS[5]}"),
        "swap": (_some(_WORDS, 2), lambda given: " ".join(given[::-1])),
        "triple": (_some(_WORDS, 1), lambda given: " ".join(given * 3)),
        "predecessor": (_number(98), lambda given: str(int(given[0]) - 1)),
    },
}
RULES = {rule: level for level, rules in _FAMILIES.items() for rule in rules}
"""Rule -> its level."""

LEVELS = tuple(_FAMILIES)

TAUGHT = tuple(rule for rule, level in RULES.items() if level != "new")
"""The rules that training text shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """One pair under a rule."""

    rule: str
    input: str
    output: str

    @property
    def key(self) -> str:
        """The canonical key: two rules may agree on a pair."""
        return f"patterns:{self.line}"

    @property
    def line(self) -> str:
        """The pair as it is written."""
        return f"{self.input} -> {self.output}"


def pattern(dice: Dice, rule: str) -> Pattern:
    """Draw a pair under the rule."""
    make, apply = _FAMILIES[RULES[rule]][rule]
    given = make(dice)
    return Pattern(rule=rule, input=" ".join(given), output=apply(given))
