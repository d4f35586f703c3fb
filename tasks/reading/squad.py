"""SQuAD: questions about a paragraph of Wikipedia, answered by a span of it; in 2.0 half of them have no answer.

Papers: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text",
https://arxiv.org/abs/1606.05250; Rajpurkar, Jia and Liang 2018, "Know What You Don't Know",
https://arxiv.org/abs/1806.03822.
Licence: CC BY-SA 4.0.
Splits: validation, 10,570 questions (1.1) and 11,873 (2.0); shots from train (87,599; 130,319) where it is at hand,
else from the scored split. Parts are read where the release is absent: squad_v1.1_dev_1000.jsonl (columns of the hub,
answers as a plain list) and dev-v2.0-half.json (form of the release).
A document is a question, named by its id; the questions on a paragraph are one cluster. GPT-3 shows the earlier
questions on the paragraph with their answers; what it wrote for questions without one is not said, and this file
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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evalkit.data.rows import texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Release, Row, read_json, read_jsonl, with_earlier
from evalkit.errors import DataError
from evalkit.files import digest
from evalkit.harness.task import Protocol, Task
from evalkit.metrics.answers import NO_ANSWER
from evalkit.types import Decoding, Document, Example


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the questions of the official JSON with the hub's columns."""
    for path in paths:
        whole = read_json(path)
        articles = whole.get("data") if isinstance(whole, dict) else None
        if not isinstance(articles, list):
            raise DataError(f"{path}: expected an official SQuAD file, an object with a list 'data' of articles")
        for number, article in enumerate(articles, start=1):
            try:
                yield from _questions(article)
            except (KeyError, TypeError) as error:
                raise DataError(
                    f"{path} article {number}: expected title and paragraphs, each with context and qas, each with "
                    f"id, question and answers ({type(error).__name__}: {error})"
                ) from error


def _questions(article: Mapping[str, Any]) -> Iterator[Row]:
    for paragraph in article["paragraphs"]:
        for question in paragraph["qas"]:
            yield {
                "id": question["id"],
                "title": article["title"],
                "context": paragraph["context"],
                "question": question["question"],
                "answers": {"text": [answer["text"] for answer in question["answers"]]},
            }


def _read_sample(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the rows of a JSONL whose answers are a plain list, with the hub's columns."""
    for path in paths:
        for number, row in enumerate(read_jsonl([path]), start=1):
            answers = row.get("answers")
            if not isinstance(answers, list):
                raise DataError(f"{path} row {number}: expected a list 'answers' of texts")
            yield {**row, "answers": {"text": answers}}


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    yield Document(id=str(row["id"]), row=row, cluster=digest(row["context"]))


def _to_example(document: Document) -> Example:
    row = document.row
    passage, question, answers = row["context"].strip(), row["question"].strip(), _answers(row)
    turns = "".join(f"Q: {other['question'].strip()}\n\nA: {_answers(other)[0]}\n\n" for other in row["earlier"])
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


_PLAIN = "Title: {title}\n\nBackground: {passage}\n\nQuestion: {question}\n\nAnswer:"
_DECODING = Decoding(until=("\n",), max_tokens=48)

TASKS = (
    Task(
        name="squad1",
        family="reading",
        title="questions about a paragraph, answered by a span of it (Rajpurkar et al. 2016)",
        source=BenchmarkSource(
            name="squad1",
            hub=Hub(id="rajpurkar/squad", splits={"test": "validation", "shots": "train"}),
            releases={
                "test": Release(files=("squad/dev-v1.1.json",), read=_read),
                "shots": Release(files=("squad/train-v1.1.json",), read=_read),
            },
            samples={"test": Release(files=("squad/squad_v1.1_dev_1000.jsonl",), read=_read_sample)},
            prepare=partial(with_earlier, passage="context"),
        ),
        to_example=_answered,
        documents=_documents,
        protocols={
            "plain": Protocol(
                kind="generate",
                query=_PLAIN,
                metrics=("f1", "exact_match"),
                decoding=_DECODING,
                shrink=("passage", "left"),
            )
        },
    ),
    Task(
        name="squad2",
        family="reading",
        title="questions about a paragraph, half of them without an answer (Rajpurkar et al. 2018)",
        source=BenchmarkSource(
            name="squad2",
            hub=Hub(id="rajpurkar/squad_v2", splits={"test": "validation", "shots": "train"}),
            releases={
                "test": Release(files=("squad/dev-v2.0.json",), read=_read),
                "shots": Release(files=("squad/train-v2.0.json",), read=_read),
            },
            samples={"test": Release(files=("squad/dev-v2.0-half.json",), read=_read)},
            prepare=partial(with_earlier, passage="context"),
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
            "plain": Protocol(
                kind="generate",
                query=_PLAIN,
                metrics=("squad2_f1", "squad2_em"),
                decoding=_DECODING,
                shrink=("passage", "left"),
            ),
        },
    ),
)
