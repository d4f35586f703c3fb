"""WiC: whether a word has the same meaning in two sentences.

Paper: Pilehvar and Camacho-Collados 2019, "WiC: the Word-in-Context Dataset", https://arxiv.org/abs/1808.09121; here as
a part of SuperGLUE (Wang et al. 2019).
Splits: validation, 638 pairs; shots from train (5,428) if it is there, otherwise from the scored split.
A document is a pair of sentences, named by its position.

    document  {"word": "place", "sentence1": "Do you want to come over to my place later?", "sentence2": "A political
               system with no place for the less prominent groups.", "label": 0, "idx": 0}
    prompt    Do you want to come over to my place later?
              A political system with no place for the less prominent groups.
              question: Is the word 'place' used in the same way in the two sentences above?
              answer:
    target     no
"""

from __future__ import annotations

from evalkit.data.glue import superglue
from evalkit.data.rows import choice_of
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_CHOICES = ("no", "yes")
_GOLD = {False: 0, True: 1}  # 0 and 1 too, as the hub has them


def _to_example(document: Document) -> Example:
    row = document.row
    first, second = row["sentence1"].strip(), row["sentence2"].strip()
    gold = choice_of(row["label"], _CHOICES, names=_GOLD)
    return choice_example(
        "say whether the word is used in the same way in both sentences",
        input=f"{first}\n{second}\n{row['word']}",
        parts={"first": first, "second": second, "word": row["word"]},
        choices=_CHOICES,
        gold=gold,
    )


TASKS = (
    Task(
        name="wic",
        family="nli",
        title="has a word the same meaning in two sentences (Pilehvar et al. 2019, SuperGLUE)",
        licence="CC BY-NC 4.0",
        source=superglue("wic", folder="WiC"),
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query=(
                    "{first}\n{second}\n"
                    "question: Is the word '{word}' used in the same way in the two sentences above?\nanswer:"
                ),
                target=" {choice}",
                metrics=("acc", "acc_per_token"),
                paper_shots=32,
            )
        },
    ),
)
