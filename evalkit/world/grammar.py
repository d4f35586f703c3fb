"""Draws sentences that are written in both languages, in levels of difficulty.

    c = clause(dice, "relative")     english(c), french(c), c.key, c.level

simple: one short statement of frequent words. agreement: plurals, possessives, numbers, negation, participles with
être, comparisons. relative: who, that; qui, que. idiom: what the languages say differently, and object pronouns.
rare: simple sentences of words from the tail of the lexicon, which have to be remembered.
Grammar is tested with common words and rare words in plain grammar, so that the levels measure one thing each.
The English determines the French; of two French readings the ambiguous one is not drawn.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

from evalkit.world.dice import Dice
from evalkit.world.draws import (
    ACTIONS,
    ANY_ACTIONS,
    BEING,
    DIRECT,
    DOINGS,
    PREDICATES,
    RARE_ACTIONS,
    SUBJECTS,
    action,
    bare,
    distinct,
    owner_of,
    phrase,
    place_in,
    style_after,
    subject_for,
    tense_for,
    time_in,
    where,
)
from evalkit.world.idioms import idiom
from evalkit.world.lexicon import LETTERS, Verb, suits
from evalkit.world.phrases import NounPhrase
from evalkit.world.sentences import Clause, Relative, english, french

__all__ = ["LEVELS", "Clause", "NounPhrase", "clause", "english", "french"]


def _simple(dice: Dice) -> Clause:
    """A statement of frequent words, in the singular."""
    band, shape = "frequent", dice.fraction()
    if shape < 0.2:
        return _quality(dice, band)
    if shape < 0.45:
        verb = DOINGS[band].pick(dice)
        subject = subject_for(dice, verb.subjects, band)
        tense = tense_for(dice)
        place = where(dice, verb, band)
        return Clause(subject=subject, verb=verb, place=place, tense=tense, time=time_in(dice, tense, band))
    return action(dice, ACTIONS[band].pick(dice), band)


def _quality(dice: Dice, band: str, *, plural: float = 0.0, negative: bool = False) -> Clause:
    # No second adjective: "the red lamp is blue" says nothing.
    subject = phrase(dice, "patcfuvglw", band, plural=plural, adjective=0, style="definite")
    if dice.chance(0.15):
        subject = dice.pick(SUBJECTS)
    suitable = PREDICATES[(subject.noun.kind, subject.noun.tags, band) if subject.noun else ("person", "", band)]
    if not suitable.words:
        return _quality(dice, band, plural=plural, negative=negative)
    return Clause(subject=subject, quality=suitable.pick(dice), tense=tense_for(dice), negative=negative)


def _rare(dice: Dice) -> Clause:
    """A simple statement with words from the tail."""
    shape = dice.fraction()
    if shape < 0.25:
        while True:
            drawn = _quality(dice, "tail")
            if drawn.subject and drawn.subject.noun:
                return replace(drawn, level="rare")
    if shape < 0.4:
        verb = DOINGS["tail" if dice.chance(0.6) else "common"].pick(dice)
        place = place_in(dice, "tail") if verb.english != "swim" and dice.chance(0.7) else None
        subject, tense = phrase(dice, verb.subjects, "tail"), tense_for(dice)
        return Clause(subject=subject, verb=verb, place=place, tense=tense, level="rare")
    return replace(action(dice, RARE_ACTIONS[dice.chance(0.6)].pick(dice), "tail"), level="rare")


def _comparison(dice: Dice) -> Clause:
    """As old as; very, too."""
    base = _quality(dice, "common", plural=0.5)
    than = _alike(dice, base) if dice.chance(0.6) else None
    degree = "as" if than else dice.pick(("very", "too"))
    negative = dice.chance(0.2)
    return replace(base, degree=degree, than=than, negative=negative, question=not negative and dice.chance(0.15))


def _alike(dice: Dice, base: Clause) -> NounPhrase | None:
    """Draw another of the subject's kind that the quality suits, if one is soon found."""
    assert base.subject and base.quality
    noun = base.subject.noun
    for _ in range(5 if noun else 0):
        assert noun
        than = phrase(dice, LETTERS[noun.kind], "common", adjective=0, style="definite")
        if than.noun and than.noun is not noun and suits(base.quality.kinds, than.noun):
            return than
    return None


def _moved(dice: Dice) -> Clause:
    """A participle with être."""
    verb = BEING.pick(dice)
    subject = subject_for(dice, verb.subjects, "common", plural=0.4)
    roll, tense = dice.fraction(), tense_for(dice)
    if verb.objects:
        thing = phrase(dice, verb.objects, "common", adjective=0.2, style="definite")
        return Clause(subject=subject, verb=verb, object=thing, tense="past", negative=roll < 0.15)
    if roll < 0.75:
        tense = "past"
    time = time_in(dice, tense)
    return Clause(subject=subject, verb=verb, place=where(dice, verb, "common"), tense=tense, time=time)


def _several(dice: Dice) -> Clause:
    """An action of or on several, with possessives, negation, questions and modal verbs."""
    verb = ANY_ACTIONS.pick(dice)
    subject = subject_for(dice, verb.subjects, "common", plural=0.6)
    roll = dice.fraction()
    negative, question = roll < 0.3, 0.3 <= roll < 0.4
    owner = owner_of(subject)
    thing = phrase(
        dice, verb.objects, "common", plural=0.7, style=style_after(verb, negative), owner=owner, other=subject.noun
    )
    tense = tense_for(dice, verb, bare(subject) and not (negative or question))
    modal = ""
    if not verb.state and dice.chance(0.25):
        modal, tense = dice.pick(("can", "must", "want", "going")), "present"
    time = None if verb.state or modal else time_in(dice, tense)
    drawn = Clause(subject=subject, verb=verb, object=thing, tense=tense, modal=modal, time=time)
    return replace(drawn, negative=negative, question=question)


def _shows_agreement(drawn: Clause) -> bool:
    phrases = [phrase for phrase in (drawn.subject, drawn.object) if phrase and phrase.noun]
    shown = drawn.negative or drawn.question or drawn.modal or drawn.degree
    moved = drawn.verb and (drawn.verb.being or drawn.verb.preposition)
    some = any(p.plural or p.determiner in ("his", "her", "their", "some") for p in phrases)
    return bool(shown or moved or some)


def _agreement(dice: Dice) -> Clause:
    while True:
        shape = dice.fraction()
        if shape < 0.15:
            drawn = _quality(dice, "common", plural=0.7, negative=dice.chance(0.3))
        elif shape < 0.3:
            drawn = _comparison(dice)
        else:
            drawn = _moved(dice) if shape < 0.5 else _several(dice)
        if _shows_agreement(drawn):
            return replace(distinct(drawn), level="agreement")


def _related(dice: Dice, antecedent: NounPhrase, verb: Verb, gap: str) -> NounPhrase:
    """Put a relative clause behind a phrase, in which the verb takes it as subject or as object."""
    if gap == "subject":
        style = style_after(verb, False)
        other = phrase(dice, verb.objects, "common", plural=0.2, adjective=0.15, style=style, other=antecedent.noun)
        tense = tense_for(dice, verb, antecedent.plural)
        return replace(antecedent, relative=Relative(verb=verb, gap="subject", other=other, tense=tense))
    other = subject_for(dice, verb.subjects, "common", plural=0.2, adjective=0.1)
    while other.noun is antecedent.noun:
        other = subject_for(dice, verb.subjects, "common", plural=0.2, adjective=0.1)
    tense = "present" if dice.chance(0.3) else "past"
    return replace(antecedent, relative=Relative(verb=verb, gap="object", other=other, tense=tense))


def _antecedent(dice: Dice, letters: str) -> NounPhrase:
    noun_phrase = phrase(dice, letters, "common", plural=0.35, adjective=0.15, style="definite")
    return replace(noun_phrase, determiner="the") if noun_phrase.determiner in ("my", "our") else noun_phrase


def _relative(dice: Dice) -> Clause:
    """One relative clause, on the subject or on the object."""
    verb, shape = DIRECT.pick(dice), dice.fraction()
    gap = "object" if dice.chance(0.6) else "subject"
    antecedent = _antecedent(dice, verb.objects if gap == "object" else verb.subjects)
    noun = antecedent.noun
    assert noun is not None
    related = _related(dice, antecedent, verb, gap)
    main = DIRECT.pick(dice)
    if shape < 0.6 and main is not verb and suits(main.objects, noun):
        subject = subject_for(dice, main.subjects, "common", plural=0.2, adjective=0.1)
        if subject.noun is not noun:
            tense = tense_for(dice, main, bare(subject))
            return Clause(subject=subject, verb=main, object=related, tense=tense, level="relative")
    suitable = PREDICATES[noun.kind, noun.tags, "common"]
    if not suitable.words:
        return _relative(dice)
    tense = "past" if dice.chance(0.25) else "present"
    return Clause(subject=replace(related, adjective=None), quality=suitable.pick(dice), tense=tense, level="relative")


_MAKERS: dict[str, tuple[float, Callable[[Dice], Clause]]] = {
    "simple": (0.5, _simple),
    "agreement": (0.16, _agreement),
    "relative": (0.1, _relative),
    "idiom": (0.14, idiom),
    "rare": (0.1, _rare),
}
LEVELS = tuple(_MAKERS)
_REACH = tuple(accumulate(share for share, _ in _MAKERS.values()))


def clause(dice: Dice, level: str | None = None) -> Clause:
    """Draw a statement or question of a level in LEVELS, or of any by their shares."""
    if level is None:
        level = LEVELS[bisect(_REACH, dice.fraction() * _REACH[-1])]
    return _MAKERS[level][1](dice)
