"""SNLI: whether a sentence follows from the caption of a picture, contradicts it, or neither.

Paper: Bowman et al. 2015, "A large annotated corpus for learning natural language inference",
https://arxiv.org/abs/1508.05326.
Splits: test, 9,824 pairs; shots from train (549,367). A folder nli/snli with dev.txt and test.txt (premise, hypothesis
and the hub's label, separated by tabs; lower case) is read too: shots are then from dev, 9,842 pairs.
A document is a pair, named by its position. Pairs on which the annotators did not agree (label -) are left out, as the
paper does.

    document  {"premise": "This church choir sings to the masses ...", "hypothesis": "The church is filled with song.",
               "label": 0}; 0 follows, 1 neither, 2 contradicts
    prompt    This church choir sings to the masses as they sing joyous songs from the book at a church.
              Question: The church is filled with song. True, False or Neither?
              Answer:
    target     True
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.data.formats import read_table
from evalkit.data.sources import BenchmarkSource, Hub, Row, read_jsonl, released
from evalkit.harness.examples import sentence_pair
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document

_table = read_table(("premise", "hypothesis", "label"), delimiter="\t")


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the rows of the release with the hub's columns."""
    for row in read_jsonl(paths):
        if "gold_label" in row:
            row = {"premise": row["sentence1"], "hypothesis": row["sentence2"], "label": row["gold_label"]}
        yield row


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    if str(row["label"]) not in ("-", "-1"):
        yield Document(id=str(index), row=row)


_to_example = sentence_pair(
    "premise",
    "hypothesis",
    task="say whether the second sentence is true, false or neither by the first",
    choices=("True", "Neither", "False"),
    # The hub numbers the labels (as text in a table); the release names them.
    names=("entailment", "neutral", "contradiction"),
)

TASKS = (
    Task(
        name="snli",
        family="nli",
        title="does a sentence follow from the caption of a picture (Bowman et al. 2015)",
        licence="CC BY-SA 4.0",
        source=BenchmarkSource(
            name="snli",
            hub=Hub(id="stanfordnlp/snli", splits={"test": "test", "shots": "train"}),
            releases=released("snli_1.0/snli_1.0_test.jsonl", shots="snli_1.0/snli_1.0_train.jsonl", read=_read),
            samples=released("nli/snli/test.txt", shots="nli/snli/dev.txt", read=_table),
        ),
        documents=_documents,
        to_example=_to_example,
        protocols={
            "plain": Protocol(
                kind="choice",
                query="{premise}\nQuestion: {hypothesis} True, False or Neither?\nAnswer:",
                target=" {choice}",
                metrics=("acc",),
            )
        },
    ),
)
