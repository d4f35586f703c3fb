"""Summaries of short news articles in the generated world, asked for with "TL;DR:" as in GPT-2.

The first sentence of an article only sets the scene; who, what and where are spread over the next ones.

    It was a cold Monday and the streets were quiet. In Elmby the shops were open. Then a cook found a ring.
    TL;DR: A cook found a ring in Elmby.
"""

from __future__ import annotations

from evalkit.harness.sources import WorldSource
from evalkit.harness.task import Protocol, Task
from evalkit.types import Decoding, Document, Example


def _to_example(document: Document) -> Example:
    row = document.row
    return Example(
        task="summarize the article",
        input=row["article"],
        output=row["summary"],
        parts={"lead": row["sentences"][0]},
    )


TASKS = (
    Task(
        name="world_summary",
        family="summarization",
        title="one-sentence summaries of news (generated world)",
        source=WorldSource("summary"),
        to_example=_to_example,
        protocols={
            "plain": Protocol(
                kind="generate",
                query="{input}\nTL;DR:",
                metrics=("rouge1", "rouge2", "rougeL"),
                decoding=Decoding(until=("\n",), max_tokens=24),
                shrink=("input", "left"),
            )
        },
        # "other" gives away how summaries are worded: what is above it comes from the article.
        baselines={
            "lead_1": lambda example, pool: example.parts["lead"],
            "other": lambda example, pool: pool[0].output,
        },
    ),
)
