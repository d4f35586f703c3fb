"""A word left out of the sentence after a tale of the generated world, as in the Children's Book Test.

    Max brought a box. Ida brought a map. ... Max took his [box] and went home.

The sentence is scored with each of three to five words that stand in the tale. Levels: the sentence alone asks for
the word ("sense"), it is what the friend brought ("thing"), or it is who brought it ("friend").
"""

from __future__ import annotations

from dataclasses import replace

from evalkit.data.sources import WorldSource
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task, document_per_row
from evalkit.types import Document, Example


def _to_example(document: Document) -> Example:
    row = document.row
    return choice_example(
        "fill the gap",
        input=f"{row['passage']} {row['before']} ____{row['after']}",
        parts={"passage": row["passage"], "before": row["before"], "after": row["after"]},
        choices=row["choices"],
        gold=row["gold"],
    )


def _without_passage(example: Example) -> Example:
    parts = {**example.parts, "passage": ""}
    return replace(example, input=f"{parts['before']} ____{parts['after']}", parts=parts)


TASKS = (
    Task(
        name="world_cloze",
        family="cloze",
        title="a gap in the sentence after a tale (generated world)",
        licence="Apache-2.0",
        source=WorldSource("cloze"),
        suites={"world-quick": ("sense", "thing"), "world-hard": ("friend",)},
        to_example=_to_example,
        documents=document_per_row(level="gap"),
        protocols={
            "plain": Protocol(
                kind="choice",
                query="{passage} {before}",
                target=" {choice}{after}",
                metrics=("acc",),
                shrink=("passage", "left"),
            )
        },
        controls={"no_passage": _without_passage},
    ),
)
