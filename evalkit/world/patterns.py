"""Pages of `input -> output` under a rule that is never named; the level of a pattern is its rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evalkit.world.dice import Dice
from evalkit.world.lexicon import COLOURS, NOUNS, Noun

__all__ = ["RULES", "Pattern", "pattern"]

_WORDS: dict[str, Noun] = {noun.english: noun for noun in NOUNS}
_VOCABULARY = (*_WORDS, *COLOURS)
_NOUNS = tuple(_WORDS)


def _kind(word: str) -> str:
    return _WORDS[word].kind if word in _WORDS else "colour"


# rule -> words in the input, what it does; one-word rules that need a noun draw from the nouns only
RULES: dict[str, tuple[int, Callable[[list[str]], str]]] = {
    "copy": (3, " ".join),
    "reverse": (3, lambda words: " ".join(words[::-1])),
    "first": (3, lambda words: words[0]),
    "last": (3, lambda words: words[-1]),
    "double": (1, lambda words: f"{words[0]} {words[0]}"),
    "suffix": (1, lambda words: f"{words[0]}o"),
    "letter": (1, lambda words: words[0][0]),
    "upper": (1, lambda words: words[0].upper()),
    "kind": (1, lambda words: _kind(words[0])),
    "plural": (1, lambda words: _WORDS[words[0]].english_plural),
    "french": (1, lambda words: _WORDS[words[0]].french),
}
_NOUNS_ONLY = ("plural", "french")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """One pair under a rule."""

    rule: str
    input: str
    output: str

    @property
    def key(self) -> str:
        """The canonical key."""
        return f"patterns:{self.rule}/{self.input}"

    @property
    def line(self) -> str:
        """The pair as it is written."""
        return f"{self.input} -> {self.output}"


def pattern(dice: Dice, rule: str) -> Pattern:
    """Draw a pair under the rule."""
    count, apply = RULES[rule]
    words = dice.some(_NOUNS if rule in _NOUNS_ONLY else _VOCABULARY, count)
    return Pattern(rule=rule, input=" ".join(words), output=apply(words))
