"""MultiRC: questions about a paragraph with several answers, any number of which are true.

Paper: Khashabi et al. 2018, "Looking Beyond the Surface", https://aclanthology.org/N18-1023; here as a part of
SuperGLUE (Wang et al. 2019).
Splits: validation, 4,848 answers to 953 questions; shots from train (27,243; 5,100) where it is there, otherwise from
the scored split.
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

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from evalkit.data.formats import read_records
from evalkit.data.glue import superglue
from evalkit.data.rows import choice_of
from evalkit.data.sources import Row
from evalkit.harness.task import Protocol, Task, document_per_row
from evalkit.metrics.labels import BETWEEN_ANSWERS
from evalkit.types import Document, Example

# An answer is offered under both; the hub labels it 1 or 0, other copies true or false.
_LABELS = ("True", "False")
_GOLD = {True: 0, False: 1}


def _answers(line: Mapping[str, Any]) -> Iterable[Row]:
    """Yield one row per answer, as the hub does, of a paragraph in SuperGLUE's release."""
    for question in line["passage"]["questions"]:
        for answer in question["answers"]:
            yield {
                "paragraph": line["passage"]["text"],
                "question": question["question"],
                "answer": answer["text"],
                "label": answer["label"],
                "idx": {"paragraph": line["idx"], "question": question["idx"], "answer": answer["idx"]},
            }


_read = read_records(
    _answers,
    expected="idx and a passage with text and questions, each with idx, question and answers, each with idx, text and "
    "label",
)


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
        licence="the authors' own, for research; the passages carry their own",
        source=superglue("multirc", folder="MultiRC", read=_read, prepare=_questions),
        to_example=_to_example,
        documents=document_per_row(cluster="paragraph_idx"),
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
