"""Perplexity of held-out pages of the generated world, eight of each kind; the level is the kind of page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.data.sources import WorldSource
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    yield Document(id=row["id"], row=row, level=row["kind"])


def _to_example(document: Document) -> Example:
    return Example(task="continue the text", input=document.row["text"], output="")


TASKS = (
    Task(
        name="world_lm",
        family="lm",
        title="perplexity of held-out pages (generated world)",
        source=WorldSource("lm"),
        to_example=_to_example,
        documents=_documents,
        protocols={
            "plain": Protocol(
                kind="rolling", query="{input}", target="", metrics=("ppl_word", "ppl_token", "bits_per_byte")
            )
        },
    ),
)
