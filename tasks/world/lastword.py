"""The last word of a narrative of the generated world, which follows only from the whole, as in LAMBADA.

    It was autumn. Dora hid the map in the hall. Paul hid the cup in the barn. Carl hid the key in the park.
    A week went by. At last his brother found the cup in the -> barn

Level "sole": a single word of the kind asked for was named; "hop1": three were, and one sentence tells which is
meant; "hop2", "hop3": it takes two or three sentences, one leading to the next.
"""

from __future__ import annotations

from evalkit.data.sources import WorldSource
from evalkit.harness.task import Protocol, Task, document_per_row
from evalkit.types import Document, Example


def _to_example(document: Document) -> Example:
    return Example(task="complete the narrative", input=document.row["context"], output=document.row["word"])


TASKS = (
    Task(
        name="world_lastword",
        family="lm",
        title="the last word of a narrative (generated world)",
        licence="Apache-2.0",
        source=WorldSource("lastword"),
        suites={"world-quick": ("sole", "hop1"), "world-hard": ("hop2", "hop3")},
        to_example=_to_example,
        documents=document_per_row(level="level"),
        protocols={"plain": Protocol(kind="loglikelihood", query="{input}", metrics=("acc", "ppl"))},
    ),
)
