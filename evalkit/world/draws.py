"""Draws words, phrases, places and times for sentences: what suits what, how often, and how rare.

A band says which words: "frequent" ones, "common" ones (the frequent among them) or those of the "tail".
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from itertools import accumulate
from typing import Generic, Literal, TypeVar

from evalkit.world.dice import Dice
from evalkit.world.lexicon import ADJECTIVES, NOUNS, PREPOSITIONS, VERBS, Adjective, Noun, Verb, of_kind, suits, words
from evalkit.world.phrases import NUMBERS, NounPhrase
from evalkit.world.sentences import Clause, Place, Tense

__all__ = [
    "ACTIONS", "ANY_ACTIONS", "BEING", "DIRECT", "DOINGS", "IT", "PREDICATES", "RARE_ACTIONS", "REFLEXIVE", "SUBJECTS",
    "TOWARDS_PEOPLE", "Pool", "Style", "action", "bare", "distinct", "owner_of", "phrase", "place_in", "style_after",
    "subject_for", "tense_for", "time_in", "where",
]  # fmt: skip

TIMES = {
    "present": (
        ("every day", "tous les jours"),
        ("every morning", "tous les matins"),
        ("every evening", "tous les soirs"),
        ("on Sundays", "le dimanche"),
        ("every week", "toutes les semaines"),
    ),
    "past": (
        ("yesterday", "hier"),
        ("last week", "la semaine dernière"),
        ("yesterday evening", "hier soir"),
        ("last year", "l'année dernière"),
    ),
    "future": (
        ("tomorrow", "demain"),
        ("next week", "la semaine prochaine"),
        ("tomorrow morning", "demain matin"),
        ("this evening", "ce soir"),
    ),
}
# Words of which rarity a band draws from.
_BANDS = {"frequent": (0,), "common": (0, 1), "tail": (2,)}
SUBJECTS = tuple(NounPhrase(pronoun=p) for p in ("I", "he", "she", "we", "they"))
IT = NounPhrase(pronoun="it")

W = TypeVar("W", Noun, Adjective, Verb)


class Pool(Generic[W]):
    """Words drawn by Zipf's law: the weight of a word falls as 1 / (its rank + 3)."""

    def __init__(self, members: Iterable[W]) -> None:
        self.words: tuple[W, ...] = tuple(members)
        self._reach: list[float] = list(accumulate(1 / (word.rank + 3) for word in self.words))

    def pick(self, dice: Dice) -> W:
        """Draw a word."""
        return self.words[bisect(self._reach, dice.fraction() * self._reach[-1])]


@cache
def _nouns(letters: str, band: str) -> Pool[Noun]:
    nouns_of_kind = of_kind(letters)
    return Pool(noun for noun in nouns_of_kind if noun.rarity in _BANDS[band])


_ATTRIBUTIVE = ("new",)  # une nouvelle clé, but la clé est neuve
# Adjectives that suit a noun, which its kind and its tags decide.
QUALITIES = {
    (noun.kind, noun.tags, band): Pool(a for a in ADJECTIVES if suits(a.kinds, noun) and a.rarity in _BANDS[band])
    for noun in {(noun.kind, noun.tags): noun for noun in NOUNS}.values()
    for band in _BANDS
}
PREDICATES = {at: Pool(a for a in pool.words if a.english not in _ATTRIBUTIVE) for at, pool in QUALITIES.items()}


def _usable(verb: Verb, band: str) -> bool:
    """Say whether the band has subjects and objects for the verb."""
    return bool(_nouns(verb.subjects, band).words) and (not verb.objects or bool(_nouns(verb.objects, band).words))


def _verbs(keep: Callable[[Verb], bool], band: str) -> Pool[Verb]:
    return Pool(verb for verb in VERBS if verb.rarity in _BANDS[band] and keep(verb) and _usable(verb, band))


def _plain(verb: Verb) -> bool:
    return not (verb.being or verb.reflexive or verb.preposition)


def _direct(verb: Verb) -> bool:
    return bool(verb.objects) and not verb.preposition and verb.past != verb.english


DOINGS = {band: _verbs(lambda v: _plain(v) and not v.objects, band) for band in _BANDS}
ACTIONS = {band: _verbs(lambda v: _plain(v) and v.objects != "", band) for band in _BANDS}
ANY_ACTIONS = _verbs(lambda v: v.objects != "", "common")
BEING = _verbs(lambda v: v.being and not v.reflexive, "common")
REFLEXIVE = Pool(verb for verb in VERBS if verb.reflexive)
DIRECT = _verbs(lambda v: _direct(v) and v.english != "have", "common")
TOWARDS_PEOPLE = _verbs(lambda v: suits(v.objects, _nouns("p", "common").words[0]) and v.english != "have", "common")
RARE_ACTIONS = {
    True: ACTIONS["tail"],
    False: Pool(v for v in VERBS if _plain(v) and v.objects and v.rarity < 2 and _usable(v, "tail")),
}

Style = Literal["free", "definite", "negated"]
"""Which determiners a phrase may have: any at all, no "some" or "a", or those of the object of a negation."""

# style -> determiners of one, of several, of a mass
_DETERMINERS: dict[Style, tuple[tuple[str, ...], ...]] = {
    "free": (
        words("the the the a a my this our"),
        (*words("the the the my this our some some several many"), "all the", *NUMBERS),
        words("the the some some some my this our"),
    ),
    "definite": (
        words("the the the my this our"),
        (*words("the the the my this our"), "all the"),
        words("the the my this our"),
    ),
    "negated": (
        words("the the the my this our"),
        words("the the my this our any any any"),
        words("the my this any any"),
    ),
}
_UNOWNED = frozenset(words("man woman boy girl"))  # ma femme, ma fille: my wife, my daughter


def _determiner(dice: Dice, noun: Noun, plural: bool, style: Style, owner: str) -> str:
    unowned = noun.english in _UNOWNED
    if owner and not unowned and dice.chance(0.4):
        return owner
    drawn = dice.pick(_DETERMINERS[style][2 if noun.mass else plural])
    return "the" if unowned and drawn in ("my", "our") else drawn


# No "some" or "any" after these: to like meat is aimer la viande.
_WHOLE = frozenset(words("like love hate know fear envy admire respect believe"))


def style_after(verb: Verb, negative: bool) -> Style:
    """Return which determiners the object of a verb may have."""
    if verb.english in _WHOLE:
        return "definite"
    if negative:
        return "definite" if verb.preposition else "negated"
    return "free"


def phrase(
    dice: Dice,
    letters: str,
    band: str,
    *,
    plural: float = 0.0,
    adjective: float = 0.3,
    style: Style = "free",
    owner: str = "",
    other: Noun | None = None,
) -> NounPhrase:
    """Draw a noun phrase. plural, adjective: probabilities. owner: his, her or their. other: a noun not to draw."""
    pool = _nouns(letters, band)
    noun = pool.pick(dice)
    while noun is other and len(pool.words) > 1:
        noun = pool.pick(dice)
    several = dice.chance(plural) and not noun.mass
    quality = None
    if dice.chance(adjective):
        suitable = QUALITIES[noun.kind, noun.tags, band]
        quality = suitable.pick(dice) if suitable.words else None
    determiner = _determiner(dice, noun, several, style, owner)
    return NounPhrase(determiner=determiner, noun=noun, adjective=quality, plural=several)


def owner_of(subject: NounPhrase) -> str:
    """Return the possessive that the subject decides, or ""; animals own nothing."""
    if subject.noun and subject.noun.kind != "person":
        return ""
    if subject.many:
        return "their" if subject.pronoun != "we" else ""
    if subject.noun:
        return {"m": "his", "f": "her", "": ""}[subject.noun.sex]
    return {"he": "his", "she": "her"}.get(subject.pronoun, "")


def subject_for(dice: Dice, letters: str, band: str, *, plural: float = 0.0, adjective: float = 0.3) -> NounPhrase:
    """Draw a noun phrase, or a pronoun where people suit."""
    if "p" in letters and dice.chance(0.25):
        return dice.pick(SUBJECTS)
    return phrase(dice, letters, band, plural=plural, adjective=adjective)


def place_in(dice: Dice, band: str) -> Place:
    """Draw a place and a preposition that suits it."""
    noun = _nouns("l", band).pick(dice)
    preposition = dice.pick(PREPOSITIONS[dice.pick([tag for tag in noun.tags if tag in PREPOSITIONS])])
    return (*preposition, noun)


_DESTINATIONS = {band: Pool(n for n in _nouns("l", band).words if "t" in n.tags) for band in _BANDS}
_DIRECTIONS = {"go": ("to", "à"), "return": ("to", "à"), "come": ("from", "de"), "arrive": ("at", "à")}
_NOWHERE = (*words("swim depart"), "go out", "go up", "go down")


def where(dice: Dice, verb: Verb, band: str) -> Place | None:
    """Draw a place that suits a verb without an object."""
    if verb.english in _DIRECTIONS:
        return (*_DIRECTIONS[verb.english], _DESTINATIONS[band].pick(dice))
    if verb.english in _NOWHERE:
        return None
    return place_in(dice, band) if dice.chance(0.7) else None


def tense_for(dice: Dice, verb: Verb | None = None, bare: bool = False) -> Tense:
    """Draw a tense; "they cut" can only be the present."""
    roll = dice.fraction()
    if roll < 0.5 or (verb and bare and verb.past == verb.english):
        return "present"
    return "past" if roll < 0.82 else "future"


def time_in(dice: Dice, tense: Tense, band: str = "common") -> tuple[str, str] | None:
    """Draw an adverb of time that suits the tense, or none."""
    if not dice.chance(0.2):
        return None
    return TIMES[tense][0] if band == "frequent" else dice.pick(TIMES[tense])


def bare(subject: NounPhrase) -> bool:
    """Say whether the English present has no -s."""
    return subject.many or subject.pronoun == "I"


def action(dice: Dice, verb: Verb, band: str) -> Clause:
    """Draw a statement with an object, in the singular."""
    subject = subject_for(dice, verb.subjects, band)
    thing = phrase(dice, verb.objects, band, style=style_after(verb, False), other=subject.noun)
    tense = tense_for(dice, verb, bare(subject))
    time = time_in(dice, tense, band) if not verb.state else None
    return Clause(subject=subject, verb=verb, object=thing, tense=tense, time=time)


def distinct(drawn: Clause) -> Clause:
    """Return the clause without the ambiguity of "all the men do not": what is denied is said of "the men"."""
    subject = drawn.subject
    if drawn.negative and subject and subject.determiner in ("all the", "many", "several", "some"):
        return replace(drawn, subject=replace(subject, determiner="the"))
    return drawn
