"""Noun phrases in both languages: determiners, elision, liaison forms, agreement, relative clauses, contraction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.world.lexicon import Adjective, Noun, article, elides

if TYPE_CHECKING:
    from evalkit.world.sentences import Relative

__all__ = ["NUMBERS", "PRONOUNS", "NounPhrase", "Pronoun", "agreed", "contracted", "english_phrase", "french_phrase"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pronoun:
    """A pronoun as subject or object. person: index into Verb.french (je, il, nous, ils).

    clitic: French direct object, with its vowel. indirect: with à; "" where it would not tell him from her.
    """

    french: str
    person: int
    plural: bool = False
    feminine: bool = False
    clitic: str = ""
    indirect: str = ""


PRONOUNS = {
    "I": Pronoun(french="je", person=0),
    "he": Pronoun(french="il", person=1),
    "she": Pronoun(french="elle", person=1, feminine=True),
    "it": Pronoun(french="il", person=1),
    "we": Pronoun(french="nous", person=2, plural=True),
    "they": Pronoun(french="ils", person=3, plural=True),
    "me": Pronoun(french="je", person=0, clitic="me", indirect="me"),
    "him": Pronoun(french="il", person=1, clitic="le"),
    "her": Pronoun(french="elle", person=1, feminine=True, clitic="la"),
    "us": Pronoun(french="nous", person=2, plural=True, clitic="nous", indirect="nous"),
    "them": Pronoun(french="ils", person=3, plural=True, clitic="les", indirect="leur"),
}

NUMBERS = {
    "two": "deux", "three": "trois", "four": "quatre", "five": "cinq", "six": "six", "seven": "sept",
    "eight": "huit", "nine": "neuf", "ten": "dix", "twelve": "douze", "twenty": "vingt", "a hundred": "cent",
}  # fmt: skip


def _owner(letter: str) -> tuple[str, ...]:
    return tuple(f"{letter}{form} " for form in ("on", "on", "a", "on", "es", "es", "es", "es"))


# English -> French, at 4 * plural + 2 * feminine + vowel: le père, l'oncle, la mère, l'amie, les pères, ...
_DETERMINERS = {
    "the": ("le ", "l'", "la ", "l'", "les ", "les ", "les ", "les "),
    "a": ("un ", "un ", "une ", "une ", "", "", "", ""),
    "some": ("du ", "de l'", "de la ", "de l'", "des ", "des ", "des ", "des "),
    "any": ("de ", "d'") * 4,
    "this": ("ce ", "cet ", "cette ", "cette ", "ces ", "ces ", "ces ", "ces "),
    "my": _owner("m"),
    "his": _owner("s"),
    "her": _owner("s"),
    "our": ("notre ",) * 4 + ("nos ",) * 4,
    "their": ("leur ",) * 4 + ("leurs ",) * 4,
    "several": ("plusieurs ",) * 8,
    "many": ("beaucoup de ", "beaucoup d'") * 4,
    "all the": ("tout le ", "tout l'", "toute la ", "toute l'", "tous les ", "tous les ", "toutes les ", "toutes les "),
    **{english: (f"{french} ",) * 8 for english, french in NUMBERS.items()},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NounPhrase:
    """A determiner, a noun, at most one adjective and at most one relative clause; or a pronoun.

    determiner: the, a, some, any, this, my, our, his, her, their, several, many, all the or a number.
    plural: said of several; a mass is not. pronoun: "" or one in PRONOUNS (as it stands in English).
    """

    determiner: str = "the"
    noun: Noun | None = None
    adjective: Adjective | None = None
    plural: bool = False
    pronoun: str = ""
    relative: Relative | None = None

    @property
    def feminine(self) -> bool:
        """Gender in French."""
        return self.noun.gender == "f" if self.noun else PRONOUNS[self.pronoun].feminine

    @property
    def many(self) -> bool:
        """Whether it takes a plural adjective or participle."""
        return self.plural if self.noun else PRONOUNS[self.pronoun].plural

    @property
    def person(self) -> int:
        """Index into Verb.french."""
        return (3 if self.plural else 1) if self.noun else PRONOUNS[self.pronoun].person


def agreed(adjective: Adjective, *, feminine: bool, plural: bool) -> str:
    """Return the French form."""
    if feminine:
        return adjective.feminine + "s" if plural else adjective.feminine
    return adjective.masculine_plural if plural else adjective.masculine


def english_phrase(phrase: NounPhrase) -> str:
    """Write the phrase in English, without its relative clause."""
    noun = phrase.noun
    if noun is None:
        return phrase.pronoun
    words = noun.english_plural if phrase.plural else noun.english
    if phrase.adjective:
        words = f"{phrase.adjective.english} {words}"
    determiner = phrase.determiner
    if determiner == "a":
        determiner = article(words)
    elif determiner == "this" and phrase.plural:
        determiner = "these"
    return f"{determiner} {words}"


def french_phrase(phrase: NounPhrase) -> str:
    """Write the phrase in French, without its relative clause."""
    noun, adjective = phrase.noun, phrase.adjective
    if noun is None:
        return PRONOUNS[phrase.pronoun].french
    feminine, plural, determiner = noun.gender == "f", phrase.plural, phrase.determiner
    words = noun.french_plural if plural else noun.french
    if adjective and adjective.before:
        liaison = not feminine and not plural and elides(words)
        form = adjective.liaison if liaison else agreed(adjective, feminine=feminine, plural=plural)
        words = f"{form} {words}"
        if determiner == "some" and plural:  # de petits chats
            determiner = "any"
    elif adjective:
        words = f"{words} {agreed(adjective, feminine=feminine, plural=plural)}"
    return _DETERMINERS[determiner][4 * plural + 2 * feminine + elides(words)] + words


def contracted(preposition: str, phrase: str) -> str:
    """Join a French preposition and a phrase: au, aux, du, des, d'une; "de" swallows des, du, de la and de l'."""
    if preposition == "à" or preposition.endswith("de"):
        start, short, shorts = preposition[:-2], "du", "des"
        if preposition == "à":
            start, short, shorts = "", "au", "aux"
        if phrase.startswith("le "):
            return f"{start}{short} {phrase[3:]}"
        if phrase.startswith("les "):
            return f"{start}{shorts} {phrase[4:]}"
        if preposition == "à":
            return f"à {phrase}"
        for partitive in ("des ", "du ", "de la ", "de l'", "de ", "d'"):
            if phrase.startswith(partitive):
                phrase = phrase[len(partitive) :]
                break
        return f"{start}d'{phrase}" if elides(phrase) else f"{start}de {phrase}"
    return f"{preposition} {phrase}"
