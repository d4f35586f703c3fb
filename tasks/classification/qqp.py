"""QQP: whether two questions from Quora ask the same.

Source: Quora's question pairs of 2017, https://quoradata.quora.com/First-Quora-Dataset-Release-Question-Pairs; a task
of GLUE, Wang et al. 2019, https://arxiv.org/abs/1804.07461. Licence: Quora's terms, not for commerce.
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

from evalkit.data.rows import choice_of
from evalkit.data.sources import BenchmarkSource, Hub
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_CHOICES = ("no", "yes")


def _to_example(document: Document) -> Example:
    row = document.row
    first, second = row["question1"].strip(), row["question2"].strip()
    gold = choice_of(row["label"], _CHOICES)
    return Example(
        task="say whether the two questions ask the same",
        input=f"{first}\n{second}",
        output=_CHOICES[gold],
        parts={"question1": first, "question2": second},
        choices=_CHOICES,
        gold=gold,
    )


TASKS = (
    Task(
        name="qqp",
        family="classification",
        title="whether two questions ask the same (Quora 2017, GLUE)",
        source=BenchmarkSource(
            name="qqp",
            hub=Hub(id="nyu-mll/glue", config="qqp", splits={"test": "validation", "shots": "train"}),
        ),
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
