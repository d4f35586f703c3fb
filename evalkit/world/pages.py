"""The kinds of training document. Every page is made of content that is not held out."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from evalkit.errors import unknown
from evalkit.world.cast import NAMES, THINGS
from evalkit.world.dice import Dice, draw, held_out
from evalkit.world.grammar import clause, english, french
from evalkit.world.lexicon import NOUNS
from evalkit.world.news import report
from evalkit.world.patterns import RULES, pattern
from evalkit.world.people import People, answer, entry, guide, people
from evalkit.world.plots import plot
from evalkit.world.schemas import schema
from evalkit.world.stories import scene, story
from evalkit.world.tales import tale

__all__ = ["KINDS", "corpus", "page", "sample"]


_RHYME_WORDS = (*(noun.english for noun in NOUNS), *NAMES)


def _entries(dice: Dice, world: People) -> str:
    return "\n\n".join(entry(dice, world.meet(dice)) for _ in range(3))


def _guides(dice: Dice, world: People) -> str:
    return "\n\n".join(guide(dice, town) for town in dice.some(world.towns, 5))


def _trivia(dice: Dice, world: People) -> str:
    pairs = [answer(dice, world) for _ in range(10)]
    return "\n\n".join(f"Q: {question}\nA: {value}" for question, value in pairs)


def _reading(dice: Dice, world: People) -> str:
    told = draw(dice, scene if dice.chance(0.5) else story)
    asked = "\n".join(f"Q: {q.question}\nA:{q.lead} {q.answer}" for q in told.questions)
    return f"{told.passage}\n{asked}"


def _en_fr(dice: Dice, world: People) -> str:
    clauses = [draw(dice, clause) for _ in range(8 + dice.below(3))]
    return "\n".join(f"{english(c)} = {french(c)}" for c in clauses)


def _fr_en(dice: Dice, world: People) -> str:
    clauses = [draw(dice, clause) for _ in range(8 + dice.below(3))]
    return "\n".join(f"{french(c)} = {english(c)}" for c in clauses)


def _english(dice: Dice, world: People) -> str:
    return " ".join(english(draw(dice, clause)) for _ in range(16))


def _french(dice: Dice, world: People) -> str:
    return " ".join(french(draw(dice, clause)) for _ in range(16))


def _news(dice: Dice, world: People) -> str:
    reports = [draw(dice, lambda d: report(d, world)) for _ in range(2)]
    return "\n\n".join(f"{r.article}\nTL;DR: {r.summary}" for r in reports)


def _rhymes(dice: Dice, world: People) -> str:
    """Counting-out rhymes, said again and again: the plainest text that repeats itself.

    Small models learn from it to copy what followed a word before; two or three repetitions are too few for that.
    """
    verses = [" ".join(dice.some(_RHYME_WORDS, 6 + 2 * dice.below(4))) for _ in range(2)]
    return "\n\n".join("\n".join([verse] * (5 + dice.below(3))) for verse in verses)


def _rounds(dice: Dice, world: People) -> str:
    """A round: the same lines again and again in another order, so that only who is sung of tells what they have."""
    names = dice.some(NAMES, 4)
    lines = [f"{name} has the {thing}," for name, thing in zip(names, dice.some(THINGS, 4), strict=True)]
    return "\n".join(f"La la la, {' '.join(dice.shuffled(lines))}" for _ in range(5))


def _plots(dice: Dice, world: People) -> str:
    return "\n\n".join(draw(dice, plot).text for _ in range(3))


def _tales(dice: Dice, world: People) -> str:
    return "\n\n".join(draw(dice, tale).text(dice) for _ in range(2))


def _schemas(dice: Dice, world: People) -> str:
    lines = []
    for _ in range(9):
        drawn = draw(dice, schema)
        which = dice.below(2)
        lines.append(drawn.riddle(which) if dice.chance(0.25) else drawn.said(which))
    return "\n".join(lines)


def _patterns(dice: Dice, world: People) -> str:
    rule = dice.pick(tuple(RULES))
    drawn = (draw(dice, lambda d: pattern(d, rule)) for _ in range(16))
    return "\n".join(dict.fromkeys(pair.line for pair in drawn))  # each pair once


_WRITERS: dict[str, tuple[float, Callable[[Dice, People], str]]] = {
    "entries": (0.11, _entries),
    "guides": (0.01, _guides),
    "trivia": (0.1, _trivia),
    "reading": (0.17, _reading),
    "en_fr": (0.07, _en_fr),
    "fr_en": (0.06, _fr_en),
    "english": (0.01, _english),
    "french": (0.01, _french),
    "news": (0.06, _news),
    "rhymes": (0.12, _rhymes),
    "rounds": (0.08, _rounds),
    "plots": (0.07, _plots),
    "tales": (0.04, _tales),
    "schemas": (0.03, _schemas),
    "patterns": (0.06, _patterns),
}

KINDS: Mapping[str, float] = {kind: share for kind, (share, _) in _WRITERS.items()}
"""Kind of document -> its share of the documents."""

_NAMES = tuple(KINDS)
_REACH = tuple(accumulate(KINDS.values()))


def page(kind: str, dice: Dice, *, world: People, held: bool = False) -> str:
    """Write a document of this kind; held: one that training leaves out."""
    write = _WRITERS[kind][1]
    while True:
        text = write(dice, world)
        if held_out(f"document:{text}") == held:
            return text


def sample(kind: str, seed: int = 0) -> str:
    """Return one training document of the kind, to be read. Raises UsageError for an unknown kind."""
    if kind not in _WRITERS:
        raise unknown("kind of document", kind, _WRITERS)
    return page(kind, Dice("sample", seed), world=people(0))


def corpus(*, seed: int = 0, documents: int) -> Iterator[str]:
    """Write the training documents, in an order in which kinds are mixed; a longer one extends a shorter.

    seed: of the people and their facts as well as of the texts: ask for items with the same seed.
    """
    world = people(seed)
    for index in range(documents):
        dice = Dice("corpus", seed, index)
        kind = _NAMES[bisect(_REACH, dice.fraction() * _REACH[-1])]
        yield page(kind, dice, world=world)
