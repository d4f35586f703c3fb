"""MNLI: whether a sentence follows from another, contradicts it, or neither, in ten kinds of text.

Paper: Williams, Nangia and Bowman 2018, "A Broad-Coverage Challenge Corpus for Sentence Understanding through
Inference", https://arxiv.org/abs/1704.05426; a task of GLUE, https://arxiv.org/abs/1804.07461.
Splits: GLUE's validation, matched (mnli, 9,815 pairs of the training set's kinds of text) and mismatched (mnli_mm,
9,832 of other kinds); shots from train (392,702). A document is a pair, named by its position.

    document  {"premise": "The new rights are nice enough", "hypothesis": "Everyone really likes the newest benefits ",
               "label": 1}; 0 follows, 1 neither, 2 contradicts
    prompt    The new rights are nice enough
              Question: Everyone really likes the newest benefits. True, False or Neither?
              Answer:
    target     Neither
"""

from __future__ import annotations

from dataclasses import replace

from evalkit.data.glue import glue
from evalkit.harness.examples import sentence_pair
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_pair = sentence_pair(
    "premise",
    "hypothesis",
    task="say whether the second text is true, false or neither by the first",
    choices=("True", "Neither", "False"),
)


def _to_example(document: Document) -> Example:
    """Add the hypothesis as lm-evaluation-harness asks it, with a full stop at its end."""
    example = _pair(document)
    hypothesis = example.parts["hypothesis"]
    claim = hypothesis if hypothesis.endswith(".") else f"{hypothesis}."
    return replace(example, parts={**example.parts, "claim": claim})


def _task(name: str, split: str, title: str) -> Task:
    return Task(
        name=name,
        family="nli",
        title=f"does a sentence follow from another, {title} (Williams et al. 2018)",
        licence="that of its sources, in part CC BY-SA 3.0",
        source=glue(name, config="mnli", validation=f"validation_{split}"),
        to_example=_to_example,
        protocols={
            "lm-eval": Protocol(
                kind="choice",
                query="{premise}\nQuestion: {claim} True, False or Neither?\nAnswer:",
                target=" {choice}",
                metrics=("acc",),
            )
        },
    )


TASKS = (_task("mnli", "matched", "known kinds of text"), _task("mnli_mm", "mismatched", "other kinds of text"))
