"""Pairs under a rule that only the examples in the prompt reveal; the level is the family of the rule.

    ring donkey -> donkey

Rules of the level "new" occur in no training text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalkit.data.sources import WorldSource
from evalkit.harness.task import Protocol, Task, document_per_row
from evalkit.types import Decoding, Document, Example


def _rule(document: Document) -> str:
    return str(document.row["rule"])


def _shuffled(shots: Sequence[Example]) -> Sequence[Example]:
    """Give each shot the answer of the next one: inputs and answers look as before, but follow no rule."""
    return [
        replace(shot, output=following.output) for shot, following in zip(shots, [*shots[1:], shots[0]], strict=True)
    ]


def _to_example(document: Document) -> Example:
    return Example(task="continue the pattern", input=document.row["input"], output=document.row["output"])


TASKS = (
    Task(
        name="world_patterns",
        family="patterns",
        title="input -> output under a hidden rule (generated world)",
        licence="Apache-2.0",
        source=WorldSource("patterns"),
        suites={"world-quick": ("word",), "world-hard": ("number", "scramble", "new")},
        to_example=_to_example,
        documents=document_per_row(level="level"),
        shot_group=_rule,
        shot_controls={"shuffled_answers": _shuffled},
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
