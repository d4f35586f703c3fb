"""BoolQ: yes/no questions that people asked a search engine, each with a paragraph that answers it.

Paper: Clark et al. 2019, "BoolQ: Exploring the Surprising Difficulty of Natural Yes/No Questions",
https://arxiv.org/abs/1905.10044; also a part of SuperGLUE (Wang et al. 2019).
Splits: validation, 3,270 questions; shots from train (9,427) if it is there, otherwise from the scored split. The
hub's rows have no title; those of the release and SuperGLUE have, and GPT-3 writes it before the passage.
A document is a question, named by its position.

    document  {"question": "does ethanol take more energy make that produces", "passage": "All biomass goes ...",
               "answer": false}
    prompt    All biomass goes through at least some of these steps: ...
              question: does ethanol take more energy make that produces?
              answer:
    target     no
"""

from __future__ import annotations

from evalkit.data.rows import choice_of
from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_CHOICES = ("no", "yes")
_GOLD = {False: 0, True: 1}  # 0 and 1 too: SuperGLUE's labels


def _to_example(document: Document) -> Example:
    row = document.row
    passage = row["passage"].strip()
    title = row.get("title", "").strip()
    if title and not passage.startswith(f"{title} -- "):  # SuperGLUE has it in the passage already
        passage = f"{title} -- {passage}"
    gold = choice_of(row["answer"] if "answer" in row else row["label"], _CHOICES, names=_GOLD)
    question = row["question"].strip().rstrip("? ")
    return choice_example(
        "answer the question about the passage with yes or no",
        input=f"{passage}\n{question}",
        parts={"passage": passage, "question": question},
        choices=_CHOICES,
        gold=gold,
    )


TASKS = (
    Task(
        name="boolq",
        family="reading",
        title="yes/no questions about a paragraph (Clark et al. 2019)",
        licence="CC BY-SA 3.0",
        source=BenchmarkSource(
            name="boolq",
            hub=Hub(id="google/boolq", splits={"test": "validation", "shots": "train"}),
            releases=released("boolq/dev.jsonl", shots="boolq/train.jsonl"),
            samples=released("superglue/BoolQ/val.jsonl", shots="superglue/BoolQ/train.jsonl"),
        ),
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query="{passage}\nquestion: {question}?\nanswer:",
                target=" {choice}",
                metrics=("acc", "acc_per_token"),
                shrink=("passage", "right"),
                paper_shots=32,
                templates={
                    "capitals": {"query": "Passage: {passage}\nQuestion: {question}?\nAnswer (yes or no):"},
                    "based_on": {"query": "{passage}\nBased on this passage, {question}?"},
                    "exam": {"query": "Read the text and answer yes or no.\n\n{passage}\n\n{question}?"},
                },
            ),
            "lm-eval": Protocol(
                kind="choice",
                query="{passage}\nQuestion: {question}?\nAnswer:",
                target=" {choice}",
                metrics=("acc",),
                shrink=("passage", "left"),
            ),
        },
    ),
)
