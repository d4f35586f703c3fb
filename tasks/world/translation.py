"""Translation of single sentences between English and French in the generated world.

    The cat slept near the lake. = Le chat a dormi près du lac.

A sentence has one level, by the hardest that it shows: "simple" (frequent words, short), "agreement" (plurals, tenses,
negation), "relative" (relative clauses), "idiom" (what is not said word by word), "rare" (words of the Zipf tail).
"""

from __future__ import annotations

from collections.abc import Callable

from evalkit.data.sources import WorldSource
from evalkit.harness.task import Protocol, Task, document_per_row
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
        licence="Apache-2.0",
        languages=(source[:2], target[:2]),
        source=WorldSource("translation"),
        suites={"world-quick": ("simple",), "world-hard": ("agreement", "relative", "idiom", "rare")},
        to_example=_direction(source, target),
        documents=document_per_row(level="level"),
        protocols={
            "plain": Protocol(
                kind="generate",
                query="{input} =",
                separator="\n",
                metrics=("bleu",),
                decoding=Decoding(until=("\n",), max_tokens=48),
            )
        },
        baselines={"copy": lambda example, pool: example.input},
    )


TASKS = (_task("world_en_fr", "english", "french"), _task("world_fr_en", "french", "english"))
