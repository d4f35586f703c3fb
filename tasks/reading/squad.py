"""SQuAD: questions about a paragraph of Wikipedia, answered by a span of it; in 2.0 half of them have no answer.

Papers: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text",
https://arxiv.org/abs/1606.05250; Rajpurkar, Jia and Liang 2018, "Know What You Don't Know",
https://arxiv.org/abs/1806.03822.
Splits: validation, 10,570 questions (1.1) and 11,873 (2.0); shots from train (87,599; 130,319) if it is there,
else from the scored split. Parts are read where the release is absent: squad_v1.1_dev_1000.jsonl (columns of the hub,
answers as a plain list) and dev-v2.0-half.json (form of the release).
A document is a question, named by its id; the questions on a paragraph are one cluster. GPT-3 shows the earlier
questions on the paragraph with their answers; it does not say what it wrote for questions without one; this file
writes "unanswerable", as lm-evaluation-harness does.

    document  {"id": "...", "title": "Normans", "context": "...", "question": "In what country is Normandy located?",
               "answers": {"text": ["France", "France", ...]}}
    prompt    Title: Normans

              Background: The Normans (Norman: Nourmands; French: Normands; Latin: Normanni) were the people ...

              Q: In what country is Normandy located?

              A:
    target     France
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from evalkit.data.formats import read_records, read_sections
from evalkit.data.rows import texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Release, Row, Split, released, with_earlier
from evalkit.files import digest
from evalkit.harness.examples import solved_turns
from evalkit.harness.task import Protocol, Task
from evalkit.metrics.answers import NO_ANSWER
from evalkit.types import Decoding, Document, Example

_LICENCE = "CC BY-SA 4.0"


def _questions(article: Mapping[str, Any]) -> Iterable[Row]:
    """Give the questions about an article of the release the hub's columns."""
    for paragraph in article["paragraphs"]:
        for question in paragraph["qas"]:
            yield {
                "id": question["id"],
                "title": article["title"],
                "context": paragraph["context"],
                "question": question["question"],
                "answers": {"text": [answer["text"] for answer in question["answers"]]},
            }


def _sample_row(record: Mapping[str, Any]) -> Iterable[Row]:
    """Give a record whose answers are a plain list the hub's columns."""
    yield {**record, "answers": {"text": texts_of(record["answers"], "answers")}}


_read = read_sections(
    "SQuAD",
    _questions,
    unit="article",
    expected="title and paragraphs, each with context and qas, each with id, question and answers",
)
_read_sample = read_records(_sample_row, expected="a list 'answers' of texts")


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    yield Document(id=str(row["id"]), row=row, cluster=digest(row["context"]))


def _to_example(document: Document) -> Example:
    row = document.row
    passage, question, answers = row["context"].strip(), row["question"].strip(), _answers(row)
    turns = solved_turns((earlier["question"].strip(), _answers(earlier)[0]) for earlier in row["earlier"])
    return Example(
        task="answer the question about the paragraph",
        input=f"{passage}\n\n{question}",
        output=answers[0],
        parts={"title": row["title"], "passage": passage, "turns": turns, "question": question},
        references=answers,
    )


def _answers(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts_of(row["answers"]["text"], "answers.text")) or (NO_ANSWER,)


def _answered(document: Document) -> Example:
    """As `_to_example`; in version 1.1 every question has an answer."""
    if not document.row["answers"]["text"]:
        raise ValueError("expected at least one answer; is this version 2.0?")
    return _to_example(document)


def _source(name: str, *, hub: str, version: str, samples: Mapping[Split, Release]) -> BenchmarkSource:
    return BenchmarkSource(
        name=name,
        hub=Hub(id=hub, splits={"test": "validation", "shots": "train"}),
        releases=released(f"squad/dev-{version}.json", shots=f"squad/train-{version}.json", read=_read),
        samples=samples,
        prepare=partial(with_earlier, passage="context"),
    )


def _plain(*metrics: str) -> Protocol:
    return Protocol(
        kind="generate",
        query="Title: {title}\n\nBackground: {passage}\n\nQuestion: {question}\n\nAnswer:",
        metrics=metrics,
        decoding=Decoding(until=("\n",), max_tokens=48),
        shrink=("passage", "left"),
    )


TASKS = (
    Task(
        name="squad1",
        family="reading",
        title="questions about a paragraph, answered by a span of it (Rajpurkar et al. 2016)",
        licence=_LICENCE,
        source=_source(
            "squad1",
            hub="rajpurkar/squad",
            version="v1.1",
            samples=released("squad/squad_v1.1_dev_1000.jsonl", read=_read_sample),
        ),
        to_example=_answered,
        documents=_documents,
        protocols={"plain": _plain("f1", "exact_match")},
    ),
    Task(
        name="squad2",
        family="reading",
        title="questions about a paragraph, half of them without an answer (Rajpurkar et al. 2018)",
        licence=_LICENCE,
        source=_source(
            "squad2",
            hub="rajpurkar/squad_v2",
            version="v2.0",
            samples=released("squad/dev-v2.0-half.json", read=_read),
        ),
        to_example=_to_example,
        documents=_documents,
        protocols={
            "gpt3": Protocol(
                kind="generate",
                query="Title: {title}\n\nBackground: {passage}\n\n{turns}Q: {question}\n\nA:",
                metrics=("squad2_f1", "squad2_em"),
                decoding=Decoding(until=("\n",), max_tokens=48, beams=4),
                shrink=("passage", "left"),
                paper_shots=16,
            ),
            "plain": _plain("squad2_f1", "squad2_em"),
        },
    ),
)
