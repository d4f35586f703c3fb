"""CoLA: whether linguists find a sentence acceptable.

Paper: Warstadt, Singh and Bowman 2019, "Neural Network Acceptability Judgments", https://arxiv.org/abs/1805.12471; a
task of GLUE, https://arxiv.org/abs/1804.07461.
Link: https://nyu-mll.github.io/CoLA.
Splits: dev, 1,043 sentences, 527 of the training set's publications and 516 of others (the level). The 8,551 sentences
of train are for fine-tuning; there are no shots.
A document is a sentence, named by its position. As in GPT-1 (section 5) a sentence is taken as acceptable where the
mean log-probability of a token is above a threshold. GPT-1 does not say how it was chosen. Here each half of the dev
set is judged with the threshold that is best on the other half (metric `matthews`), so that none is chosen on what it
judges.

    document  {"sentence": "The sailors rode the breeze clear of the rocks.", "label": 1}
    prompt    (nothing)
    target    The sailors rode the breeze clear of the rocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.data.formats import read_table
from evalkit.data.glue import glue
from evalkit.data.rows import choice_of
from evalkit.data.sources import Release, Row
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_ANSWERS = ("unacceptable", "acceptable")
_lines = read_table(("publication", "label", "judgement", "sentence"), delimiter="\t")


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Read the two halves of the dev set."""
    for level, path in zip(("in domain", "out of domain"), paths, strict=True):
        yield from ({**row, "level": level} for row in _lines([path]))


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    yield Document(id=str(index), row=row, level=row.get("level", ""))


def _to_example(document: Document) -> Example:
    label = choice_of(document.row["label"], _ANSWERS)
    return Example(
        task="say whether the sentence is acceptable",
        input=document.row["sentence"].strip(),
        output=_ANSWERS[label],
        # One text is scored: gold 0 means that it should be likely, 1 that it should not.
        gold=0 if label else 1,
    )


TASKS = (
    Task(
        name="cola",
        family="classification",
        title="whether linguists find a sentence acceptable (Warstadt et al. 2019)",
        licence="none stated for the sentences, which come from publications",
        source=glue(
            "cola",
            releases={
                "test": Release(files=("glue/CoLA/in_domain_dev.tsv", "glue/CoLA/out_of_domain_dev.tsv"), read=_read),
                "shots": Release(files=("glue/CoLA/in_domain_train.tsv",), read=_lines),
            },
        ),
        documents=_documents,
        to_example=_to_example,
        protocols={"gpt1": Protocol(kind="rolling", query="{input}", target="", metrics=("matthews",))},
    ),
)
