"""The kinds of training document. Every page is made of content that is not held out."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from evalkit.errors import unknown
from evalkit.world import news, plots, schemas, stories
from evalkit.world.cast import ANIMALS, FOODS, NAMES, ROOMS, THINGS
from evalkit.world.dice import Dice, draw, held_out
from evalkit.world.grammar import clause, english, french
from evalkit.world.patterns import TAUGHT, pattern
from evalkit.world.people import People, answer, entry, guide, people
from evalkit.world.tales import tale

__all__ = ["KINDS", "corpus", "page", "sample"]


_RHYME_WORDS = (*NAMES, *THINGS, *FOODS, *ANIMALS, *ROOMS)


def _entries(dice: Dice, world: People) -> str:
    return "\n\n".join(entry(dice, world.meet(dice)) for _ in range(3))


def _guides(dice: Dice, world: People) -> str:
    return "\n\n".join(guide(dice, town) for town in dice.some(world.towns, 5))


def _trivia(dice: Dice, world: People) -> str:
    pairs = [answer(dice, world) for _ in range(10)]
    return "\n\n".join(f"Q: {question}\nA: {value}" for question, value in pairs)


def _reading(dice: Dice, world: People) -> str:
    """A story, or two small ones, with questions."""
    level = dice.pick(stories.LEVELS)
    small = dice.chance(0.3)
    drawn_stories = [draw(dice, lambda d: stories.story(d, level, small=small)) for _ in range(2 if small else 1)]
    return "\n\n".join(
        "\n".join([one.passage, *(f"Q: {q.question}\nA:{q.lead} {q.answer}" for q in one.questions)])
        for one in drawn_stories
    )


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
    level = dice.pick(news.LEVELS)
    reports = [draw(dice, lambda d: news.report(d, world, level)) for _ in range(2)]
    return "\n\n".join(f"{r.article}\nTL;DR: {r.summary}" for r in reports)


def _rhymes(dice: Dice, world: People) -> str:
    """Counting-out rhymes, said again and again: the plainest text that repeats itself.

    Small models learn from it to copy what followed a word before; two or three repetitions are too few for that.
    """
    verses = [" ".join(dice.some(_RHYME_WORDS, 6 + 2 * dice.below(4))) for _ in range(2)]
    return "\n\n".join("\n".join([verse] * (5 + dice.below(3))) for verse in verses)


def _rounds(dice: Dice, world: People) -> str:
    """A round: the same lines again and again in another order, so that only who is sung of tells what they have.

    Some are sung from the thing to its owner now and then.
    """
    names, things = dice.some(NAMES, 4), dice.some(THINGS, 4)
    both = dice.chance(0.3)

    def line(name: str, thing: str) -> str:
        return f"the {thing} is with {name}," if both and dice.chance(0.5) else f"{name} has the {thing},"

    pairs = list(zip(names, things, strict=True))
    return "\n".join(f"La la la, {' '.join(line(*pair) for pair in dice.shuffled(pairs))}" for _ in range(5))


def _plots(dice: Dice, world: People) -> str:
    level, small = dice.pick(plots.LEVELS), dice.chance(0.3)
    return "\n\n".join(draw(dice, lambda d: plots.plot(d, level, small=small)).text for _ in range(3))


def _tales(dice: Dice, world: People) -> str:
    return "\n\n".join(draw(dice, tale).text(dice) for _ in range(2))


def _schemas(dice: Dice, world: People) -> str:
    """Sentences with the noun, with the pronoun, and with the question what it stands for."""
    lines = []
    for _ in range(8):
        drawn = draw(dice, lambda d: schemas.schema(d, d.pick(schemas.LEVELS)))
        which, how = dice.below(2), dice.fraction()
        if how < 0.4:
            lines.append(f"{drawn.riddle(which)}\nQ: {drawn.question(which)}\nA: {drawn.nouns[which]}")
        else:
            lines.append(drawn.said(which) if how < 0.9 else drawn.riddle(which))
    return "\n".join(lines)


def _patterns(dice: Dice, world: People) -> str:
    rule = dice.pick(TAUGHT)
    drawn = (draw(dice, lambda d: pattern(d, rule)) for _ in range(12 + dice.below(24)))
    return "\n".join(dict.fromkeys(pair.line for pair in drawn))  # each pair once


_WRITERS: dict[str, tuple[float, Callable[[Dice, People], str]]] = {
    "entries": (0.12, _entries),
    "guides": (0.01, _guides),
    "trivia": (0.09, _trivia),
    "reading": (0.21, _reading),
    "en_fr": (0.03, _en_fr),
    "fr_en": (0.03, _fr_en),
    "english": (0.02, _english),
    "french": (0.02, _french),
    "news": (0.06, _news),
    "rhymes": (0.1, _rhymes),
    "rounds": (0.08, _rounds),
    "plots": (0.09, _plots),
    "tales": (0.04, _tales),
    "schemas": (0.04, _schemas),
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
