"""SST-2: whether a sentence of a film review is for or against.

Paper: Socher et al. 2013, "Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank",
https://aclanthology.org/D13-1170; as a task of GLUE, Wang et al. 2019, https://arxiv.org/abs/1804.07461.
Link: https://nlp.stanford.edu/sentiment.
Splits: dev, 872 sentences; shots from train (67,349 phrases in GLUE; 6,920 sentences in the files stsa.binary.*).
A document is a sentence, named by its position. As in GPT-1 (section 5) the word "very" is put after the sentence, and
the likelier of "positive" and "negative" decides. The text is tokenised and in lower case, as released.

    document  {"sentence": "one long string of cliches .", "label": 0}
    prompt    one long string of cliches . very
    target     negative
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evalkit.data.formats import read_table
from evalkit.data.rows import choice_of
from evalkit.data.sources import BenchmarkSource, Hub, Row, read_lines, released
from evalkit.errors import DataError
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_LABELS = ("negative", "positive")


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Read lines of a label, a space and a sentence."""
    for path in paths:
        for number, line in read_lines(path):
            label, _, sentence = line.partition(" ")
            if label not in ("0", "1") or not sentence.strip():
                raise DataError(f"{path} line {number}: expected 0 or 1, a blank and a sentence")
            yield {"sentence": sentence, "label": int(label)}


def _to_example(document: Document) -> Example:
    gold = choice_of(document.row["label"], _LABELS)
    return choice_example(
        "say whether the review is positive or negative",
        input=document.row["sentence"].strip(),
        choices=_LABELS,
        gold=gold,
    )


_GLUE = read_table({"sentence": "sentence", "label": "label"}, delimiter="\t")

TASKS = (
    Task(
        name="sst2",
        family="classification",
        title="whether a film review is for or against (Socher et al. 2013)",
        source=BenchmarkSource(
            name="sst2",
            hub=Hub(id="stanfordnlp/sst2", splits={"test": "validation", "shots": "train"}),
            releases=released("glue/SST-2/dev.tsv", shots="glue/SST-2/train.tsv", read=_GLUE),
            samples=released("glue/SST-2/stsa.binary.dev", shots="glue/SST-2/stsa.binary.train", read=_read),
        ),
        to_example=_to_example,
        protocols={
            "gpt1": Protocol(kind="choice", query="{input} very", target=" {choice}", metrics=("acc",)),
            "lm-eval": Protocol(
                kind="choice",
                query="{input}\nQuestion: Is this sentence positive or negative?\nAnswer:",
                target=" {choice}",
                metrics=("acc",),
            ),
        },
    ),
)
