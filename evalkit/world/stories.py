"""Stories: who has what and who is where, with questions. They carry the family reading.

Levels: "one" (a single answer of the kind asked for stands in the passage), "many" (three or four do), "long" (eight
things, had or wanted, and four places), "who" (asked from the thing or place to the person), "unsaid" (some questions
have no answer in the passage), "count" (how many things somebody has), "hop" (a place that takes two sentences).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evalkit.world.cast import ANIMALS, FOODS, NAMES, ROOMS, THINGS, facts_key, she
from evalkit.world.dice import Dice
from evalkit.world.lexicon import COLOURS

__all__ = ["LEVELS", "UNSAID", "Question", "Story", "story"]

_OPENINGS = (
    "It was a warm morning.",
    "It was late in the evening.",
    "It was raining all day.",
    "The school was closed.",
    "The sun was shining.",
    "It was a quiet day.",
)
# verb, the words in which it is asked for
_HAVE = (("has", "have"), ("has", "have"), ("holds", "hold"), ("carries", "carry"))
_BE = (("is", "is {}"), ("is", "is {}"), ("waits", "does {} wait"), ("sits", "does {} sit"))
_COUNTS = ("one", "two", "three", "four")

UNSAID = "Nobody knows"
"""The answer to a question that the passage does not answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question about a story.

    lead: how the answer's sentence begins (" Anna has"), or empty where the answer is the name alone.
    choices: answers of the same kind, most or all of them from the passage.
    """

    question: str
    lead: str
    answer: str
    choices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """A passage and questions about it. level: one of LEVELS."""

    key: str
    level: str
    passage: str
    questions: tuple[Question, ...]


_Told = tuple[list[str], list[tuple[str, ...]], list[Question]]  # sentences, facts, questions


def story(dice: Dice, level: str, *, small: bool = False) -> Story:
    """Draw a story of a level. small: about fewer people, from which the same is learned sooner."""
    sentences, facts, questions = _TELLERS[level](dice, small)
    return Story(
        key=facts_key("reading", *facts),
        level=level,
        passage=" ".join([dice.pick(_OPENINGS), *sentences]),
        questions=tuple(dice.shuffled(questions)),
    )


def _owned(dice: Dice, count: int) -> tuple[str, ...]:
    """Draw things, all different, some perhaps of one colour."""
    return tuple(f"the {dice.pick(COLOURS)} {thing}" for thing in dice.some(THINGS, count))


def _rooms(dice: Dice, count: int) -> tuple[str, ...]:
    return tuple(f"in the {room}" for room in dice.some(ROOMS, count))


def _one(dice: Dice, small: bool) -> _Told:
    """Everybody does something of another kind: one is somewhere, one eats, and so on."""
    foods, animals = (tuple(f"the {one}" for one in dice.some(options, 4)) for options in (FOODS, ANIMALS))
    deeds = (
        ("is", "Where is {}?", _rooms(dice, 4)),
        ("has", "What does {} have?", _owned(dice, 4)),
        ("eats", "What does {} eat?", foods),
        ("feeds", "Which animal does {} feed?", animals),
    )
    cast = dice.shuffled(list(zip(dice.some(NAMES, 4), deeds, strict=True)))
    sentences = [f"{name} {verb} {choices[0]}." for name, (verb, _, choices) in cast]
    questions = [
        Question(question=asked.format(name), lead=f" {name} {verb}", answer=choices[0], choices=choices)
        for name, (verb, asked, choices) in cast
    ]
    return sentences, [(name, choices[0]) for name, (_, _, choices) in cast], questions


def _many(dice: Dice, small: bool) -> _Told:
    """Three or four people have something or are somewhere, or both; asked for the thing or place."""
    sentences, facts, forward, _ = _cast(dice, small)
    return sentences, facts, forward


def _who(dice: Dice, small: bool) -> _Told:
    """The same, asked for the person."""
    sentences, facts, _, backward = _cast(dice, small)
    return sentences, facts, backward


def _cast(dice: Dice, small: bool) -> tuple[list[str], list[tuple[str, ...]], list[Question], list[Question]]:
    """Return sentences, facts, and the questions from the person and to the person."""
    aspects = dice.pick((("have",), ("be",), ("have", "be")))
    count = 2 if small else 3 if len(aspects) == 2 else 4
    names = tuple(dice.some(NAMES, count))
    owned, places = _owned(dice, count), _rooms(dice, count)
    sentences: list[str] = []
    facts: list[tuple[str, ...]] = []
    forward: list[Question] = []
    backward: list[Question] = []
    for i in dice.shuffled(range(count)):
        name = names[i]
        for aspect in aspects:
            value, choices = (owned[i], owned) if aspect == "have" else (places[i], places)
            verb, form = dice.pick(_HAVE if aspect == "have" else _BE)
            again = aspect == "be" and len(aspects) == 2 and dice.chance(0.3)
            sentences.append(f"{she(name).capitalize() if again else name} {verb} {value}.")
            asked = f"What does {name} {form}?" if aspect == "have" else f"Where {form.format(name)}?"
            forward.append(Question(question=asked, lead=f" {name} {verb}", answer=value, choices=choices))
            backward.append(Question(question=f"Who {verb} {value}?", lead="", answer=name, choices=names))
            facts.append((name, value))
    return sentences, facts, forward, backward


def _long(dice: Dice, small: bool) -> _Told:
    """Four people are somewhere, have one thing and want another."""
    count = 2 if small else 4
    names, places, things = dice.some(NAMES, count), _rooms(dice, count), _owned(dice, 2 * count)
    sentences: list[str] = []
    questions: list[Question] = []
    facts: list[tuple[str, ...]] = []
    for i in dice.shuffled(range(count)):
        name, has, wants = names[i], things[2 * i], things[2 * i + 1]
        sentences.append(f"{name} is {places[i]}. {she(name).capitalize()} has {has} and wants {wants}.")
        facts += [(name, places[i]), (name, "has", has), (name, "wants", wants)]
        strangers = dice.some([thing for thing in things if thing not in (has, wants)], 2)
        choices = (has, wants, *strangers)
        questions += [
            Question(question=f"Where is {name}?", lead=f" {name} is", answer=places[i], choices=places),
            Question(question=f"What does {name} have?", lead=f" {name} has", answer=has, choices=choices),
            Question(question=f"What does {name} want?", lead=f" {name} wants", answer=wants, choices=choices),
        ]
    return sentences, facts, dice.some(questions, 2 * count)


def _unsaid(dice: Dice, small: bool) -> _Told:
    """Four people; of one nobody says what they have, of another nobody says where they are."""
    names, owned, places = dice.some(NAMES, 4), _owned(dice, 3), _rooms(dice, 3)
    sentences = [f"{name} has {thing}." for name, thing in zip(names[1:], owned, strict=True)]
    homes = (names[0], *names[2:])
    sentences += [f"{name} is {place}." for name, place in zip(homes, places, strict=True)]
    facts = [*zip(names[1:], owned, strict=True), *zip(homes, places, strict=True)]

    def ask(question: str, name: str, verb: str, options: Sequence[str], answer: str | None) -> Question:
        options_in_words = tuple(f"{name} {verb} {option}" for option in options)
        right = f"{name} {verb} {answer}" if answer else UNSAID
        return Question(question=question.format(name), lead="", answer=right, choices=(*options_in_words, UNSAID))

    have, be = "What does {} have?", "Where is {}?"
    i, j = dice.below(3), dice.below(3)
    questions = [
        ask(have, names[0], "has", owned, None),
        ask(be, names[1], "is", places, None),
        ask(have, names[1 + i], "has", owned, owned[i]),
        ask(be, homes[j], "is", places, places[j]),
    ]
    return dice.shuffled(sentences), [tuple(fact) for fact in facts], questions


def _count(dice: Dice, small: bool) -> _Told:
    """Three people have one to four things each, told one by one."""
    people = 2 if small else 3
    names, counts = dice.some(NAMES, people), dice.some(range(4), people)
    owners = [name for name, count in zip(names, counts, strict=True) for _ in range(count + 1)]
    facts = list(zip(owners, dice.some(THINGS, len(owners)), strict=True))
    questions = [
        Question(
            question=f"How many things does {name} have?",
            lead=f" {name} has",
            answer=_COUNTS[count],
            choices=_COUNTS,
        )
        for name, count in zip(names, counts, strict=True)
    ]
    sentences = dice.shuffled([f"{name} has the {thing}." for name, thing in facts])
    return sentences, [tuple(fact) for fact in facts], questions


def _hop(dice: Dice, small: bool) -> _Told:
    """Four people are somewhere, three others are with one of them."""
    count = 2 if small else 4
    names, places = dice.some(NAMES, 2 * count - 1), _rooms(dice, count)
    homes = dict(zip(names, places, strict=False))
    sentences = [f"{name} is {place}." for name, place in homes.items()]
    facts: list[tuple[str, ...]] = list(homes.items())
    questions = []
    for guest, host in zip(names[count:], dice.some(names[:count], count - 1), strict=True):
        sentences.append(f"{guest} is with {host}.")
        facts.append((guest, "with", host))
        asked = f"In which room is {guest}?"
        questions.append(Question(question=asked, lead=f" {guest} is", answer=homes[host], choices=places))
    return dice.shuffled(sentences), facts, questions


_TELLERS: dict[str, Callable[[Dice, bool], _Told]] = {
    "one": _one,
    "many": _many,
    "long": _long,
    "who": _who,
    "unsaid": _unsaid,
    "count": _count,
    "hop": _hop,
}
LEVELS = tuple(_TELLERS)
