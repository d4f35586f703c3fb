"""QuAC: a student asks about a section of Wikipedia that only the teacher can see; answers are spans of it.

Paper: Choi et al. 2018, "QuAC: Question Answering in Context", https://arxiv.org/abs/1808.07036.
Licence: CC BY-SA 4.0.
Splits: validation, 7,354 questions in 1,000 dialogues; shots from train where it is at hand, else from the
scored split.
A document is a question, named by its turn_id; the questions of a dialogue are one cluster. The questions before it
stand in the prompt with the answers that the teacher gave. A question without an answer has CANNOTANSWER, a word that
ends every passage of the data and is not shown.

    document  {"dialogue_id": "C_..._0", "wikipedia_page_title": "...", "section_title": "...", "context": "...",
               "questions": ["..."], "turn_ids": ["C_..._0_q#0"], "answers": {"texts": [["...", ...]]}, "turn": 0}
    prompt    TITLE: Gary Numan - Early years
              PARAGRAPH: In 1978, Numan ...

              Q: Where was he born?

              A:
    target     in a hospital
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.data.rows import texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Release, Row, read_json
from evalkit.errors import DataError
from evalkit.harness.task import Protocol, Task
from evalkit.metrics.answers import CANNOT_ANSWER
from evalkit.types import Decoding, Document, Example


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the dialogues of the official JSON with the hub's columns."""
    for path in paths:
        whole = read_json(path)
        sections = whole.get("data") if isinstance(whole, dict) else None
        if not isinstance(sections, list):
            raise DataError(f"{path}: expected an official QuAC file, an object with a list 'data' of sections")
        for number, section in enumerate(sections, start=1):
            try:
                yield from [_row(section, paragraph) for paragraph in section["paragraphs"]]
            except (KeyError, TypeError) as error:
                raise DataError(
                    f"{path} section {number}: expected title, section_title and paragraphs, each with id, context "
                    f"and qas, each with id, question, answers and orig_answer ({type(error).__name__}: {error})"
                ) from error


def _row(section: Mapping[str, Any], paragraph: Mapping[str, Any]) -> Row:
    questions = paragraph["qas"]
    return {
        "dialogue_id": paragraph["id"],
        "wikipedia_page_title": section["title"],
        "section_title": section["section_title"],
        "context": paragraph["context"],
        "turn_ids": [question["id"] for question in questions],
        "questions": [question["question"] for question in questions],
        "answers": {"texts": [[answer["text"] for answer in question["answers"]] for question in questions]},
        "orig_answers": {"texts": [question["orig_answer"]["text"] for question in questions]},
    }


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    for turn, name in enumerate(row["turn_ids"]):
        yield Document(id=name, row={**row, "turn": turn}, cluster=row["dialogue_id"])


def _to_example(document: Document) -> Example:
    row, turn = document.row, document.row["turn"]
    said = [text.strip() for text in texts_of(row["orig_answers"]["texts"], "orig_answers.texts")]
    questions = [text.strip() for text in texts_of(row["questions"], "questions")]
    turns = "".join(f"Q: {q}\n\nA: {a}\n\n" for q, a in zip(questions[:turn], said[:turn], strict=True))
    passage = row["context"].removesuffix(CANNOT_ANSWER).strip()
    answers = tuple(text.strip() for text in texts_of(row["answers"]["texts"][turn], "answers.texts"))
    return Example(
        task="answer the question about the section",
        input=f"{passage}\n\n{turns}Q: {questions[turn]}",
        output=said[turn],
        parts={
            "title": f"{row['wikipedia_page_title']} - {row['section_title']}",
            "passage": passage,
            "turns": turns,
            "question": questions[turn],
        },
        references=answers if said[turn] in answers else (said[turn], *answers),
    )


def _without_passage(example: Example) -> Example:
    turns = example.parts["turns"]
    return replace(example, input=f"{turns}Q: {example.parts['question']}", parts={**example.parts, "passage": ""})


TASKS = (
    Task(
        name="quac",
        family="reading",
        title="questions about a section that the asker cannot see, in a conversation (Choi et al. 2018)",
        source=BenchmarkSource(
            name="quac",
            hub=Hub(id="allenai/quac", splits={"test": "validation", "shots": "train"}),
            releases={
                "test": Release(files=("quac/val_v0.2.json",), read=_read),
                "shots": Release(files=("quac/train_v0.2.json",), read=_read),
            },
        ),
        to_example=_to_example,
        documents=_documents,
        protocols={
            "gpt3": Protocol(
                kind="generate",
                query="TITLE: {title}\nPARAGRAPH: {passage}\n\n{turns}Q: {question}\n\nA:",
                metrics=("quac_f1",),
                decoding=Decoding(until=("\n",), max_tokens=64, beams=4),
                shrink=("passage", "left"),
                paper_shots=5,
            )
        },
        controls={"no_passage": _without_passage},
    ),
)
