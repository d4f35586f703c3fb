"""Summaries of short news articles in the generated world, asked for with "TL;DR:" as in GPT-2.

The first sentence of an article only sets the scene; who, what and where are spread over the next ones. Level "event":
one event; "salience": two, of which the one that people talk about counts; "crowd": with the rounded number of people.

    It was a cold Monday and the streets were quiet. In Elmby the shops were open. Then a cook found a ring.
    TL;DR: A cook found a ring in Elmby.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from evalkit.data.sources import WorldSource
from evalkit.harness.task import Protocol, Task, document_per_row
from evalkit.types import Decoding, Document, Example


def _to_example(document: Document) -> Example:
    row = document.row
    return Example(
        task="summarize the article",
        input=row["article"],
        output=row["summary"],
        parts={"sentences": "\n".join(row["sentences"])},
    )


def _lead(example: Example, count: int) -> str:
    return " ".join(example.parts["sentences"].split("\n")[:count])


def _random(example: Example, pool: Sequence[Example]) -> str:
    """One sentence, chosen by a hash of the article."""
    sentences = example.parts["sentences"].split("\n")
    return sentences[sha256(example.input.encode()).digest()[0] % len(sentences)]


TASKS = (
    Task(
        name="world_summary",
        family="summarization",
        title="one-sentence summaries of news (generated world)",
        licence="Apache-2.0",
        source=WorldSource("summary"),
        suites={"world-quick": ("event",), "world-hard": ("salience", "crowd")},
        to_example=_to_example,
        documents=document_per_row(level="level"),
        protocols={
            "plain": Protocol(
                kind="generate",
                query="{input}\nTL;DR:",
                metrics=("rouge2", "rouge1", "rougeL", "verbatim_match"),
                decoding=Decoding(until=("\n",), max_tokens=40),
                shrink=("input", "left"),
            )
        },
        # "other" gives away how summaries are worded: what is above it comes from the article.
        baselines={
            "lead_1": lambda example, pool: _lead(example, 1),
            "lead_3": lambda example, pool: _lead(example, 3),
            "random": _random,
            "other": lambda example, pool: pool[0].output,
        },
    ),
)
