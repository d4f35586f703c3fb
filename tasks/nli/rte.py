"""RTE: whether a sentence follows from a short text.

Papers: Dagan et al. 2006 and its three successors, https://doi.org/10.1007/11736790_9; in this form a part of
SuperGLUE, Wang et al. 2019, https://arxiv.org/abs/1905.00537.
Splits: validation, 277 pairs; shots from train (2,490) if it is there, otherwise from the scored split.
A document is a pair, named by its position.

    document  {"premise": "Dana Reeve, the widow of ...", "hypothesis": "Christopher Reeve had an accident.",
               "label": 1, "idx": 0}
    prompt    Dana Reeve, the widow of the actor Christopher Reeve, has died of lung cancer at age 44, ...
              question: Christopher Reeve had an accident. True or False?
              answer:
    target     False
"""

from __future__ import annotations

from evalkit.data.glue import superglue
from evalkit.data.sources import released
from evalkit.harness.examples import sentence_pair
from evalkit.harness.task import Protocol, Task

_to_example = sentence_pair(
    "premise",
    "hypothesis",
    task="say whether the second text follows from the first",
    choices=("True", "False"),
    # The hub numbers the labels; the release names them.
    names=("entailment", "not_entailment"),
)

TASKS = (
    Task(
        name="rte",
        family="nli",
        title="does a sentence follow from a text (Dagan et al. 2006, SuperGLUE)",
        licence="the authors' own, for research",
        source=superglue(
            "rte", folder="RTE", samples=released("superglue/rte-val.jsonl", shots="superglue/rte-train.jsonl")
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
