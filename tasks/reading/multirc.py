"""MultiRC: questions about a paragraph with several answers, any number of which are true.

Paper: Khashabi et al. 2018, "Looking Beyond the Surface", https://aclanthology.org/N18-1023; here as a part of
SuperGLUE (Wang et al. 2019).
Licence: that of the research data of its authors; the passages carry their own.
Splits: validation, 4,848 answers to 953 questions; shots from train (27,243; 5,100) where it is at hand, else from the
scored split.
A document is a question with all its answers, named PARAGRAPH_QUESTION; the questions on a paragraph are one cluster.
Each answer is called [True] and [False], and the likelier is its label; a question is right if all labels are. Shots
show every answer of a question with its label. GPT-3 shows one fixed set of questions; here they are drawn.

    document  {"passage": "...", "question": "What did the high-level effort to persuade Pakistan include?",
               "answers": [{"text": "Children, Gerd, or Dorian Popa", "label": 0}, ...], "idx": {...}}
    prompt    READING COMPREHENSION ANSWER KEY
              While this process moved along, diplomacy continued its rounds. ...

              What did the high-level effort to persuade Pakistan include?
    target    - [False] Children, Gerd, or Dorian Popa
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from evalkit.data.rows import choice_of
from evalkit.data.sources import BenchmarkSource, Hub, Release, Row, read_jsonl
from evalkit.errors import DataError
from evalkit.harness.task import Protocol, Task
from evalkit.metrics.labels import BETWEEN_ANSWERS
from evalkit.types import Document, Example

# An answer is offered under both; the hub labels it 1 or 0, other copies true or false.
_LABELS = ("True", "False")
_GOLD = {True: 0, False: 1}


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield one row an answer, as the hub does, from SuperGLUE's JSONL of one paragraph a line."""
    for path in paths:
        for number, line in enumerate(read_jsonl([path]), start=1):
            try:
                yield from [
                    {
                        "paragraph": line["passage"]["text"],
                        "question": question["question"],
                        "answer": answer["text"],
                        "label": answer["label"],
                        "idx": {"paragraph": line["idx"], "question": question["idx"], "answer": answer["idx"]},
                    }
                    for question in line["passage"]["questions"]
                    for answer in question["answers"]
                ]
            except (KeyError, TypeError) as error:
                raise DataError(
                    f"{path} row {number}: expected idx and a passage with text and questions, each with idx, question "
                    f"and answers, each with idx, text and label ({type(error).__name__}: {error})"
                ) from error


def _questions(rows: Iterable[Row]) -> Iterator[Row]:
    """Join the rows of one question, which follow each other."""

    def place(row: Row) -> tuple[Any, Any]:
        return row["idx"]["paragraph"], row["idx"]["question"]

    for (paragraph, question), group in groupby(rows, key=place):
        answers = list(group)
        yield {
            "id": f"{paragraph}_{question}",
            "paragraph_idx": paragraph,
            "passage": answers[0]["paragraph"],
            "question": answers[0]["question"],
            "answers": [{"text": row["answer"], "label": row["label"]} for row in answers],
        }


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    yield Document(id=row["id"], row=row, cluster=str(row["paragraph_idx"]))


def _to_example(document: Document) -> Example:
    row = document.row
    passage, question = row["passage"].strip(), row["question"].strip()
    choices: list[str] = []
    golds: list[int] = []
    for answer in row["answers"]:
        golds.append(len(choices) + choice_of(answer["label"], _LABELS, names=_GOLD))
        choices += [f"[{label}] {answer['text'].strip()}" for label in _LABELS]
    return Example(
        task="say of every answer whether it is true",
        input=f"{passage}\n\n{question}",
        output=BETWEEN_ANSWERS.join(choices[gold] for gold in golds),
        parts={"passage": passage, "question": question},
        choices=tuple(choices),
        golds=tuple(golds),
    )


TASKS = (
    Task(
        name="multirc",
        family="reading",
        title="questions with several answers, each true or false (Khashabi et al. 2018)",
        source=BenchmarkSource(
            name="multirc",
            hub=Hub(id="aps/super_glue", config="multirc", splits={"test": "validation", "shots": "train"}),
            releases={
                "test": Release(files=("superglue/MultiRC/val.jsonl",), read=_read),
                "shots": Release(files=("superglue/MultiRC/train.jsonl",), read=_read),
            },
            prepare=_questions,
        ),
        to_example=_to_example,
        documents=_documents,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                description="READING COMPREHENSION ANSWER KEY",
                query="{passage}\n\n{question}",
                target="\n- {choice}",
                separator="\n",
                metrics=("multirc_em", "multirc_f1a"),
                shrink=("passage", "left"),
                paper_shots=32,
            )
        },
    ),
)
