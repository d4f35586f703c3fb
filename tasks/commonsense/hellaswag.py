"""HellaSwag: which of four endings follows; the wrong ones were written by a machine and picked to fool machines.

Paper: Zellers et al. 2019, "HellaSwag: Can a Machine Really Finish Your Sentence?", https://arxiv.org/abs/1905.07830.
Link: https://rowanzellers.com/hellaswag. Licence: MIT.
Splits: validation, 10,042 (the test labels are not public); shots from train (39,905) where it is at hand, else from
validation. Cluster: the video or page that an item is from. Level: whether its kind of activity occurs in train.
A copy of the validation split with the markers [header], [step], [title] already taken out is read too; it has
neither sources nor levels, and its context is not parted.

    document  {"ind": 24, "activity_label": "Roof shingle removal", "ctx_a": "A man is sitting on a roof.",
               "ctx_b": "he", "ctx": "A man is sitting on a roof. he",
               "endings": ["is using wrap to wrap a pair of skis.", ...], "label": "3"}
    prompt    Roof shingle removal: A man is sitting on a roof. he
    target     starts pulling up roofing on a roof.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.data.rows import choice_of, texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Release, Row, read_jsonl
from evalkit.errors import DataError
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_MARKER = re.compile(r"\[.*?\]")


def _clean(text: str) -> str:
    """Take WikiHow's markers out: [title] ends a sentence, the others say nothing."""
    return _MARKER.sub("", text.replace(" [title]", ". ")).replace("  ", " ").strip()


def _read_cleaned(paths: Sequence[Path]) -> Iterator[Row]:
    """Give the cleaned copy the hub's columns."""
    for number, row in enumerate(read_jsonl(paths), start=1):
        try:
            label, colon, context = row["query"].partition(": ")
            if not colon:
                raise ValueError("no 'activity: ' in query")
            yield {
                "ind": row["ind"],
                "activity_label": label,
                "ctx": context,
                "endings": row["choices"],
                "label": row["gold"],
            }
        except (KeyError, ValueError, AttributeError) as error:
            raise DataError(f"{paths[0]} row {number}: expected ind, query, choices and gold ({error})") from None


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    yield Document(id=str(row["ind"]), row=row, cluster=row.get("source_id", ""), level=row.get("split_type", ""))


def _to_example(document: Document) -> Example:
    row = document.row
    context, capitalised = row["ctx"], row["ctx"]
    if row.get("ctx_b"):
        capitalised = f"{row['ctx_a']} {row['ctx_b'].capitalize()}"
    choices = tuple(_clean(ending) for ending in texts_of(row["endings"], "endings"))
    gold = choice_of(row["label"], choices)
    return Example(
        task="choose the ending that follows",
        input=_clean(f"{row['activity_label']}: {context}"),
        output=choices[gold],
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
        source=BenchmarkSource(
            name="hellaswag",
            hub=Hub(id="Rowan/hellaswag", splits={"test": "validation", "shots": "train"}),
            releases={
                "test": Release(files=("hellaswag/hellaswag_val.jsonl",), read=read_jsonl),
                "shots": Release(files=("hellaswag/hellaswag_train.jsonl",), read=read_jsonl),
            },
            samples={"test": Release(files=("hellaswag/hellaswag_val_full.jsonl",), read=_read_cleaned)},
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
            # The second sentence's beginning gets a capital; the cleaned copy cannot tell where it stands.
            "lm-eval": Protocol(
                kind="choice", query="{capitalised}", target=" {choice}", metrics=("acc", "acc_per_char")
            ),
        },
    ),
)
