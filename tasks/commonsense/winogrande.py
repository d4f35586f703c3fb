"""WinoGrande: which of two names a blank stands for; schemas from a crowd, without those that word statistics solve.

Paper: Sakaguchi et al. 2020, "WinoGrande: An Adversarial Winograd Schema Challenge at Scale",
https://arxiv.org/abs/1907.10641.
Link: https://winogrande.allenai.org.
Splits: validation, 1,267 (the test labels are not public); shots from train XL (40,398) if it is there, else
from validation. Two sentences that differ in a word are a twin; where the release names them (qID) they are a cluster.
Partial scoring (Trinh & Le 2018): the likelihood of what follows the blank, after each name.

    document  {"sentence": "Sarah was a much better surgeon than Maria so _ always got the easier cases.",
               "option1": "Sarah", "option2": "Maria", "answer": "2"}
    prompt    Sarah was a much better surgeon than Maria so Maria
    target     always got the easier cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.data.rows import choice_of
from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    name = row.get("qID", "")
    yield Document(id=name or str(index), row=row, cluster=name.rpartition("-")[0])


def _to_example(document: Document) -> Example:
    row = document.row
    before, blank, after = row["sentence"].partition("_")
    if not blank:
        raise ValueError("expected a sentence with a blank _")
    choices = (row["option1"], row["option2"])
    gold = choice_of(row["answer"], choices, first=1)
    return choice_example(
        "say what the blank stands for",
        input=row["sentence"],
        parts={"before": before, "after": after},
        choices=choices,
        gold=gold,
    )


_PARTIAL = "{before}{choice}"

TASKS = (
    Task(
        name="winogrande",
        family="commonsense",
        title="which of two names a blank stands for (Sakaguchi et al. 2020)",
        licence="Apache-2.0 for the code, CC BY for the data",
        source=BenchmarkSource(
            name="winogrande",
            hub=Hub(id="allenai/winogrande", config="winogrande_xl", splits={"test": "validation", "shots": "train"}),
            releases=released("winogrande/dev.jsonl", shots="winogrande/train_xl.jsonl"),
        ),
        documents=_documents,
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query=_PARTIAL,
                target="{after}",
                metrics=("acc", "acc_per_token"),
                paper_shots=50,
                templates={
                    "correct_sentence": {"query": f"A correct sentence: {_PARTIAL}"},
                    "question": {
                        "query": "{input}\nWhat does the _ stand for?\nAnswer:",
                        "target": " {choice}",
                    },
                },
            ),
            "lm-eval": Protocol(kind="choice", query=_PARTIAL, target="{after}", metrics=("acc",)),
        },
    ),
)
