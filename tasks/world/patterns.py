"""Pairs under a rule that only the examples in the prompt reveal; the level is the rule.

ring donkey mouse -> mouse donkey ring
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.harness.sources import WorldSource
from evalkit.harness.task import Protocol, Task
from evalkit.types import Decoding, Document, Example


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    yield Document(id=row["id"], row=row, level=row["rule"])


def _rule(document: Document) -> str:
    return str(document.row["rule"])


def _to_example(document: Document) -> Example:
    return Example(task="continue the pattern", input=document.row["input"], output=document.row["output"])


TASKS = (
    Task(
        name="world_patterns",
        family="patterns",
        title="input -> output under a hidden rule (generated world)",
        source=WorldSource("patterns"),
        to_example=_to_example,
        documents=_documents,
        shot_group=_rule,
        protocols={
            "plain": Protocol(
                kind="generate",
                query="{input} ->",
                separator="\n",
                metrics=("verbatim_match",),
                decoding=Decoding(until=("\n",), max_tokens=16),
            )
        },
    ),
)
