"""TriviaQA: quiz questions with many spellings of each answer, here without a page to read.

Paper: Joshi et al. 2017, "TriviaQA: A Large Scale Distantly Supervised Challenge Dataset for Reading Comprehension",
https://arxiv.org/abs/1705.03551.
Splits: validation without context, 17,944 questions on the hub, 11,313 in the release's unfiltered-web-dev.json, or
whatever part is there; shots from train (138,384; 87,622), else from the scored split. A file of the form {"context":
"Question: ... Answer:", "answer", "aliases"}, as MosaicML's llm-foundry has for 3,000 questions, is read too.
A document is a question, named by its question_id or its position.

    document  {"question": "Which vegetable ...?", "answer": {"value": "Onion", "aliases": ["Onion", "Pyaz", ...]}}
    prompt    Q: Brunswick, Lancastrian and Pearl Pickler are types of which vegetable?

              A:
    target     Onion
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.data.formats import read_records, read_sections
from evalkit.data.rows import texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Row, released
from evalkit.harness.task import Protocol, Task
from evalkit.types import Decoding, Document, Example


def _row(question: Mapping[str, Any]) -> Iterable[Row]:
    """Give a question of the release the hub's columns."""
    answer = {"value": question["Answer"]["Value"], "aliases": question["Answer"]["Aliases"]}
    yield {"question": question["Question"], "question_id": question["QuestionId"], "answer": answer}


_read = read_sections(
    "TriviaQA",
    _row,
    key="Data",
    unit="question",
    expected="QuestionId, Question and an Answer with Value and Aliases",
)


def _foundry_row(record: Mapping[str, Any]) -> Iterable[Row]:
    """Give a record of llm-foundry's JSONL the hub's columns."""
    question = record["context"].removeprefix("Question:").removesuffix("Answer:").strip()
    yield {
        "question": question,
        "answer": {"value": record["answer"].strip(), "aliases": texts_of(record["aliases"], "aliases")},
    }


_read_foundry = read_records(_foundry_row, expected="texts 'context' and 'answer' and a list 'aliases'")


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    yield Document(id=str(row.get("question_id", index)), row=row)


def _to_example(document: Document) -> Example:
    answer = document.row["answer"]
    aliases = (alias.strip() for alias in texts_of(answer["aliases"], "answer.aliases"))
    return Example(
        task="answer the question of a quiz",
        input=document.row["question"].strip(),
        output=answer["value"].strip(),
        references=tuple(dict.fromkeys((answer["value"].strip(), *aliases))),
    )


TASKS = (
    Task(
        name="triviaqa",
        family="qa",
        title="questions of quizzes, without a page to read (Joshi et al. 2017)",
        licence="Apache 2.0 (mandarjoshi90/triviaqa); the questions belong to their quizzes",
        source=BenchmarkSource(
            name="triviaqa",
            hub=Hub(id="mandarjoshi/trivia_qa", config="rc.nocontext", splits={"test": "validation", "shots": "train"}),
            releases=released(
                "triviaqa/unfiltered-web-dev.json", shots="triviaqa/unfiltered-web-train.json", read=_read
            ),
            samples=released("triviaqa/triviaqa_sm_sub.jsonl", read=_read_foundry),
        ),
        to_example=_to_example,
        documents=_documents,
        protocols={
            "gpt3": Protocol(
                kind="generate",
                query="Q: {input}\n\nA:",
                metrics=("triviaqa_exact_match", "f1"),
                decoding=Decoding(until=("\n",), max_tokens=24, beams=4),
                paper_shots=64,
            )
        },
    ),
)
