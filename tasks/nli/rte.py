"""RTE: whether a sentence follows from a short text.

Papers: Dagan et al. 2006 and its three successors, https://doi.org/10.1007/11736790_9; in this form a part of
SuperGLUE, Wang et al. 2019, https://arxiv.org/abs/1905.00537.
Licence: that of the research data of its authors.
Splits: validation, 277 pairs; shots from train (2,490) where it is at hand, else from the scored split.
A document is a pair, named by its position.

    document  {"premise": "Dana Reeve, the widow of ...", "hypothesis": "Christopher Reeve had an accident.",
               "label": 1, "idx": 0}
    prompt    Dana Reeve, the widow of the actor Christopher Reeve, has died of lung cancer at age 44, ...
              question: Christopher Reeve had an accident. True or False?
              answer:
    target     False
"""

from __future__ import annotations

from evalkit.data.rows import choice_of
from evalkit.data.sources import BenchmarkSource, Hub, Release, read_jsonl
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_CHOICES = ("True", "False")
# The hub numbers the labels, the release names them.
_NAMES = ("entailment", "not_entailment")


def _to_example(document: Document) -> Example:
    row = document.row
    premise, hypothesis = row["premise"].strip(), row["hypothesis"].strip()
    gold = choice_of(row["label"], _CHOICES, names=_NAMES, numbered=True)
    return Example(
        task="say whether the second text follows from the first",
        input=f"{premise}\n{hypothesis}",
        output=_CHOICES[gold],
        parts={"premise": premise, "hypothesis": hypothesis},
        choices=_CHOICES,
        gold=gold,
    )


TASKS = (
    Task(
        name="rte",
        family="nli",
        title="does a sentence follow from a text (Dagan et al. 2006, SuperGLUE)",
        source=BenchmarkSource(
            name="rte",
            hub=Hub(id="aps/super_glue", config="rte", splits={"test": "validation", "shots": "train"}),
            releases={
                "test": Release(files=("superglue/RTE/val.jsonl",), read=read_jsonl),
                "shots": Release(files=("superglue/RTE/train.jsonl",), read=read_jsonl),
            },
            samples={
                "test": Release(files=("superglue/rte-val.jsonl",), read=read_jsonl),
                "shots": Release(files=("superglue/rte-train.jsonl",), read=read_jsonl),
            },
        ),
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query="{premise}\nquestion: {hypothesis} True or False?\nanswer:",
                target=" {choice}",
                metrics=("acc", "acc_per_token"),
                shrink=("premise", "left"),
                paper_shots=32,
                templates={
                    "follows": {"query": "{premise}\nIt follows that: {hypothesis}\nTrue or False?"},
                    "given": {"query": "Given: {premise}\nClaim: {hypothesis}\nThe claim is"},
                },
            ),
            "lm-eval": Protocol(
                kind="choice",
                query="{premise}\nQuestion: {hypothesis} True or False?\nAnswer:",
                target=" {choice}",
                metrics=("acc",),
                shrink=("premise", "left"),
            ),
        },
    ),
)
