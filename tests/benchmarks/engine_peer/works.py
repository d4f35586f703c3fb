"""The requests of the comparison, as texts: real benchmarks where there is data, else made-up ones of their size."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit import world
from evalkit.tokenizer import Tokenizer

_CONTEXT = 1024
_LETTERS = "ABCD"
_Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One line of the table. texts: (context, continuation) or (document,) or (prompt,), as the kind asks.

    stride: of rolling windows; the context if None. speed: how many times as fast as lm-eval it has to be; memory: the
    largest share of lm-eval's. hf: as speed, of a model that transformers runs.
    """

    name: str
    kind: str
    texts: Sequence[tuple[str, ...]]
    speed: float
    memory: float = 1.0
    hf: float = 1.0
    stride: int | None = None


def works(data: Path | None, tokenizer: Tokenizer, *, scale: float) -> list[Work]:
    """Return all lines; `scale` multiplies their numbers of documents."""
    arc, questions, sentences, page = _read(data) if data else _made_up(random.Random(1))
    arc = [row for row in arc if len(row["choices"]) == 4 and len(tokenizer.encode(_question(row))) < 60]

    def count(documents: int) -> int:
        return max(2, round(documents * scale))

    def line(name: str, rows: Sequence[_Row], way: _Way, *, documents: int, fixed: int = 0, speed: float) -> Work:
        pool, asked = rows[: len(rows) // 2], rows[len(rows) // 2 :][: count(documents)]
        texts = _texts(pool, asked, way, fixed=fixed)
        return Work(name=name, kind="generate_until" if way is _OPEN else "loglikelihood", texts=texts, speed=speed)

    ids = tokenizer.encode(page)[: count(12) * _CONTEXT]
    return [
        line("4 choices, 5 shots drawn per document", arc, _ANSWERS, documents=12, speed=4),
        line("4 choices, 5 fixed shots", arc, _ANSWERS, documents=40, fixed=5, speed=12),
        line("4 choices, 25 fixed shots", arc, _ANSWERS, documents=18, fixed=25, speed=25),
        line("two contexts and one ending, 5 shots per document", sentences, _FILLED, documents=24, speed=5),
        line("one-token answers, 5 shots per document", arc, _LETTERED, documents=16, speed=1.3),
        line("one-token answers, 5 fixed shots", arc, _LETTERED, documents=96, fixed=5, speed=8),
        Work(
            name=f"rolling perplexity of WikiText-2 test, the first {len(ids):,} tokens",
            kind="loglikelihood_rolling",
            texts=[(tokenizer.decode(ids),)],
            speed=1.3,
            memory=0.25,
        ),
        *(_rolling(tokenizer, ids[: count(4) * _CONTEXT], stride=_CONTEXT // part) for part in (2, 4)),
        line("NQ-open, 16 greedy tokens, 5 shots per document", questions, _OPEN, documents=24, speed=2),
        line("NQ-open, 16 greedy tokens, 5 fixed shots", questions, _OPEN, documents=64, fixed=5, speed=5),
    ]


def _rolling(tokenizer: Tokenizer, ids: Sequence[int], *, stride: int) -> Work:
    """Return a text whose windows overlap."""
    return Work(
        name=f"the same, {len(ids):,} tokens, windows advance by {stride}",
        kind="loglikelihood_rolling",
        texts=[(tokenizer.decode(ids),)],
        speed=2,
        stride=stride,
    )


def model_works(data: Path, tokenizer: Tokenizer, *, scale: float) -> list[Work]:
    """Return the lines for a trained model, as lm-eval's task files write them."""
    arc, questions, sentences, _ = _read(data)
    arc = [row for row in arc if len(row["choices"]) == 4 and len(tokenizer.encode(_question(row))) < 60]

    def read(*parts: str) -> list[_Row]:
        return [json.loads(line) for line in data.joinpath(*parts).read_text(encoding="utf-8").splitlines()]

    boolq, hellaswag = read("boolq", "validation.jsonl"), read("hellaswag", "hellaswag_val_full.jsonl")

    def line(
        name: str, rows: Sequence[_Row], way: _Way, *, documents: int, fixed: int | None, speed: float, hf: float = 1.0
    ) -> Work:
        half, count = len(rows) // 2, max(2, round(documents * scale))
        texts = _texts(rows[:half], rows[half:][:count], way, fixed=fixed)
        kind = "loglikelihood" if way.answers else "generate_until"
        return Work(name=name, kind=kind, texts=texts, speed=speed, hf=hf)

    return [
        line("ARC-easy, 5 shots per document", arc, _ANSWERS, documents=5, fixed=0, speed=6, hf=2),
        line("ARC-easy, 5 fixed shots", arc, _ANSWERS, documents=12, fixed=5, speed=12, hf=2),
        line("WinoGrande, 5 shots per document", sentences, _FILLED, documents=24, fixed=0, speed=5, hf=2),
        line("BoolQ, one-token answers, 0 shots", boolq, _BOOLQ, documents=24, fixed=None, speed=1.3),
        line("HellaSwag, 0 shots", hellaswag, _HELLASWAG, documents=16, fixed=None, speed=2),
        line("NQ-open, 16 greedy tokens, 5 shots per document", questions, _OPEN, documents=24, fixed=0, speed=2),
    ]


def _texts(pool: Sequence[_Row], asked: Sequence[_Row], way: _Way, *, fixed: int | None) -> list[tuple[str, ...]]:
    """Return the requests of documents behind `fixed` shots; behind five drawn for each if that is 0; behind none."""
    draw = random.Random(0)
    same = "".join(way.show(row, solved=True) for row in pool[: fixed or 0])
    texts: list[tuple[str, ...]] = []
    for row in asked:
        drawn = draw.sample(list(pool), 5) if fixed == 0 else []
        shots = same or "".join(way.show(shot, solved=True) for shot in drawn)
        before = way.description + shots
        answers = [(" " + answer,) for answer in way.answers(row)] if way.answers else [()]
        beginnings = way.beginnings(row) if way.beginnings else [way.show(row)] * len(answers)
        texts += [(before + start, *answer) for start, answer in zip(beginnings, answers, strict=True)]
    return texts


def _question(row: _Row, *, solved: bool = False) -> str:
    return f"Question: {row['question']}\nAnswer:" + (f" {row['choices'][0]}\n\n" if solved else "")


def _lettered(row: _Row, *, solved: bool = False) -> str:
    options = "".join(f"{letter}. {text}\n" for letter, text in zip(_LETTERS, row["choices"], strict=True))
    return f"Question: {row['question']}\n{options}Answer:" + (" A\n\n" if solved else "")


def _open(row: _Row, *, solved: bool = False) -> str:
    return f"Q: {row['question']}?\nA:" + (f" {row['answer'][0]}\n" if solved else "")


def _passage(row: _Row, *, solved: bool = False) -> str:
    return f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:"


def _filled(row: _Row, *, solved: bool = False) -> str:
    return f"{row['sentence'].replace('_', row['option1'])}\n\n"


def _partly_filled(row: _Row) -> Sequence[str]:
    """Return a sentence up to its blank, filled with either option: the partial scoring of Trinh and Le 2018."""
    return [row["sentence"].partition("_")[0] + row[option] for option in ("option1", "option2")]


def _unfinished(row: _Row, *, solved: bool = False) -> str:
    return str(row["query"])


@dataclass(frozen=True)
class _Way:
    """How a row is shown, and the answers to score; without any the answer is generated.

    beginnings: what each answer follows, where that differs.
    """

    show: Callable[..., str]
    answers: Callable[[_Row], Sequence[str]] | None = None
    description: str = ""
    beginnings: Callable[[_Row], Sequence[str]] | None = None


_ANSWERS = _Way(_question, lambda row: row["choices"])
_FILLED = _Way(_filled, lambda row: [row["sentence"].partition("_")[2].strip()] * 2, beginnings=_partly_filled)
_LETTERED = _Way(_lettered, lambda _: _LETTERS)
_BOOLQ = _Way(_passage, lambda _: ("no", "yes"))
_HELLASWAG = _Way(_unfinished, lambda row: row["choices"])
_OPEN = _Way(_open, description="Answer these questions:\n\n")


def _read(data: Path) -> tuple[list[_Row], list[_Row], list[_Row], str]:
    def rows(*parts: str) -> list[_Row]:
        return [json.loads(line) for line in data.joinpath(*parts).read_text(encoding="utf-8").splitlines()]

    arc = [
        {"question": row["question"], "choices": row["choices"]["text"]} for row in rows("arc", "easy-validation.jsonl")
    ]
    page = data.joinpath("wikitext-2", "test.txt").read_text(encoding="utf-8")
    return arc, rows("nq_open", "NQ-open.dev.jsonl"), rows("winogrande", "validation.jsonl"), page


def _made_up(draw: random.Random) -> tuple[list[_Row], list[_Row], list[_Row], str]:
    """Return rows with as many words as the real ones have, from the generated world."""
    pages = list(world.corpus(seed=0, documents=3000))
    words = " ".join(pages).split()

    def some(least: int, most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(least, most)))

    arc = [{"question": some(8, 24), "choices": [some(1, 8) for _ in range(4)]} for _ in range(400)]
    questions = [{"question": some(7, 12), "answer": [some(1, 3)]} for _ in range(2000)]
    sentences = [
        {"sentence": f"{some(10, 14)} _ {some(3, 8)}", "option1": some(1, 1), "option2": some(1, 1)} for _ in range(400)
    ]
    return arc, questions, sentences, "\n\n".join(pages)
