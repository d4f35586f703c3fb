"""Plots: narratives whose last word follows only from the whole. They carry the family lastword.

Levels: "sole" (a single word of the kind that the ending asks for has been named), "hop1" (three have, and one
sentence tells which is meant), "hop2" and "hop3" (it takes two or three sentences, one leading to the next).
"""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.world.cast import ANIMALS, FOODS, NAMES, ROOMS, THINGS, facts_key, her, she
from evalkit.world.dice import Dice
from evalkit.world.lexicon import article

__all__ = ["LEVELS", "Plot", "plot"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A narrative: `context` + " " + `word` + "."; the word follows only from the whole. level: one of LEVELS."""

    key: str
    level: str
    context: str
    word: str

    @property
    def text(self) -> str:
        """The narrative."""
        return f"{self.context} {self.word}."


_SEASONS = ("It was autumn.", "It was a long summer.", "It was a cold spring.", "It was the first day of winter.")
# values of each person, body, ending, last word, whom the ending is about
_Told = tuple[list[tuple[str, ...]], str, str, str, str]


def plot(dice: Dice, level: str, *, small: bool = False) -> Plot:
    """Draw a narrative of a level about three people, or two (twice as many in "hop3").

    small: the shorter ones, from which the same is learned sooner; only "hop2" and "hop3" have them.
    """
    strands = 2 if small and level in ("hop2", "hop3") else 3
    names = dice.some(NAMES, 2 * strands if level == "hop3" else strands)
    teller = dice.pick(_TELLERS[level])
    values, body, ending, word, hero = teller(dice, names)
    pairs = [(name, *value) for name, value in zip(names, values, strict=False)]
    key = facts_key(f"lastword:{teller.__name__[1:]}", *pairs, ("", hero))
    return Plot(key=key, level=level, context=f"{dice.pick(_SEASONS)} {body} {ending}", word=word)


def _seeking(dice: Dice, names: list[str]) -> _Told:
    thing, room, food = dice.pick(THINGS), dice.pick(ROOMS), dice.pick(FOODS)
    a, b, c = names
    sentences = [f"{a} left {her(a)} {thing} in the {room}.", f"{b} ate {article(food)} {food}."]
    body = " ".join([*dice.shuffled(sentences), f"{c} was asleep."])
    start = dice.pick(("In the evening", "The next day", "After a while"))
    ending = f"{start} {a} looked for the {thing} everywhere, until {she(a)} came to the"
    return [(thing, room), (food,), ("asleep",)], body, ending, room, a


def _finding(dice: Dice, names: list[str]) -> _Told:
    animal, room, food = dice.pick(ANIMALS), dice.pick(ROOMS), dice.pick(FOODS)
    a, b, c = names
    sentences = [f"{a} found {article(animal)} {animal} in the {room}.", f"{b} cut {article(food)} {food}."]
    body = " ".join([*dice.shuffled(sentences), f"{c} was happy."])
    ending = f"{dice.pick(('All day', 'Until night', 'For hours'))} they ran and jumped and played with the"
    return [(animal, room), (food,), ("happy",)], body, ending, animal, a


def _cooking(dice: Dice, names: list[str]) -> _Told:
    thing, room, food = dice.pick(THINGS), dice.pick(ROOMS), dice.pick(FOODS)
    a, b, c = names
    sentences = [f"{a} bought {article(food)} {food}.", f"{b} washed the {thing} in the {room}."]
    body = " ".join([*dice.shuffled(sentences), f"{c} was tired."])
    start = dice.pick(("At noon", "In the evening", "At last"))
    ending = f"{start} they sat down at the table, and everybody wanted to eat the"
    return [(food,), (thing, room), ("tired",)], body, ending, food, a


def _hiding(dice: Dice, names: list[str]) -> _Told:
    things, rooms = dice.some(THINGS, 3), dice.some(ROOMS, 3)
    hid = [f"{n} hid the {t} in the {r}." for n, t, r in zip(names, things, rooms, strict=True)]
    i = dice.below(3)
    body = " ".join([*dice.shuffled(hid), dice.pick(("Then they all went to bed.", "A week went by."))])
    start = dice.pick(("In the morning", "The next day", "At last"))
    ending = f"{start} {her(names[i])} brother found the {things[i]} in the"
    return list(zip(things, rooms, strict=True)), body, ending, rooms[i], names[i]


def _wishing(dice: Dice, names: list[str]) -> _Told:
    things = dice.some(THINGS, 3)
    wished = [f"{n} wanted {article(t)} {t}." for n, t in zip(names, things, strict=True)]
    i = dice.below(3)
    body = " ".join([*dice.shuffled(wished), dice.pick(("At last the day came.", "Many days went by."))])
    start = dice.pick(("Everybody was happy when", "There was music, and then", "It was a good day:"))
    ending = f"{start} {names[i]} got the"
    return [(t,) for t in things], body, ending, things[i], names[i]


def _losing(dice: Dice, names: list[str]) -> _Told:
    things = dice.some(THINGS, 3)
    lost = [f"The {t} belonged to {n}." for n, t in zip(names, things, strict=True)]
    i = dice.below(3)
    body = " ".join([*dice.shuffled(lost), dice.pick(("One day they were lost.", "Then came the storm."))])
    finder = dice.pick(("The teacher", "A neighbour", "The gardener"))
    ending = f"{finder} looked for hours and gave the {things[i]} back to"
    return [(t,) for t in things], body, ending, names[i], names[i]


def _eating(dice: Dice, names: list[str]) -> _Told:
    foods = dice.some(FOODS, 3)
    orders = [f"{n} asked for the {f}." for n, f in zip(names, foods, strict=True)]
    i = dice.below(3)
    body = " ".join([*dice.shuffled(orders), dice.pick(("They were hungry.", "They waited and waited."))])
    ending = f"{dice.pick(('At last', 'After an hour', 'In the end'))} the cook smiled and brought {names[i]} the"
    return [(f,) for f in foods], body, ending, foods[i], names[i]


def _taking(dice: Dice, names: list[str]) -> _Told:
    """Thing -> person -> room."""
    count = len(names)
    things, rooms = dice.some(THINGS, count), dice.some(ROOMS, count)
    took = [f"{n} took the {t}." for n, t in zip(names, things, strict=True)]
    went = [f"{n} went to the {r}." for n, r in zip(names, rooms, strict=True)]
    i = dice.below(count)
    body = " ".join([*dice.shuffled(took), dice.pick(("Then it rained.", "An hour went by.")), *dice.shuffled(went)])
    ending = f"{dice.pick(('Soon', 'At noon', 'In the evening'))} the {things[i]} was in the"
    return list(zip(things, rooms, strict=True)), body, ending, rooms[i], names[i]


def _packing(dice: Dice, names: list[str]) -> _Told:
    """Food -> container -> room."""
    count = len(names)
    foods, rooms, packs = dice.some(FOODS, count), dice.some(ROOMS, count), dice.some(_PACKS, count)
    packed = [f"{n} put the {f} into the {p}." for n, f, p in zip(names, foods, packs, strict=True)]
    stood = [f"The {p} stood in the {r}." for p, r in zip(packs, rooms, strict=True)]
    i = dice.below(count)
    body = " ".join([*dice.shuffled(packed), *dice.shuffled(stood)])
    ending = f"{dice.pick(('All night', 'For a week', 'Until Sunday'))} the {foods[i]} was in the"
    return list(zip(foods, packs, rooms, strict=True)), body, ending, rooms[i], names[i]


def _passing(dice: Dice, names: list[str]) -> _Told:
    """Thing -> giver -> taker -> room."""
    count = len(names) // 2
    things, rooms = dice.some(THINGS, count), dice.some(ROOMS, count)
    givers, takers = names[:count], names[count:]
    had = [f"{n} had the {t}." for n, t in zip(givers, things, strict=True)]
    gave = [f"{n} gave it to {m}." for n, m in zip(givers, takers, strict=True)]
    went = [f"{m} went to the {r}." for m, r in zip(takers, rooms, strict=True)]
    i = dice.below(count)
    body = " ".join([*dice.shuffled(had), *dice.shuffled(gave), *dice.shuffled(went)])
    ending = f"{dice.pick(('Soon', 'At noon', 'In the evening'))} the {things[i]} was in the"
    return list(zip(things, takers, rooms, strict=True)), body, ending, rooms[i], givers[i]


_PACKS = ("box", "bag", "basket", "bottle", "drawer", "sack")
_TELLERS = {
    "sole": (_seeking, _finding, _cooking),
    "hop1": (_hiding, _wishing, _losing, _eating),
    "hop2": (_taking, _packing),
    "hop3": (_passing,),
}
LEVELS = tuple(_TELLERS)
