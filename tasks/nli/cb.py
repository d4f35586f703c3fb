"""CommitmentBank: is the writer of a short text committed to a clause in it?

Papers: de Marneffe, Simons and Tonhauser 2019, "The CommitmentBank", https://doi.org/10.18148/sub/2019.v23i2.601; in
this form a part of SuperGLUE, Wang et al. 2019, https://arxiv.org/abs/1905.00537.
Splits: validation, 56 pairs; shots from train (250) if it is there, otherwise from the scored split.
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

from evalkit.data.glue import superglue
from evalkit.data.sources import released
from evalkit.harness.examples import sentence_pair
from evalkit.harness.task import Protocol, Task

_to_example = sentence_pair(
    "premise",
    "hypothesis",
    task="say whether the clause is true, false or neither by the text",
    choices=("true", "false", "neither"),
    # The hub numbers the labels; the release names them.
    names=("entailment", "contradiction", "neutral"),
)

TASKS = (
    Task(
        name="cb",
        family="nli",
        title="is a writer committed to a clause (de Marneffe et al. 2019, SuperGLUE)",
        licence="the authors' own, for research",
        source=superglue("cb", folder="CB", samples=released("superglue/cb-validation.jsonl")),
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
