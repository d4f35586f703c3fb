"""Sentences in both languages from one shared meaning: who does what to what, where, when.

A Clause is language-free; `english` and `french` write it. Articles, elision, agreement, contraction,
negation and the space before a French question mark are decided here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from evalkit.world.dice import Dice
from evalkit.world.lexicon import (
    ADJECTIVES,
    PREPOSITIONS,
    VERBS,
    Adjective,
    Noun,
    Verb,
    article,
    elides,
    of_kind,
)

__all__ = ["Clause", "NounPhrase", "clause", "english", "french"]

Tense = Literal["present", "past", "future"]

# pronoun -> French pronoun, index into Verb.french, English plural verb, feminine, French plural adjective
_PRONOUNS = {
    "I": ("je", 0, False, False, False),
    "he": ("il", 1, False, False, False),
    "she": ("elle", 1, False, True, False),
    "we": ("nous", 2, True, False, True),
    "they": ("ils", 3, True, False, True),
}
_FUTURE = ("ai", "a", "ons", "ont")
_AVOIR = ("ai", "a", "avons", "ont")
_BE_FRENCH = {
    "present": ("suis", "est", "sommes", "sont"),
    "past": ("étais", "était", "étions", "étaient"),
    "future": ("serai", "sera", "serons", "seront"),
}
_WHEN = {
    "present": ("every day", "tous les jours"),
    "past": ("yesterday", "hier"),
    "future": ("tomorrow", "demain"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NounPhrase:
    """A determiner, a noun and at most one adjective; or a pronoun.

    determiner: the, a, some, this, my, our, his, her, two or three. pronoun: "" or one in the table.
    """

    determiner: str = "the"
    noun: Noun | None = None
    adjective: Adjective | None = None
    plural: bool = False
    pronoun: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clause:
    """One statement or yes/no question. verb None: the subject has a quality, with "to be".

    place: preposition in English and French, and the place. time: ends with the tense's adverb.
    """

    subject: NounPhrase
    verb: Verb | None = None
    quality: Adjective | None = None
    object: NounPhrase | None = None
    place: tuple[str, str, Noun] | None = None
    tense: Tense = "present"
    negative: bool = False
    question: bool = False
    time: bool = False

    @property
    def key(self) -> str:
        """The canonical key of its content."""
        return f"translation:{english(self)}"


@cache
def _adjectives_for(kind: str) -> tuple[Adjective, ...]:
    letter = "l" if kind == "place" else kind[0]
    return tuple(adjective for adjective in ADJECTIVES if letter in adjective.kinds)


_nouns_for = cache(of_kind)
_ACTIONS = tuple(verb for verb in VERBS if verb.objects)
_STATES = tuple(verb for verb in VERBS if not verb.objects)


def _phrase(dice: Dice, kinds: str, *, owner: str = "", definite: bool = False) -> NounPhrase:
    """Draw a noun phrase. owner: sex of the subject, so that his/her is decided. definite: no a/some."""
    noun = dice.pick(_nouns_for(kinds))
    plural = dice.chance(0.2)
    options = ["the", "the", "the", "this", "my", "our"] if definite else ["the", "the", "the", "a", "a", "my", "this"]
    determiner = dice.pick(options)
    if owner and dice.chance(0.3):
        determiner = "his" if owner == "m" else "her"
    if plural and determiner == "a":
        determiner = dice.pick(("some", "two", "three"))
    adjective = dice.pick(_adjectives_for(noun.kind)) if dice.chance(0.3) else None
    return NounPhrase(determiner=determiner, noun=noun, adjective=adjective, plural=plural)


def _subject(dice: Dice, kinds: str) -> NounPhrase:
    if "p" in kinds and dice.chance(0.2):
        return NounPhrase(pronoun=dice.pick(tuple(_PRONOUNS)))
    return _phrase(dice, kinds)


def _place(dice: Dice) -> tuple[str, str, Noun]:
    noun = dice.pick(_nouns_for("l"))
    preposition = dice.pick(PREPOSITIONS[dice.pick(noun.tags)])
    return (*preposition, noun)


def clause(dice: Dice) -> Clause:
    """Draw a statement or question."""
    shape = dice.fraction()
    roll = dice.fraction()
    tense: Tense = "present" if roll < 0.65 else "past" if roll < 0.88 else "future"
    question, negative, time = dice.chance(0.08), dice.chance(0.12), dice.chance(0.12)
    negative = negative and not question
    if shape < 0.2:
        # No second adjective: "the red lamp is blue" says nothing.
        subject = replace(_subject(dice, "patfl"), adjective=None)
        quality = dice.pick(_adjectives_for(subject.noun.kind if subject.noun else "person"))
        return Clause(subject=subject, quality=quality, tense=tense, negative=negative, question=question)
    if shape < 0.45:
        verb = dice.pick(_STATES)
        place = _place(dice) if dice.chance(0.8) and verb.english != "swim" else None
        state = Clause(subject=_subject(dice, verb.subjects), verb=verb, place=place, tense=tense, time=time)
        return replace(state, negative=negative, question=question)
    verb = dice.pick(_ACTIONS)
    subject = _subject(dice, verb.subjects)
    owner = subject.noun.sex if subject.noun else {"he": "m", "she": "f"}.get(subject.pronoun, "")
    owner = "" if subject.plural else owner
    thing = _phrase(dice, verb.objects, owner=owner, definite=negative)
    while thing.noun is subject.noun:
        thing = _phrase(dice, verb.objects, owner=owner, definite=negative)
    action = Clause(subject=subject, verb=verb, object=thing, tense=tense, time=time)
    return replace(action, negative=negative, question=question)


def _english_phrase(phrase: NounPhrase) -> str:
    noun = phrase.noun
    if noun is None:
        return phrase.pronoun
    words = [phrase.adjective.english] if phrase.adjective else []
    words.append(noun.english_plural if phrase.plural else noun.english)
    determiner = phrase.determiner
    if determiner == "a":
        determiner = article(words[0])
    elif determiner == "this" and phrase.plural:
        determiner = "these"
    return " ".join([determiner, *words])


def _english_be(clause: Clause, plural: bool) -> tuple[str, str]:
    """Return the finite form of "to be" and what follows it."""
    if clause.tense == "future":
        return "will", "be"
    first = clause.subject.pronoun == "I"
    if clause.tense == "past":
        return ("were" if plural else "was"), ""
    return ("are" if plural else "am" if first else "is"), ""


def _english_verb(clause: Clause, plural: bool) -> tuple[str, str]:
    """Return the auxiliary (may be empty) and the verb form."""
    assert clause.verb is not None
    if clause.tense == "future":
        return "will", clause.verb.english
    bare = plural or clause.subject.pronoun == "I"
    if clause.negative or clause.question:
        return ("did" if clause.tense == "past" else "do" if bare else "does"), clause.verb.english
    if clause.tense == "past":
        return "", clause.verb.past
    return "", clause.verb.english if bare else clause.verb.third


def _sentence(words: list[str], mark: str) -> str:
    text = " ".join(word for word in words if word)
    return text[0].upper() + text[1:] + mark


def english(clause: Clause) -> str:
    """Write the clause in English, capitalised and with its final mark."""
    plural = _PRONOUNS[clause.subject.pronoun][2] if clause.subject.pronoun else clause.subject.plural
    subject = _english_phrase(clause.subject)
    auxiliary, verb = _english_verb(clause, plural) if clause.verb else _english_be(clause, plural)
    negation = "not" if clause.negative else ""
    words = [auxiliary, subject, negation, verb] if clause.question else [subject, auxiliary, negation, verb]
    if clause.quality:
        words.append(clause.quality.english)
    if clause.object:
        words.append(_english_phrase(clause.object))
    if clause.place:
        words.append(f"{clause.place[0]} the {clause.place[2].english}")
    if clause.time:
        words.append(_WHEN[clause.tense][0])
    return _sentence(words, "?" if clause.question else ".")


def _agreed(adjective: Adjective, *, feminine: bool, plural: bool) -> str:
    if feminine:
        return adjective.feminine + "s" if plural else adjective.feminine
    return adjective.masculine_plural if plural else adjective.masculine


def _french_determiner(phrase: NounPhrase, feminine: bool, following: str) -> str:
    """Return the determiner with its space, or with its apostrophe, for the word that follows."""
    name, vowel = phrase.determiner, elides(following)
    if phrase.plural:
        article_free = bool(phrase.adjective and phrase.adjective.before)
        some = ("d'" if vowel else "de ") if article_free else "des "
        plurals = {"the": "les ", "some": some, "this": "ces ", "my": "mes ", "our": "nos "}
        return {**plurals, "his": "ses ", "her": "ses ", "two": "deux ", "three": "trois "}[name]
    if name == "the":
        return "l'" if vowel else "la " if feminine else "le "
    if name == "a":
        return "une " if feminine else "un "
    if name == "this":
        return "cette " if feminine else "cet " if vowel else "ce "
    if name == "our":
        return "notre "
    owner = "m" if name == "my" else "s"
    return owner + ("a " if feminine and not vowel else "on ")


def _french_phrase(phrase: NounPhrase) -> str:
    noun = phrase.noun
    if noun is None:
        return _PRONOUNS[phrase.pronoun][0]
    feminine = noun.gender == "f"
    words = [noun.french_plural if phrase.plural else noun.french]
    if phrase.adjective:
        form = _agreed(phrase.adjective, feminine=feminine, plural=phrase.plural)
        if phrase.adjective.before:
            liaison = not feminine and not phrase.plural and elides(noun.french)
            words.insert(0, phrase.adjective.liaison if liaison else form)
        else:
            words.append(form)
    return _french_determiner(phrase, feminine, words[0]) + " ".join(words)


def _french_place(place: tuple[str, str, Noun]) -> str:
    _, preposition, noun = place
    masculine = noun.gender == "m"
    if elides(noun.french):
        return f"{preposition} l'{noun.french}"
    if preposition.endswith(" de") and masculine:
        return f"{preposition[:-2]}du {noun.french}"
    return f"{preposition} {'le' if masculine else 'la'} {noun.french}"


def _french_verb(clause: Clause, person: int) -> tuple[str, str]:
    """Return the finite verb (the part that negation surrounds) and the participle that may follow it."""
    if clause.verb is None:
        return _BE_FRENCH[clause.tense][person], ""
    if clause.tense == "future":
        return clause.verb.stem + _FUTURE[person], ""
    if clause.tense == "past":
        return _AVOIR[person], clause.verb.participle
    return clause.verb.french[person], ""


def french(clause: Clause) -> str:
    """Write the clause in French, capitalised and with its final mark."""
    subject = clause.subject
    if subject.noun is None:
        _, person, _, feminine, plural = _PRONOUNS[subject.pronoun]
    else:
        feminine, plural = subject.noun.gender == "f", subject.plural
        person = 3 if plural else 1
    finite, participle = _french_verb(clause, person)
    if clause.negative:
        finite = ("n'" if elides(finite) else "ne ") + finite + " pas"
    who = _french_phrase(subject)
    start = f"j'{finite}" if who == "je" and elides(finite) else f"{who} {finite}"
    if clause.question:
        start = f"est-ce qu'{start}" if elides(start) else f"est-ce que {start}"
    words = [start, participle]
    if clause.quality:
        words.append(_agreed(clause.quality, feminine=feminine, plural=plural))
    if clause.object:
        words.append(_french_phrase(clause.object))
    if clause.place:
        words.append(_french_place(clause.place))
    if clause.time:
        words.append(_WHEN[clause.tense][1])
    return _sentence(words, " ?" if clause.question else ".")
