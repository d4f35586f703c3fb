"""CommitmentBank: whether the writer of a short text is committed to a clause in it.

Papers: de Marneffe, Simons and Tonhauser 2019, "The CommitmentBank", https://doi.org/10.18148/sub/2019.v23i2.601; in
this form a part of SuperGLUE, Wang et al. 2019, https://arxiv.org/abs/1905.00537.
Licence: that of the research data of its authors.
Splits: validation, 56 pairs; shots from train (250) where it is at hand, else from the scored split.
A document is a pair, named by its position. The classes are unequal (23 true, 28 false, 5 neither), so the mean of
their F1 stands beside accuracy.

    document  {"premise": "Valence the void-brain, Valence the virtuous valet. ...", "hypothesis":
               "Valence was helping", "label": 1, "idx": 0}
    prompt    Valence the void-brain, Valence the virtuous valet. ... Did he think he was helping?
              question: Valence was helping. true, false, or neither?
              answer:
    target     false
"""

from __future__ import annotations

from evalkit.data.rows import choice_of
from evalkit.data.sources import BenchmarkSource, Hub, Release, read_jsonl
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_CHOICES = ("true", "false", "neither")
# The hub numbers the labels, the release names them.
_NAMES = ("entailment", "contradiction", "neutral")


def _to_example(document: Document) -> Example:
    row = document.row
    premise, hypothesis = row["premise"].strip(), row["hypothesis"].strip()
    gold = choice_of(row["label"], _CHOICES, names=_NAMES, numbered=True)
    return Example(
        task="say whether the clause is true, false or neither by the text",
        input=f"{premise}\n{hypothesis}",
        output=_CHOICES[gold],
        parts={"premise": premise, "hypothesis": hypothesis},
        choices=_CHOICES,
        gold=gold,
    )


TASKS = (
    Task(
        name="cb",
        family="nli",
        title="is a writer committed to a clause (de Marneffe et al. 2019, SuperGLUE)",
        source=BenchmarkSource(
            name="cb",
            hub=Hub(id="aps/super_glue", config="cb", splits={"test": "validation", "shots": "train"}),
            releases={
                "test": Release(files=("superglue/CB/val.jsonl",), read=read_jsonl),
                "shots": Release(files=("superglue/CB/train.jsonl",), read=read_jsonl),
            },
            samples={"test": Release(files=("superglue/cb-validation.jsonl",), read=read_jsonl)},
        ),
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query="{premise}\nquestion: {hypothesis}. true, false, or neither?\nanswer:",
                target=" {choice}",
                metrics=("acc", "macro_f1", "acc_per_token", "macro_f1_per_token"),
                shrink=("premise", "left"),
                paper_shots=32,
                templates={
                    "claim": {"query": "{premise}\nClaim: {hypothesis}.\nBy the text above, the claim is"},
                    "say": {"query": 'Text: {premise}\nIs it true, false, or neither that "{hypothesis}"?\nIt is'},
                },
            )
        },
    ),
)
