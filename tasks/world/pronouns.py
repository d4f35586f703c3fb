"""Pronoun schemas of the generated world in alternate pairs, as in the Winograd Schema Challenge.

    The cup did not fit into the basket because [the cup | the basket] was too big.

Scored as GPT-2 does (partial scoring, Trinh & Le 2018): the likelihood of the ending after each noun phrase.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.harness.sources import WorldSource
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    """One document a row; both alternates of an instance share a cluster, the level is the schema."""
    yield Document(id=row["id"], row=row, cluster=row["pair"], level=row["schema"])


def _to_example(document: Document) -> Example:
    row = document.row
    return Example(
        task="say what the pronoun stands for",
        input=f"{row['before']} {row['pronoun']} {row['after']}",
        output=row["choices"][row["gold"]],
        parts={"before": row["before"], "after": row["after"]},
        choices=tuple(row["choices"]),
        gold=row["gold"],
    )


TASKS = (
    Task(
        name="world_pronouns",
        family="cloze",
        title="what a pronoun stands for (generated world)",
        source=WorldSource("pronouns"),
        to_example=_to_example,
        documents=_documents,
        protocols={
            "plain": Protocol(
                kind="choice", query="{before} {choice}", target=" {after}", separator="\n", metrics=("acc",)
            )
        },
    ),
)
