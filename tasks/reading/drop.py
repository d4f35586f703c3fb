"""DROP: questions about a paragraph that need counting, adding or sorting.

Paper: Dua et al. 2019, "DROP: A Reading Comprehension Benchmark Requiring Discrete Reasoning Over Paragraphs",
https://arxiv.org/abs/1903.00161.
Splits: validation, 9,536 questions (9,535 on the hub); shots from train (77,409; 77,400) if it is there, else from
the scored split.
A document is a question, named by its query_id; the questions on a paragraph are one cluster. An answer is a number, a
date or a list of spans, written "one; two". The hub has lost which spans belong together: there each is an answer of
its own, so scores differ from those of the release.

    document  {"section_id": "nfl_1184", "query_id": "...", "passage": "...", "question": "How many yards ...?",
               "answers_spans": {"spans": ["42"], "types": ["number"]}}
    prompt    Passage: To start the season, the Lions traveled south to Tampa, Florida ...
              Question: How many points did the buccaneers need to tie in the first?
              Answer:
    target     3
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.data.formats import expand
from evalkit.data.rows import texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Row, read_json, released
from evalkit.errors import DataError
from evalkit.harness.task import Protocol, Task, document_per_row
from evalkit.metrics.drop import BETWEEN_SPANS
from evalkit.types import Decoding, Document, Example


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the questions of the release's JSON with the hub's columns; a list of spans is one text here."""
    expected = "passage and qa_pairs, each with query_id, question and answer"
    for path in paths:
        content = read_json(path)
        if not isinstance(content, dict):
            raise DataError(f"{path}: expected the official DROP file, an object of passages by name")
        passages = ((f"passage {name!r}", (name, passage)) for name, passage in content.items())
        yield from expand(passages, _questions, path=path, expected=expected)


def _questions(named: tuple[str, Mapping[str, Any]]) -> Iterable[Row]:
    name, passage = named
    return [_row(name, passage["passage"], question) for question in passage["qa_pairs"]]


def _row(name: str, passage: str, question: Mapping[str, Any]) -> Row:
    answers = [question["answer"], *question.get("validated_answers", ())]
    return {
        "section_id": name,
        "query_id": question["query_id"],
        "passage": passage,
        "question": question["question"],
        "answers_spans": {"spans": [text for text in map(_text, answers) if text]},
    }


def _text(answer: Mapping[str, Any]) -> str:
    """Write a number, a list of spans or a date, whichever there is."""
    if answer.get("number"):
        return str(answer["number"]).strip()
    if answer.get("spans"):
        return BETWEEN_SPANS.join(span.strip() for span in answer["spans"])
    date = answer.get("date") or {}
    return " ".join(date[key] for key in ("day", "month", "year") if date.get(key))


def _to_example(document: Document) -> Example:
    row = document.row
    passage, question = row["passage"].strip(), row["question"].strip()
    answers = tuple(
        dict.fromkeys(text.strip() for text in texts_of(row["answers_spans"]["spans"], "answers_spans.spans"))
    )
    return Example(
        task="answer the question about the passage",
        input=f"{passage}\n{question}",
        output=answers[0],
        parts={"passage": passage, "question": question},
        references=answers,
    )


TASKS = (
    Task(
        name="drop",
        family="reading",
        title="questions that need counting and sorting over a paragraph (Dua et al. 2019)",
        licence="CC BY-SA 4.0",
        source=BenchmarkSource(
            name="drop",
            hub=Hub(id="ucinlp/drop", splits={"test": "validation", "shots": "train"}),
            releases=released("drop/drop_dataset_dev.json", shots="drop/drop_dataset_train.json", read=_read),
        ),
        to_example=_to_example,
        documents=document_per_row(id="query_id", cluster="section_id"),
        protocols={
            "gpt3": Protocol(
                kind="generate",
                query="Passage: {passage}\nQuestion: {question}\nAnswer:",
                metrics=("drop_f1", "drop_em"),
                decoding=Decoding(until=("\n",), max_tokens=32, beams=4),
                shrink=("passage", "left"),
                paper_shots=20,
            )
        },
    ),
)
