"""PIQA: which of two ways to reach an everyday goal works.

Paper: Bisk et al. 2020, "PIQA: Reasoning about Physical Commonsense in Natural Language",
https://arxiv.org/abs/1911.11641.
Link: https://yonatanbisk.com/piqa.
Splits: validation, 1,838 (the test labels are not public); shots from train (16,113) if it is there, else from
validation. A document is named by its position.

    document  {"goal": "How do I ready a guinea pig cage for it's new occupants?",
               "sol1": "Provide the guinea pig with a cage full of a few inches of bedding made of ripped paper ...",
               "sol2": "Provide the guinea pig with a cage full of a few inches of bedding made of ripped jeans ...",
               "label": 0}
    prompt    How do I ready a guinea pig cage for it's new occupants?
    target     Provide the guinea pig with a cage full of a few inches of bedding made of ripped paper ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from evalkit.data.rows import choice_of
from evalkit.data.sources import BenchmarkSource, Hub, Release, Row, read_jsonl, read_lines
from evalkit.errors import DataError
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Join the problems with the file of their labels."""
    problems, labels = paths
    for row, label in zip_longest(read_jsonl([problems]), read_lines(labels)):
        if row is None or label is None:
            short = problems if row is None else labels
            raise DataError(f"{short} ends too early: expected as many problems as labels")
        yield {**row, "label": label[1].strip()}


def _to_example(document: Document) -> Example:
    row = document.row
    choices = (row["sol1"].strip(), row["sol2"].strip())
    gold = choice_of(row["label"], choices)
    return choice_example(
        "choose the way that works",
        input=row["goal"].strip(),
        choices=choices,
        gold=gold,
    )


def _release(split: str) -> Release:
    return Release(files=(f"piqa/{split}.jsonl", f"piqa/{split}-labels.lst"), read=_read)


TASKS = (
    Task(
        name="piqa",
        family="commonsense",
        title="which of two ways to an everyday goal works (Bisk et al. 2020)",
        licence="Academic Free License 3.0",
        source=BenchmarkSource(
            name="piqa",
            # The dataset is a script, which `datasets` no longer runs; this revision is its conversion to parquet.
            hub=Hub(id="ybisk/piqa", revision="refs/convert/parquet", splits={"test": "validation", "shots": "train"}),
            releases={"test": _release("valid"), "shots": _release("train")},
        ),
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query="{input}",
                target=" {choice}",
                metrics=("acc_per_token", "acc", "acc_per_char", "acc_per_byte"),
                paper_shots=50,
                templates={
                    "question_answer": {"query": "Question: {input}\nAnswer:"},
                    "goal_solution": {"query": "Goal: {input}\nSolution:"},
                    "how_to": {"query": "What is a sensible way to do this: {input}\nOne should"},
                },
            ),
            "lm-eval": Protocol(
                kind="choice",
                query="Question: {input}\nAnswer:",
                target=" {choice}",
                metrics=("acc", "acc_per_char"),
            ),
        },
    ),
)
