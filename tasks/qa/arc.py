"""ARC: multiple-choice questions of school science, in an easy and a challenging part.

Paper: Clark et al. 2018, "Think you have Solved Question Answering? Try ARC", https://arxiv.org/abs/1803.05457.
Rows of {"query": "Question: ...", "choices": [...], "gold": 2}, as llm-foundry has them, are read too.
Splits: test, 2,376 easy and 1,172 challenging questions, or the validation split (570 and 299) if only that is
there; shots from train (2,251 and 1,119), else from the scored split. Most questions have four options, some three or
five.
GPT-3 compares the probability of an answer after the question with that after the bare "Answer:" (section 2.4).

    document  {"id": "Mercury_7175875", "question": "An astronomer observes ...", "choices": {"text": ["Planetary
               density will decrease.", ...], "label": ["A", ...]}, "answerKey": "C"}
    prompt    Question: An astronomer observes ...
              Answer:
    target     Planetary days will become shorter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from evalkit.data.formats import stem_questions
from evalkit.data.sources import BenchmarkSource, Hub, Row, released
from evalkit.harness.examples import lettered_question
from evalkit.harness.task import Protocol, Task

_read = stem_questions("question")

_PROTOCOLS = {
    "gpt3": Protocol(
        kind="choice",
        query="Question: {input}\nAnswer:",
        target=" {choice}",
        metrics=("acc", "acc_per_token", "acc_per_char", "acc_per_byte"),
        answer_context="Answer:",
        paper_shots=50,
    ),
    "lm-eval": Protocol(
        kind="choice",
        query="Question: {input}\nAnswer:",
        target=" {choice}",
        metrics=("acc", "acc_per_char", "acc_per_byte"),
    ),
}


def _with_letters(rows: Iterable[Row]) -> Iterator[Row]:
    """Give bare rows, which have the question as it stands in a prompt and the options as a list, the hub's columns."""
    for row in rows:
        if "query" in row and isinstance(row.get("choices"), list):
            question = str(row["query"]).removeprefix("Question:").removesuffix("Answer:").strip()
            letters = [str(place) for place in range(len(row["choices"]))]
            row = {**row, "question": question, "choices": {"text": row["choices"], "label": letters},
                   "answerKey": str(row.get("gold"))}  # fmt: skip
        yield row


def _task(name: str, part: str) -> Task:
    return Task(
        name=name,
        family="qa",
        title=f"school science, the {part.lower()} part, multiple choice (Clark et al. 2018)",
        licence="CC BY-SA 4.0",
        source=BenchmarkSource(
            name=name,
            hub=Hub(id="allenai/ai2_arc", config=f"ARC-{part}", splits={"test": "test", "shots": "train"}),
            releases=released(f"arc/ARC-{part}-Test.jsonl", shots=f"arc/ARC-{part}-Train.jsonl", read=_read),
            samples=released(f"arc/{part.lower()}-validation.jsonl"),
            prepare=_with_letters,
        ),
        to_example=lettered_question("question", task="answer the question of school science"),
        protocols=_PROTOCOLS,
    )


TASKS = (_task("arc_easy", "Easy"), _task("arc_challenge", "Challenge"))
