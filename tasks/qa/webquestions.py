"""WebQuestions: questions from a search engine's suggestions, answered from Freebase.

Paper: Berant et al. 2013, "Semantic Parsing on Freebase from Question-Answer Pairs",
https://aclanthology.org/D13-1160.
Licence: CC BY 4.0.
Splits: test, 2,032 questions; shots from train (3,778 on the hub and in the release; the 2,834 of trainmodel.json in
brmson/dataset-factoid-webquestions), else from the scored split. The JSON files of that repository (qText, answers)
and those of the release (utterance, targetValue) are both read.
A document is a question, named by its qId or its position. Any one of its answers is accepted.

    document  {"question": "what does jamaican people speak?", "answers": ["Jamaican Creole English Language", ...]}
    prompt    Q: what does jamaican people speak?

              A:
    target     Jamaican Creole English Language
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.data.sources import BenchmarkSource, Hub, Release, Row, read_json
from evalkit.errors import DataError
from evalkit.harness.task import Protocol, Task
from evalkit.types import Decoding, Document, Example

# (list (description "Jamaican English") (description Lawyer)): quoted where it has blanks or signs.
_DESCRIPTION = re.compile(r'\(description (?:"((?:[^"\\]|\\.)*)"|([^()"]+))\)')


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the questions of a JSON list with the hub's columns."""
    for path in paths:
        whole = read_json(path)
        if not isinstance(whole, list):
            raise DataError(f"{path}: expected a WebQuestions file, a list of questions")
        for number, question in enumerate(whole, start=1):
            try:
                yield _row(question)
            except (KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{path} question {number}: expected qText and answers, or utterance and targetValue "
                    f"({type(error).__name__}: {error})"
                ) from error


def _row(question: Mapping[str, Any]) -> Row:
    if "utterance" not in question:
        return {"id": question["qId"], "question": question["qText"], "answers": question["answers"]}
    found = _DESCRIPTION.findall(question["targetValue"])
    answers = [re.sub(r"\\(.)", r"\1", quoted) or bare.strip() for quoted, bare in found]
    return {"url": question["url"], "question": question["utterance"], "answers": answers}


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    # Several questions may share a page, so the url alone would not be unique.
    yield Document(id=str(row.get("id", index)), row=row)


def _to_example(document: Document) -> Example:
    answers = document.row["answers"]
    if not isinstance(answers, list) or not answers:
        raise TypeError("expected a list of answers in the column 'answers'")
    return Example(
        task="answer the question",
        input=document.row["question"].rstrip("? "),
        output=answers[0].strip(),
        references=tuple(answer.strip() for answer in answers),
    )


TASKS = (
    Task(
        name="webquestions",
        family="qa",
        title="suggested search queries answered from Freebase (Berant et al. 2013)",
        source=BenchmarkSource(
            name="webquestions",
            hub=Hub(id="stanfordnlp/web_questions", splits={"test": "test", "shots": "train"}),
            releases={
                "test": Release(files=("webquestions/webquestions.examples.test.json",), read=_read),
                "shots": Release(files=("webquestions/webquestions.examples.train.json",), read=_read),
            },
            samples={
                "test": Release(files=("webquestions/test.json",), read=_read),
                "shots": Release(files=("webquestions/trainmodel.json",), read=_read),
            },
        ),
        to_example=_to_example,
        documents=_documents,
        protocols={
            "gpt3": Protocol(
                kind="generate",
                query="Q: {input}?\n\nA:",
                metrics=("nq_exact_match", "f1"),
                decoding=Decoding(until=("\n",), max_tokens=24, beams=4),
                paper_shots=64,
            )
        },
    ),
)
