"""Stories: who has what and who is where, with questions. They carry the family reading."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.world.cast import ANIMALS, FOODS, NAMES, ROOMS, THINGS, facts_key, she
from evalkit.world.dice import Dice
from evalkit.world.lexicon import COLOURS

__all__ = ["Question", "Story", "scene", "story"]

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question about a story.

    lead: how the answer's sentence begins (" Anna has"), or empty where the answer is the name alone.
    choices: the answers to the same question about everybody in a story; in a scene, other things of the kind.
    """

    question: str
    lead: str
    answer: str
    choices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """A passage and every question that it answers.

    level: "one" if a single answer of the kind asked for stands in the passage, "many" if all choices do.
    """

    key: str
    level: str
    passage: str
    questions: tuple[Question, ...]


def story(dice: Dice) -> Story:
    """Draw a story about three or four people who all have something or are somewhere, or both."""
    aspects = dice.pick((("have",), ("be",), ("have", "be")))
    count = 3 if len(aspects) == 2 else 4
    names = tuple(dice.some(NAMES, count))
    owned = tuple(f"the {c} {t}" for c, t in zip(dice.some(COLOURS, count), dice.some(THINGS, count), strict=True))
    places = tuple(f"in the {room}" for room in dice.some(ROOMS, count))
    told: list[str] = []
    questions: list[Question] = []
    pairs: list[tuple[str, ...]] = []
    for i in dice.shuffled(range(count)):
        name = names[i]
        if "have" in aspects:
            verb, bare = dice.pick(_HAVE)
            told.append(f"{name} {verb} {owned[i]}.")
            questions += _both(name, names, verb, f"What does {name} {bare}?", owned[i], owned)
            pairs.append((name, owned[i]))
        if "be" in aspects:
            verb, form = dice.pick(_BE)
            who = she(name).capitalize() if len(aspects) == 2 and dice.chance(0.3) else name
            told.append(f"{who} {verb} {places[i]}.")
            questions += _both(name, names, verb, f"Where {form.format(name)}?", places[i], places)
            pairs.append((name, places[i]))
    passage = " ".join([dice.pick(_OPENINGS), *told])
    shuffled = tuple(dice.shuffled(questions))
    return Story(key=facts_key("reading", *pairs), level="many", passage=passage, questions=shuffled)


def _both(
    name: str, names: tuple[str, ...], verb: str, asked: str, answer: str, choices: tuple[str, ...]
) -> list[Question]:
    """Return the question for the thing or place, and the question who it is."""
    return [
        Question(question=asked, lead=f" {name} {verb}", answer=answer, choices=choices),
        Question(question=f"Who {verb} {answer}?", lead="", answer=name, choices=names),
    ]


def scene(dice: Dice) -> Story:
    """Draw a story in which everybody does something of another kind: one is somewhere, one eats, and so on."""
    names = dice.some(NAMES, 4)
    rooms, foods, animals = (dice.some(options, 4) for options in (ROOMS, FOODS, ANIMALS))
    things = zip(dice.some(COLOURS, 4), dice.some(THINGS, 4), strict=True)
    deeds = (
        ("is", "Where is {}?", tuple(f"in the {room}" for room in rooms)),
        ("has", "What does {} have?", tuple(f"the {colour} {thing}" for colour, thing in things)),
        ("eats", "What does {} eat?", tuple(f"the {food}" for food in foods)),
        ("feeds", "Which animal does {} feed?", tuple(f"the {animal}" for animal in animals)),
    )
    cast = dice.shuffled(list(zip(names, deeds, strict=True)))
    questions = [
        Question(question=asked.format(name), lead=f" {name} {verb}", answer=choices[0], choices=choices)
        for name, (verb, asked, choices) in dice.shuffled(cast)
    ]
    pairs = [(name, choices[0]) for name, (_, _, choices) in cast]
    told = [f"{name} {verb} {choices[0]}." for name, (verb, _, choices) in cast]
    passage = " ".join([dice.pick(_OPENINGS), *told])
    return Story(key=facts_key("reading", *pairs), level="one", passage=passage, questions=tuple(questions))
