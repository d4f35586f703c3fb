"""Translation of single sentences between English and French in the generated world.

The cat slept near the lake. = Le chat a dormi près du lac.
"""

from __future__ import annotations

from collections.abc import Callable

from evalkit.harness.sources import WorldSource
from evalkit.harness.task import Protocol, Task
from evalkit.types import Decoding, Document, Example


def _direction(source: str, target: str) -> Callable[[Document], Example]:
    def to_example(document: Document) -> Example:
        return Example(
            task=f"translate {source.title()} to {target.title()}",
            input=document.row[source],
            output=document.row[target],
        )

    return to_example


def _task(name: str, source: str, target: str) -> Task:
    return Task(
        name=name,
        family="translation",
        title=f"sentences from {source.title()} to {target.title()} (generated world)",
        source=WorldSource("translation"),
        to_example=_direction(source, target),
        protocols={
            "plain": Protocol(
                kind="generate",
                query="{input} =",
                separator="\n",
                metrics=("bleu",),
                decoding=Decoding(until=("\n",), max_tokens=32),
            )
        },
        baselines={"copy": lambda example, pool: example.input},
    )


TASKS = (_task("world_en_fr", "english", "french"), _task("world_fr_en", "french", "english"))
