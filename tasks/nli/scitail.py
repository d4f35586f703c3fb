"""SciTail: whether a claim, made of a school's science question, follows from a sentence of the web.

Paper: Khot, Sabharwal and Clark 2018, "SciTail: A Textual Entailment Dataset from Science Question Answering",
https://doi.org/10.1609/aaai.v32i1.12022.
Licence: Apache-2.0.
Splits: test, 2,126 pairs; shots from train (23,596). A folder nli/scitail with dev.txt and test.txt (premise,
hypothesis and 0 follows or 1 does not, parted by tabs) is read too: shots are then from dev, 1,304 pairs.
A document is a pair, named by its position.

    document  {"premise": "Based on the list provided of the uses of substances ...",
               "hypothesis": "If a substance has a ph value greater than 7, that indicates that it is base.",
               "label": "neutral"}
    prompt    Based on the list provided of the uses of substances ...
              Question: If a substance has a ph value greater than 7, that indicates that it is base. True or False?
              Answer:
    target     False
"""

from __future__ import annotations

from evalkit.data.formats import read_table
from evalkit.data.rows import choice_of
from evalkit.data.sources import BenchmarkSource, Hub, Release
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_CHOICES = ("True", "False")
# The release names the labels, the sample numbers them.
_NAMES = ("entails", "neutral")
_read = read_table(("premise", "hypothesis", "label"), delimiter="\t")


def _to_example(document: Document) -> Example:
    row = document.row
    premise, hypothesis = row["premise"].strip(), row["hypothesis"].strip()
    gold = choice_of(row["label"], _CHOICES, names=_NAMES, numbered=True)
    return Example(
        task="say whether the second sentence follows from the first",
        input=f"{premise}\n{hypothesis}",
        output=_CHOICES[gold],
        parts={"premise": premise, "hypothesis": hypothesis},
        choices=_CHOICES,
        gold=gold,
    )


def _release(split: str) -> Release:
    return Release(files=(f"SciTailV1.1/tsv_format/scitail_1.0_{split}.tsv",), read=_read)


TASKS = (
    Task(
        name="scitail",
        family="nli",
        title="whether a claim of science follows from a sentence (Khot et al. 2018)",
        source=BenchmarkSource(
            name="scitail",
            hub=Hub(id="allenai/scitail", config="tsv_format", splits={"test": "test", "shots": "train"}),
            releases={"test": _release("test"), "shots": _release("train")},
            samples={
                "test": Release(files=("nli/scitail/test.txt",), read=_read),
                "shots": Release(files=("nli/scitail/dev.txt",), read=_read),
            },
        ),
        to_example=_to_example,
        protocols={
            "plain": Protocol(
                kind="choice",
                query="{premise}\nQuestion: {hypothesis} True or False?\nAnswer:",
                target=" {choice}",
                metrics=("acc",),
            )
        },
    ),
)
