"""QNLI: whether a sentence of Wikipedia answers a question.

Made of SQuAD (Rajpurkar et al. 2016) for GLUE, Wang et al. 2019, https://arxiv.org/abs/1804.07461.
Splits: GLUE's validation, 5,463 pairs; shots from train (104,743). A document is a pair, named by its position.

    document  {"question": "What came into force after the new constitution was herald?",
               "sentence": "As of that day, the new constitution heralding the Second Republic came into force.",
               "label": 0}; 0 it does, 1 it does not
    prompt    What came into force after the new constitution was herald?
              As of that day, the new constitution heralding the Second Republic came into force.
              Question: Does this response answer the question?
              Answer:
    target     yes
"""

from __future__ import annotations

from evalkit.data.glue import glue
from evalkit.harness.examples import sentence_pair
from evalkit.harness.task import Protocol, Task

_to_example = sentence_pair(
    "question", "sentence", task="say whether the sentence answers the question", choices=("yes", "no")
)

TASKS = (
    Task(
        name="qnli",
        family="nli",
        title="whether a sentence answers a question (GLUE, made of SQuAD)",
        licence="CC BY-SA 4.0",
        source=glue("qnli"),
        to_example=_to_example,
        protocols={
            "lm-eval": Protocol(
                kind="choice",
                query="{question}\n{sentence}\nQuestion: Does this response answer the question?\nAnswer:",
                target=" {choice}",
                metrics=("acc",),
            )
        },
    ),
)
