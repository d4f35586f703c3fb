"""QQP: whether two questions from Quora ask the same.

Source: Quora's question pairs of 2017, https://quoradata.quora.com/First-Quora-Dataset-Release-Question-Pairs; a task
of GLUE, Wang et al. 2019, https://arxiv.org/abs/1804.07461.
Splits: GLUE's validation, 40,430 pairs; shots from train (363,846). A document is a pair, named by its position.

    document  {"question1": "Why are African-Americans so beautiful?",
               "question2": "Why are hispanics so beautiful?", "label": 0}
    prompt    Question 1: Why are African-Americans so beautiful?
              Question 2: Why are hispanics so beautiful?
              Question: Do both questions ask the same thing?
              Answer:
    target     no
"""

from __future__ import annotations

from evalkit.data.glue import glue
from evalkit.harness.examples import sentence_pair
from evalkit.harness.task import Protocol, Task

_to_example = sentence_pair(
    "question1", "question2", task="say whether the two questions ask the same", choices=("no", "yes")
)

TASKS = (
    Task(
        name="qqp",
        family="classification",
        title="whether two questions ask the same (Quora 2017, GLUE)",
        licence="Quora's terms, not for commerce",
        source=glue("qqp"),
        to_example=_to_example,
        protocols={
            "lm-eval": Protocol(
                kind="choice",
                query=(
                    "Question 1: {question1}\nQuestion 2: {question2}\n"
                    "Question: Do both questions ask the same thing?\nAnswer:"
                ),
                target=" {choice}",
                metrics=("acc", "label_f1"),
            )
        },
    ),
)
