"""Reading comprehension in the generated world.

A story of five to thirteen sentences says who has what and who is where; one question about it, three or four answers
of the same kind. Level "one": only the right one stands in the story; "many": all do; "long": with eight things of a
kind; "who": asked from the thing to the person; "unsaid": half of the questions have no answer in the story; "count":
how many; "hop": the answer takes two sentences.

    The school was closed. Dora is in the attic. Hugo sits in the kitchen. Sara waits in the barn.
    Q: Where does Sara wait?
    A: Sara waits [in the barn]
"""

from __future__ import annotations

from dataclasses import replace

from evalkit.data.sources import WorldSource
from evalkit.harness.task import Protocol, Task, document_per_row
from evalkit.types import Document, Example


def _to_example(document: Document) -> Example:
    row = document.row
    return Example(
        task="answer the question about the story",
        input=f"{row['passage']}\nQ: {row['question']}",
        output=row["answer"],
        parts={"passage": row["passage"], "question": row["question"], "lead": row["lead"]},
        choices=tuple(row["choices"]),
        gold=row["choices"].index(row["answer"]),
    )


def _without_passage(example: Example) -> Example:
    return replace(example, input=f"Q: {example.parts['question']}", parts={**example.parts, "passage": ""})


TASKS = (
    Task(
        name="world_reading",
        family="reading",
        title="questions about a short story (generated world)",
        licence="Apache-2.0",
        source=WorldSource("reading"),
        suites={"world-quick": ("one", "many"), "world-hard": ("long", "who", "unsaid", "count", "hop")},
        to_example=_to_example,
        documents=document_per_row(level="level"),
        protocols={
            "plain": Protocol(
                kind="choice",
                query="{passage}\nQ: {question}\nA:{lead}",
                target=" {choice}",
                metrics=("acc", "acc_per_token"),
                shrink=("passage", "left"),
            )
        },
        controls={"no_passage": _without_passage},
    ),
)
