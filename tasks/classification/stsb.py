"""STS-B: how similar two sentences are, from 0 to 5.

Paper: Cer et al. 2017, "SemEval-2017 Task 1: Semantic Textual Similarity",
https://aclanthology.org/S17-2001; a task of GLUE, Wang et al. 2019, https://arxiv.org/abs/1804.07461.
Splits: dev, 1,500 pairs; shots from train (5,749). A document is a pair, named by its position.
The score is the mean of several annotators' scores. What a model writes is read as a number; the
metric is Pearson's correlation.

    document  {"sentence1": "A man with a hard hat is dancing.",
               "sentence2": "A man wearing a hard hat is dancing.", "label": 5.0}
    prompt    Sentence 1: A man with a hard hat is dancing.
              Sentence 2: A man wearing a hard hat is dancing.
              Likeness from 0 to 5:
    target     5
"""

from __future__ import annotations

from evalkit.data.formats import read_table
from evalkit.data.glue import glue
from evalkit.data.sources import released
from evalkit.harness.task import Protocol, Task
from evalkit.types import Decoding, Document, Example

_read = read_table({"sentence1": "sentence1", "sentence2": "sentence2", "score": "label"}, delimiter="\t")


def _to_example(document: Document) -> Example:
    row = document.row
    first, second = row["sentence1"].strip(), row["sentence2"].strip()
    score = float(row["label"])
    if not 0 <= score <= 5:
        raise ValueError("expected a score between 0 and 5; GLUE's test split has none")
    return Example(
        task="say how much the two sentences are alike, from 0 to 5",
        input=f"{first}\n{second}",
        output=f"{score:g}",
        parts={"sentence1": first, "sentence2": second},
    )


TASKS = (
    Task(
        name="stsb",
        family="classification",
        title="how much two sentences are alike, from 0 to 5 (Cer et al. 2017)",
        licence="CC BY-SA 4.0 and those of its sources",
        source=glue("stsb", releases=released("glue/STS-B/dev.tsv", shots="glue/STS-B/train.tsv", read=_read)),
        to_example=_to_example,
        protocols={
            "plain": Protocol(
                kind="generate",
                query="Sentence 1: {sentence1}\nSentence 2: {sentence2}\nLikeness from 0 to 5:",
                metrics=("pearson",),
                decoding=Decoding(until=("\n",), max_tokens=6),
            )
        },
    ),
)
