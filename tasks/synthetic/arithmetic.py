r"""Arithmetic in words: GPT-3's ten tasks, sums, differences and products of whole numbers.

Paper: Brown et al. 2020, "Language Models are Few-Shot Learners", section 3.9.1, https://arxiv.org/abs/2005.14165.
Link: https://github.com/openai/gpt-3/tree/master/data.
Splits: 2,000 problems each in the released files; shots from the same problems. Without a file, 2,000
problems and another 2,000 for shots are made with a fixed seed: operands uniform in [0, 10^d). 1DC joins three digits 1
to 9 by two of + - *, each uniform; the paper's text puts the brackets round the last two, all 2,000 problems of the
released file round the first two, and so do those made here.
Answers are generated and have to be right digit by digit.

    document  {"context": "\n\nQ: What is 98 plus 45?\n\nA:", "completion": " 143"}
    prompt    \n\nQ: What is 98 plus 45?\n\nA:
    target     143
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from evalkit.data.sources import BenchmarkSource, Hub, Row, Split, released
from evalkit.harness.task import Protocol, Task
from evalkit.types import Decoding, Document, Example

_COUNT = 2000
_QUESTION = re.compile(r"What is (.+)\?")


class _Kind(NamedTuple):
    """A task: its file, its title, and how a problem and its answer are drawn."""

    file: str
    title: str
    draw: Callable[[random.Random], tuple[str, int]]


def _two(rng: random.Random, *, word: str, digits: int) -> tuple[str, int]:
    """Draw "a plus b" and its value, operands uniform in [0, 10^digits)."""
    a, b = rng.randrange(10**digits), rng.randrange(10**digits)
    return f"{a} {word} {b}", {"plus": a + b, "minus": a - b, "times": a * b}[word]


_OPERATIONS: Mapping[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


def _three(rng: random.Random) -> tuple[str, int]:
    """Draw "(a + b) * c" and its value."""
    a, b, c = (rng.randint(1, 9) for _ in range(3))
    first, second = rng.choice("+-*"), rng.choice("+-*")
    return f"({a} {first} {b}) {second} {c}", _OPERATIONS[second](_OPERATIONS[first](a, b), c)


_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
_WORDS = {"a": ("plus", "addition"), "s": ("minus", "subtraction")}
_KINDS: Mapping[str, _Kind] = {
    **{
        f"{digits}d{letter}": _Kind(
            f"{number}_digit_{noun}", f"{number}-digit {noun}", partial(_two, word=word, digits=digits)
        )
        for digits, number in _NUMBERS.items()
        for letter, (word, noun) in _WORDS.items()
    },
    "2dm": _Kind("two_digit_multiplication", "two-digit multiplication", partial(_two, word="times", digits=2)),
    "1dc": _Kind("single_digit_three_ops", "three digits, two operations", _three),
}


def _make(name: str, split: Split) -> Iterator[Row]:
    """Make a split's problems; the same on every machine."""
    rng = random.Random(f"{name}/{split}/1")
    for _ in range(_COUNT):
        problem, value = _KINDS[name].draw(rng)
        yield {"context": f"\n\nQ: What is {problem}?\n\nA:", "completion": f" {value}"}


def _to_example(document: Document) -> Example:
    row = document.row
    question = _QUESTION.search(row["context"])
    if not question or not re.fullmatch(r"-?\d+", row["completion"].strip()):
        raise ValueError("expected 'What is ...?' in context, and a whole number in completion")
    return Example(task="work the problem out", input=question.group(1), output=row["completion"].strip())


def _task(name: str) -> Task:
    kind = _KINDS[name]
    return Task(
        name=f"arithmetic_{name}",
        family="synthetic",
        title=f"{kind.title} in words (Brown et al. 2020)",
        source=BenchmarkSource(
            name=f"arithmetic_{name}",
            hub=Hub(id="EleutherAI/arithmetic", config=f"arithmetic_{name}", splits={"test": "validation"}),
            releases=released(f"gpt3/{kind.file}.jsonl"),
            make=partial(_make, name),
        ),
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="generate",
                query="\n\nQ: What is {input}?\n\nA:",
                separator="",
                metrics=("verbatim_match",),
                decoding=Decoding(until=("\n",), max_tokens=12, beams=4, length_penalty=0.6),
                paper_shots=50,
            ),
            # Whether the answer is the greedy one, without generating it.
            "lm-eval": Protocol(
                kind="loglikelihood",
                query="Question: What is {input}?\nAnswer:",
                metrics=("acc", "answer_bits_per_byte"),
            ),
        },
    )


TASKS = tuple(_task(name) for name in _KINDS)
