"""The rows of the world's task families: held-out content for testing, other content for shots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from evalkit.errors import unknown
from evalkit.world import news, plots, schemas, stories
from evalkit.world.dice import Dice, Keyed, digest, draw, held_out
from evalkit.world.grammar import LEVELS as GRAMMAR
from evalkit.world.grammar import clause, english, french
from evalkit.world.pages import KINDS, page
from evalkit.world.patterns import RULES, pattern
from evalkit.world.people import LEVELS, people
from evalkit.world.tales import GAPS, tale

__all__ = ["NAMES", "Split", "items"]

Split = Literal["test", "shots"]
Row = dict[str, Any]
K = TypeVar("K", bound=Keyed)

# Rows per level: enough for intervals of about ten points.
SIZE = 90
DOCUMENTS_PER_KIND = 8


def items(name: str, split: Split, *, seed: int = 0) -> list[Row]:
    """Return the rows of a family. Raises UsageError for an unknown family or split.

    name: one of NAMES. split: "test" (in no training text) or "shots" (same form, never held out).
    seed: of the world; the corpus that a model was trained on has the same.
    """
    if name not in _MAKERS:
        raise unknown("world family", name, _MAKERS)
    if split not in ("test", "shots"):
        raise unknown("split", split, ("test", "shots"))
    return _MAKERS[name](Dice("items", name, split, seed), split == "test", seed)


def _distinct(dice: Dice, make: Callable[[Dice], K], *, count: int, held: bool) -> list[K]:
    """Draw contents with different keys: `count`, or fewer where a small space is exhausted."""
    contents: dict[str, K] = {}
    for _ in range(50 * count):
        content = draw(dice, make, held=held)
        contents.setdefault(content.key, content)
        if len(contents) == count:
            break
    return list(contents.values())


def _of_levels(
    dice: Dice, make: Callable[[Dice, str], K], levels: Sequence[str], *, held: bool, count: int = SIZE
) -> list[K]:
    """Draw contents of every level, as many of each; what two levels share counts once."""
    drawn = [one for level in levels for one in _distinct(dice, _maker(make, level), count=count, held=held)]
    return list({one.key: one for one in drawn}.values())


def _id(name: str, key: str) -> str:
    """Name a row by its content, so that sizes and orders can change and the name cannot."""
    return f"{name}-{digest(key):016x}"


def _reading(dice: Dice, held: bool, seed: int) -> list[Row]:
    rows = []
    for story in _of_levels(dice, stories.story, stories.LEVELS, held=held):
        question = dice.pick(story.questions)
        rows.append(
            {
                "id": _id("reading", story.key),
                "level": story.level,
                "passage": story.passage,
                "question": question.question,
                "lead": question.lead,
                "answer": question.answer,
                "choices": dice.shuffled(question.choices),
            }
        )
    return rows


def _translation(dice: Dice, held: bool, seed: int) -> list[Row]:
    drawn = _of_levels(dice, clause, GRAMMAR, held=held)
    return [
        {"id": _id("translation", c.key), "level": c.level, "english": english(c), "french": french(c)} for c in drawn
    ]


def _summary(dice: Dice, held: bool, seed: int) -> list[Row]:
    world = people(seed)
    return [
        {
            "id": _id("summary", r.key),
            "level": r.level,
            "article": r.article,
            "sentences": list(r.sentences),
            "summary": r.summary,
        }
        for r in _of_levels(dice, lambda d, level: news.report(d, world, level), news.LEVELS, held=held)
    ]


def _qa(dice: Dice, held: bool, seed: int) -> list[Row]:
    facts = [fact for fact in people(seed).facts() if held_out(fact.key) == held]
    chosen = [fact for level in LEVELS for fact in dice.shuffled([f for f in facts if f.person.level == level])[:SIZE]]
    return [
        {
            "id": _id("qa", fact.key),
            "question": fact.question(dice),
            "answer": fact.answer,
            "person": fact.person.name,
            "relation": fact.relation,
            "level": fact.person.level,
        }
        for fact in chosen
    ]


def _lm(dice: Dice, held: bool, seed: int) -> list[Row]:
    world = people(seed)
    count = DOCUMENTS_PER_KIND if held else 2 * DOCUMENTS_PER_KIND
    rows = []
    for kind in KINDS:
        for _ in range(count):
            text = page(kind, dice, world=world, held=held)
            rows.append({"id": _id("lm", text), "kind": kind, "text": text})
    return rows


def _lastword(dice: Dice, held: bool, seed: int) -> list[Row]:
    return [
        {"id": _id("lastword", p.key), "level": p.level, "context": p.context, "word": p.word}
        for p in _of_levels(dice, plots.plot, plots.LEVELS, held=held)
    ]


def _cloze(dice: Dice, held: bool, seed: int) -> list[Row]:
    rows: list[Row] = []
    for story in _distinct(dice, tale, count=len(GAPS) * SIZE, held=held):
        gap = dice.pick(story.friends)[len(rows) % len(GAPS)]
        choices = dice.shuffled(gap.choices)
        rows.append(
            {
                "id": _id("cloze", story.key),
                "gap": gap.kind,
                "passage": story.passage,
                "before": gap.before,
                "after": gap.after,
                "choices": choices,
                "gold": choices.index(gap.answer),
            }
        )
    return rows


def _pronouns(dice: Dice, held: bool, seed: int) -> list[Row]:
    """Both alternates of every schema instance."""
    rows = []
    for drawn in _of_levels(dice, schemas.schema, schemas.LEVELS, held=held, count=SIZE // 2):
        rows += [
            {
                "id": f"{_id('pronouns', drawn.key)}-{which}",
                "pair": _id("pronouns", drawn.key),
                "level": drawn.level,
                "before": drawn.stem,
                "pronoun": drawn.pronoun,
                "after": drawn.endings[which],
                "question": drawn.question(which),
                "choices": list(drawn.nouns),
                "gold": which,
            }
            for which in (0, 1)
        ]
    return rows


def _patterns(dice: Dice, held: bool, seed: int) -> list[Row]:
    rows: dict[str, Row] = {}
    for rule, level in RULES.items():
        for drawn in _distinct(dice, _maker(pattern, rule), count=20 if held else 60, held=held):
            row = {"level": level, "rule": rule, "input": drawn.input, "output": drawn.output}
            rows.setdefault(drawn.key, {"id": _id("patterns", drawn.key), **row})
    return list(rows.values())


def _maker(make: Callable[[Dice, str], K], name: str) -> Callable[[Dice], K]:
    return lambda dice: make(dice, name)


_MAKERS: dict[str, Callable[[Dice, bool, int], list[Row]]] = {
    "reading": _reading,
    "translation": _translation,
    "summary": _summary,
    "qa": _qa,
    "lm": _lm,
    "lastword": _lastword,
    "cloze": _cloze,
    "pronouns": _pronouns,
    "patterns": _patterns,
}

NAMES = tuple(_MAKERS)
