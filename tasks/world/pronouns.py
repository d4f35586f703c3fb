"""Pronoun schemas of the generated world in alternate pairs, as in the Winograd Schema Challenge.

    The cup did not fit into the basket because [the cup | the basket] was too big.

world_pronouns is scored as GPT-2 does (partial scoring, Trinh & Le 2018): the likelihood of the ending after each noun
phrase. world_coreference asks:

    The cup did not fit into the basket because it was too big.
    Q: What was too big?
    A: the cup

Level "thing": what the nouns are tells much; "person": only the verb and the order do; "nested": a third is named.
"""

from __future__ import annotations

from evalkit.data.sources import WorldSource
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task, document_per_row
from evalkit.types import Document, Example


def _to_example(document: Document) -> Example:
    row = document.row
    return choice_example(
        "say what the pronoun stands for",
        input=f"{row['before']} {row['pronoun']} {row['after']}",
        parts={"before": row["before"], "after": row["after"], "question": row["question"]},
        choices=row["choices"],
        gold=row["gold"],
    )


def _task(name: str, title: str, protocol: Protocol) -> Task:
    return Task(
        name=name,
        family="cloze",
        title=f"{title} (generated world)",
        licence="Apache-2.0",
        source=WorldSource("pronouns"),
        suites={"world-quick": ("thing",), "world-hard": ("person", "nested")},
        to_example=_to_example,
        documents=document_per_row(cluster="pair", level="level"),
        protocols={"plain": protocol},
    )


TASKS = (
    _task(
        "world_pronouns",
        "what a pronoun stands for, by the likelihood of the ending",
        Protocol(kind="choice", query="{before} {choice}", target=" {after}", separator="\n", metrics=("acc",)),
    ),
    _task(
        "world_coreference",
        "what a pronoun stands for, as a question",
        Protocol(
            kind="choice",
            query="{input}\nQ: {question}\nA:",
            target=" {choice}",
            separator="\n",
            metrics=("acc", "acc_per_token"),
        ),
    ),
)
