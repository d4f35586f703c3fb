"""What English and French say in different words: weather, hunger, age, the time of day, need, missing someone."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

from evalkit.world.dice import Dice
from evalkit.world.draws import (
    ACTIONS,
    DOINGS,
    IT,
    REFLEXIVE,
    SUBJECTS,
    TOWARDS_PEOPLE,
    Pool,
    Style,
    action,
    bare,
    distinct,
    owner_of,
    phrase,
    place_in,
    subject_for,
    tense_for,
    time_in,
)
from evalkit.world.lexicon import NOUNS, PREPOSITIONS, VERBS, Verb, elides, past_of, third_of, words
from evalkit.world.phrases import NUMBERS, NounPhrase
from evalkit.world.sentences import Clause, State, Tense

__all__ = ["AGES", "CLOCK", "FEELINGS", "MISS", "NEEDS", "PAINS", "WEATHER", "idiom"]

# With "it" as the subject.
WEATHER = (
    State(english="cold", verb="faire", french="froid"),
    State(english="hot", verb="faire", french="chaud"),
    State(english="fine", verb="faire", french="beau"),
    State(english="cool", verb="faire", french="frais"),
    State(english="mild", verb="faire", french="doux"),
    State(english="dark", verb="faire", french="noir"),
    State(english="raining", verb="pleuvoir"),
    State(english="snowing", verb="neiger"),
    State(english="windy", verb="y avoir", french="du vent"),
    State(english="sunny", verb="y avoir", french="du soleil"),
    State(english="foggy", verb="y avoir", french="du brouillard"),
)

# From the seventh on: of people only.
FEELINGS = tuple(
    State(english=english, verb="avoir", french=french)
    for english, french in (
        ("hungry", "faim"),
        ("thirsty", "soif"),
        ("cold", "froid"),
        ("hot", "chaud"),
        ("afraid", "peur"),
        ("sleepy", "sommeil"),
        ("right", "raison"),
        ("wrong", "tort"),
        ("ashamed", "honte"),
    )
)

_UNITS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_UNITS_FRENCH = (
    "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit "
    "dix-neuf"
).split()
_TENS_FRENCH = "vingt trente quarante cinquante soixante".split()


def _english_number(n: int) -> str:
    if n < 20:
        return _UNITS[n - 1]
    return _TENS[n // 10 - 2] + (f"-{_UNITS[n % 10 - 1]}" if n % 10 else "")


def _french_number(n: int) -> str:
    """Write 1 to 99: vingt et un, soixante et onze, quatre-vingts, quatre-vingt-un."""
    if n < 20:
        return _UNITS_FRENCH[n - 1]
    base = 80 if n >= 80 else 60 if n >= 60 else n - n % 10
    rest = n - base
    tens = "quatre-vingt" if base == 80 else _TENS_FRENCH[base // 10 - 2]
    if not rest:
        return "quatre-vingts" if base == 80 else tens
    joint = " et " if rest in (1, 11) and base != 80 else "-"
    return tens + joint + _UNITS_FRENCH[rest - 1]


AGES = tuple(
    State(english=f"{_english_number(n)} years old", verb="avoir", french=f"{_french_number(n)} ans")
    for n in range(2, 100)
)

_PARTS = (
    ("five past", "cinq"),
    ("ten past", "dix"),
    ("a quarter past", "et quart"),
    ("twenty past", "vingt"),
    ("half past", "et demie"),
    ("twenty to", "moins vingt"),
    ("a quarter to", "moins le quart"),
    ("ten to", "moins dix"),
    ("five to", "moins cinq"),
)


def _times() -> tuple[State, ...]:
    times = [("noon", "midi"), ("midnight", "minuit")]
    for hour in range(1, 12):
        english = _english_number(hour)
        french = "une heure" if hour == 1 else f"{_french_number(hour)} heures"
        times.append((f"{english} o'clock", french))
        times += [(f"{part} {english}", f"{french} {suite}") for part, suite in _PARTS]
    return tuple(State(english=english, verb="être", french=french) for english, french in times)


CLOCK = _times()
"""With "it" as the subject; with "at" and "à" it says when."""

_HAVE = next(verb for verb in VERBS if verb.english == "have")


def _like_avoir(english: str, tail: str, *, past: str = "", objects: str = "") -> Verb:
    past = past or past_of(english)
    forms = replace(_HAVE, english=english, third=third_of(english), past=past, done=past, infinitive=f"avoir {tail}")
    return replace(forms, tail=tail, objects=objects, preposition="de" if objects else "", subjects="p")


NEEDS = (
    _like_avoir("need", "besoin", objects="tcuvp"),
    _like_avoir("feel like", "envie", past="felt like", objects="fd"),
)
PAINS = tuple(
    _like_avoir(f"have {english}", f"mal {french}", past=f"had {english}")
    for english, french in (
        ("a headache", "à la tête"),
        ("a toothache", "aux dents"),
        ("a stomach ache", "au ventre"),
        ("a sore throat", "à la gorge"),
        ("a backache", "au dos"),
        ("an earache", "aux oreilles"),
    )
)
MISS = Verb(
    english="miss",
    third="misses",
    past="missed",
    done="missed",
    infinitive="manquer",
    french=("manque", "manque", "manquons", "manquent"),
    participle="manqué",
    stem="manquer",
    subjects="p",
    objects="pal",
    preposition="à",
    state=True,
    inverse=True,
)


_OUTDOORS = Pool(
    noun for noun in NOUNS if noun.english in words(
        "street village garden park forest town field valley desert meadow orchard courtyard kingdom capital "
        "island beach hill"
    )
)  # fmt: skip


def _weather(dice: Dice) -> Clause:
    place = None
    if dice.chance(0.6):
        noun = _OUTDOORS.pick(dice)
        place = (*PREPOSITIONS["o" if "o" in noun.tags else "i"][0], noun)
    state, tense = dice.pick(WEATHER), tense_for(dice)
    negative = dice.chance(0.2) and state.verb != "y avoir"
    question = not negative and dice.chance(0.15)
    drawn = Clause(subject=IT, state=state, place=place, tense=tense, time=time_in(dice, tense))
    return replace(drawn, negative=negative, question=question)


def _clock(dice: Dice) -> Clause:
    state = dice.pick(CLOCK)
    if dice.chance(0.3):
        roll = dice.fraction()
        tense: Tense = "past" if roll < 0.35 else "present"
        negative = dice.chance(0.15)
        question = not negative and dice.chance(0.15)
        return Clause(subject=IT, state=state, tense=tense, negative=negative, question=question)
    verb = DOINGS["common"].pick(dice)
    time = (f"at {state.english}", f"à {state.french}")
    return Clause(subject=subject_for(dice, verb.subjects, "common"), verb=verb, tense=tense_for(dice), time=time)


_THERE = ("a", "several", "many", *NUMBERS)


def _existence(dice: Dice) -> Clause:
    preposition, french_preposition, noun = place_in(dice, "common")
    negative = dice.chance(0.25)
    thing = phrase(dice, "pa", "common", plural=1.0 if negative else 0.5)
    if negative or thing.determiner not in _THERE:
        thing = replace(thing, determiner="any" if negative else "some" if thing.plural else "a")
    tense = tense_for(dice)
    place = (preposition, french_preposition, noun)
    question = not negative and dice.chance(0.15)
    return Clause(subject=None, object=thing, place=place, tense=tense, negative=negative, question=question)


_CHILDREN = words("child boy girl baby")


def _feeling(dice: Dice) -> Clause:
    state = dice.pick(FEELINGS) if dice.chance(0.6) else dice.pick(AGES)
    grown = state in AGES[15:]
    subject = subject_for(dice, "p" if grown or state in FEELINGS[6:] else "pa", "common", plural=0.3)
    if grown and subject.noun and subject.noun.english in _CHILDREN:
        subject = dice.pick(SUBJECTS)
    tense = tense_for(dice)
    negative = dice.chance(0.2)
    return Clause(
        subject=subject, state=state, tense=tense, negative=negative, question=not negative and dice.chance(0.1)
    )


def _need(dice: Dice) -> Clause:
    verb = dice.pick(NEEDS) if dice.chance(0.7) else dice.pick(PAINS)
    subject = subject_for(dice, "p", "common", plural=0.2)
    negative, thing = dice.chance(0.15), None
    if verb.objects:
        style: Style = "negated" if negative else "free"
        thing = phrase(dice, verb.objects, "common", plural=0.3, style=style, other=subject.noun)
    return Clause(subject=subject, verb=verb, object=thing, tense=tense_for(dice), negative=negative)


def _miss(dice: Dice) -> Clause:
    subject = phrase(dice, "p", "common", plural=0.3)
    if dice.chance(0.4):
        subject = dice.pick(tuple(p for p in SUBJECTS if p.pronoun in ("I", "we", "they")))
    thing = phrase(
        dice, MISS.objects, "common", plural=0.2, style="definite", owner=owner_of(subject), other=subject.noun
    )
    if dice.chance(0.25):
        thing = NounPhrase(pronoun=dice.pick(("him", "her", "them")))
    return Clause(subject=subject, verb=MISS, object=thing, tense=tense_for(dice), negative=dice.chance(0.1))


_OBJECTS = ("me", "him", "her", "us", "them")
_SAME = {"I": ("me", "us"), "we": ("me", "us")}


def _pronoun(dice: Dice) -> Clause:
    """An object pronoun; where l' would hide whether it is him or her, one of the others."""
    verb = TOWARDS_PEOPLE.pick(dice)
    subject = subject_for(dice, verb.subjects, "common", plural=0.2)
    tense = tense_for(dice, verb, bare(subject))
    modal = dice.pick(("can", "must", "want", "going")) if dice.chance(0.2) and not verb.state else ""
    tense = "present" if modal else tense
    hidden = elides(verb.infinitive) and (modal != "" or tense != "past" or verb.state)
    unclear = hidden or verb.preposition
    options = [p for p in _OBJECTS if p not in _SAME.get(subject.pronoun, ()) and not (unclear and p in ("him", "her"))]
    if verb.english == "think of" or not options:
        return _pronoun(dice)
    thing = NounPhrase(pronoun=dice.pick(options))
    negative = dice.chance(0.2)
    return Clause(subject=subject, verb=verb, object=thing, tense=tense, modal=modal, negative=negative)


def _reflexive(dice: Dice) -> Clause:
    verb = REFLEXIVE.pick(dice)
    subject, tense = subject_for(dice, verb.subjects, "common", plural=0.35), tense_for(dice)
    time = None
    if dice.chance(0.3):
        state = dice.pick(CLOCK)
        time = (f"at {state.english}", f"à {state.french}")
    return Clause(subject=subject, verb=verb, tense=tense, time=time, negative=dice.chance(0.15))


def _just(dice: Dice) -> Clause:
    verb = ACTIONS["common"].pick(dice)
    while verb.state:
        verb = ACTIONS["common"].pick(dice)
    drawn = action(dice, verb, "common")
    return replace(drawn, modal="just", tense="present", time=None)


_IDIOMS: tuple[tuple[float, Callable[[Dice], Clause]], ...] = (
    (0.1, _weather),
    (0.1, _clock),
    (0.14, _existence),
    (0.14, _feeling),
    (0.12, _need),
    (0.1, _miss),
    (0.14, _pronoun),
    (0.08, _reflexive),
    (0.08, _just),
)
_IDIOM_REACH = tuple(accumulate(share for share, _ in _IDIOMS))


def idiom(dice: Dice) -> Clause:
    """Draw what the languages say differently."""
    make = _IDIOMS[bisect(_IDIOM_REACH, dice.fraction() * _IDIOM_REACH[-1])][1]
    return replace(distinct(make(dice)), level="idiom")
