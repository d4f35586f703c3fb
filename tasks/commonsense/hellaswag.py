"""HellaSwag: which of four endings follows; the wrong ones were written by a machine and picked to fool machines.

Paper: Zellers et al. 2019, "HellaSwag: Can a Machine Really Finish Your Sentence?", https://arxiv.org/abs/1905.07830.
Link: https://rowanzellers.com/hellaswag.
Splits: validation, 10,042 (the test labels are not public); shots from train (39,905) if it is there, else from
validation. Cluster: the video or page that an item is from. Level: whether its kind of activity occurs in train.
A copy of the validation split with the markers [header], [step], [title] already taken out is read too; it has
neither sources nor levels, and its context is not split.

    document  {"ind": 24, "activity_label": "Roof shingle removal", "ctx_a": "A man is sitting on a roof.",
               "ctx_b": "he", "ctx": "A man is sitting on a roof. he",
               "endings": ["is using wrap to wrap a pair of skis.", ...], "label": "3"}
    prompt    Roof shingle removal: A man is sitting on a roof. he
    target     starts pulling up roofing on a roof.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.data.formats import read_records
from evalkit.data.rows import choice_of, texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Row, released
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_MARKER = re.compile(r"\[.*?\]")


def _clean(text: str) -> str:
    """Remove WikiHow's markers: [title] ends a sentence, the others carry no text."""
    return _MARKER.sub("", text.replace(" [title]", ". ")).replace("  ", " ").strip()


def _cleaned_row(record: Mapping[str, Any]) -> Iterable[Row]:
    """Give a record of the cleaned copy the hub's columns."""
    activity, colon, context = record["query"].partition(": ")
    if not colon:
        raise ValueError("expected 'ACTIVITY: CONTEXT' in query")
    yield {
        "ind": record["ind"],
        "activity_label": activity,
        "ctx": context,
        "endings": record["choices"],
        "label": record["gold"],
    }


_read_cleaned = read_records(_cleaned_row, expected="ind, query, choices and gold")


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    yield Document(id=str(row["ind"]), row=row, cluster=row.get("source_id", ""), level=row.get("split_type", ""))


def _to_example(document: Document) -> Example:
    row = document.row
    context, capitalised = row["ctx"], row["ctx"]
    if row.get("ctx_b"):
        capitalised = f"{row['ctx_a']} {row['ctx_b'].capitalize()}"
    choices = tuple(_clean(ending) for ending in texts_of(row["endings"], "endings"))
    gold = choice_of(row["label"], choices)
    return choice_example(
        "choose the ending that follows",
        input=_clean(f"{row['activity_label']}: {context}"),
        parts={
            "capitalised": _clean(f"{row['activity_label']}: {capitalised}"),
            "activity": row["activity_label"],
            "context": _clean(context),
        },
        choices=choices,
        gold=gold,
    )


TASKS = (
    Task(
        name="hellaswag",
        family="commonsense",
        title="which of four endings follows (Zellers et al. 2019)",
        licence="MIT",
        source=BenchmarkSource(
            name="hellaswag",
            hub=Hub(id="Rowan/hellaswag", splits={"test": "validation", "shots": "train"}),
            releases=released("hellaswag/hellaswag_val.jsonl", shots="hellaswag/hellaswag_train.jsonl"),
            samples=released("hellaswag/hellaswag_val_full.jsonl", read=_read_cleaned),
        ),
        documents=_documents,
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query="{input}",
                target=" {choice}",
                metrics=("acc_per_token", "acc", "acc_per_char", "acc_per_byte"),
                paper_shots=20,
                templates={
                    "context_alone": {"query": "{context}"},
                    "title": {"query": "{activity}\n{context}"},
                    "how_does_it_end": {"query": "Topic: {activity}\nText: {context}\nHow does it go on?"},
                },
            ),
            # The second sentence is capitalised; the cleaned copy does not show where it begins.
            "lm-eval": Protocol(
                kind="choice", query="{capitalised}", target=" {choice}", metrics=("acc", "acc_per_char")
            ),
        },
    ),
)
