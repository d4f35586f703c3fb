"""QuAC: a student asks about a section of Wikipedia that only the teacher can see; answers are spans of it.

Paper: Choi et al. 2018, "QuAC: Question Answering in Context", https://arxiv.org/abs/1808.07036.
Splits: validation, 7,354 questions in 1,000 dialogues; shots from train if it is there, otherwise from the
scored split.
A document is a question, named by its turn_id; the questions of a dialogue are one cluster. The questions before it
stand in the prompt with the answers that the teacher gave. A question without an answer has CANNOTANSWER, a word that
ends every passage of the data and is removed from the prompt.

    document  {"dialogue_id": "C_..._0", "wikipedia_page_title": "...", "section_title": "...", "context": "...",
               "questions": ["..."], "turn_ids": ["C_..._0_q#0"], "answers": {"texts": [["...", ...]]}, "turn": 0}
    prompt    TITLE: Gary Numan - Early years
              PARAGRAPH: In 1978, Numan ...

              Q: Where was he born?

              A:
    target     in a hospital
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from evalkit.data.formats import read_sections
from evalkit.data.rows import texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Row, released
from evalkit.harness.examples import solved_turns
from evalkit.harness.task import Protocol, Task
from evalkit.metrics.answers import CANNOT_ANSWER
from evalkit.types import Decoding, Document, Example


def _dialogues(section: Mapping[str, Any]) -> Iterable[Row]:
    """Give the dialogues about a section of the release the hub's columns, and the answer that the teacher gave."""
    for paragraph in section["paragraphs"]:
        questions = paragraph["qas"]
        yield {
            "dialogue_id": paragraph["id"],
            "wikipedia_page_title": section["title"],
            "section_title": section["section_title"],
            "context": paragraph["context"],
            "turn_ids": [question["id"] for question in questions],
            "questions": [question["question"] for question in questions],
            "answers": {"texts": [[answer["text"] for answer in question["answers"]] for question in questions]},
            "orig_answers": {"texts": [question["orig_answer"]["text"] for question in questions]},
        }


_read = read_sections(
    "QuAC",
    _dialogues,
    unit="section",
    expected="title, section_title and paragraphs, each with id, context and qas, each with id, question, answers and "
    "orig_answer",
)


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    for turn, name in enumerate(row["turn_ids"]):
        yield Document(id=name, row={**row, "turn": turn}, cluster=row["dialogue_id"])


def _to_example(document: Document) -> Example:
    row, turn = document.row, document.row["turn"]
    teacher_answers = [text.strip() for text in texts_of(row["orig_answers"]["texts"], "orig_answers.texts")]
    questions = [text.strip() for text in texts_of(row["questions"], "questions")]
    turns = solved_turns(zip(questions[:turn], teacher_answers[:turn], strict=True))
    passage = row["context"].removesuffix(CANNOT_ANSWER).strip()
    answers = tuple(text.strip() for text in texts_of(row["answers"]["texts"][turn], "answers.texts"))
    return Example(
        task="answer the question about the section",
        input=f"{passage}\n\n{turns}Q: {questions[turn]}",
        output=teacher_answers[turn],
        parts={
            "title": f"{row['wikipedia_page_title']} - {row['section_title']}",
            "passage": passage,
            "turns": turns,
            "question": questions[turn],
        },
        references=answers if teacher_answers[turn] in answers else (teacher_answers[turn], *answers),
    )


def _without_passage(example: Example) -> Example:
    turns = example.parts["turns"]
    return replace(example, input=f"{turns}Q: {example.parts['question']}", parts={**example.parts, "passage": ""})


TASKS = (
    Task(
        name="quac",
        family="reading",
        title="questions about a section that the asker cannot see, in a conversation (Choi et al. 2018)",
        licence="CC BY-SA 4.0",
        source=BenchmarkSource(
            name="quac",
            hub=Hub(id="allenai/quac", splits={"test": "validation", "shots": "train"}),
            releases=released("quac/val_v0.2.json", shots="quac/train_v0.2.json", read=_read),
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
