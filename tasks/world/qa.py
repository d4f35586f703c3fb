"""Closed-book questions about the invented people of the generated world.

Training states every fact in entries, but never asks the questions of this test. Level "head" are the hundred
people who are written about most, "middle" the next two hundred, "tail" the other six hundred.

    Q: What does Olga Velwell play?
    A: harp
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evalkit.data.sources import WorldSource
from evalkit.harness.task import Protocol, Task, document_per_row
from evalkit.types import Decoding, Document, Example


def _to_example(document: Document) -> Example:
    row = document.row
    return Example(
        task="answer the question",
        input=row["question"],
        output=row["answer"],
        parts={"question": row["question"], "relation": row["relation"]},
    )


def _majority(example: Example, pool: Sequence[Example]) -> str:
    """The most frequent answer to questions about the same relation."""
    relation = example.parts["relation"]
    answers = Counter(other.output for other in pool if other.parts["relation"] == relation)
    return max(sorted(answers), key=answers.__getitem__)


TASKS = (
    Task(
        name="world_qa",
        family="qa",
        title="closed-book questions about people (generated world)",
        licence="Apache-2.0",
        source=WorldSource("qa"),
        suites={"world-quick": ("head",), "world-hard": ("middle", "tail")},
        to_example=_to_example,
        documents=document_per_row(cluster="person", level="level"),
        protocols={
            "plain": Protocol(
                kind="generate",
                query="Q: {question}\nA:",
                metrics=("exact_match", "f1"),
                decoding=Decoding(until=("\n",), max_tokens=8),
            )
        },
        baselines={"majority": _majority},
    ),
)
