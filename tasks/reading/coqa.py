"""CoQA: questions about a passage, in the course of a conversation.

Paper: Reddy, Chen and Manning 2019, "CoQA: A Conversational Question Answering Challenge",
https://arxiv.org/abs/1808.07042.
Splits: the 7,983 questions on the 500 stories of the dev set; shots from train if it is there, else from dev.
A document is one question, named STORY_TURN; the questions on a story are one cluster, its domain is the level. The
questions before it stand in the prompt with their gold answers. The release has four people's answers to a question
and scores them as its script does (leave one out); the hub has only the first, so its scores are lower. GPT-3 puts
blank lines between the turns and decodes with 4 beams. Neither paper says whether the history has the gold answers.

    document  {"id": "3dr2", "story": "Once upon a time, in a barn ...", "questions": ["What color was Cotton?", ...],
               "answers": {"input_text": ["white", ...]}, "turn": 2}
    prompt    Once upon a time, in a barn ...

              Q: What color was Cotton?
              A: white
              Q: Where did she live?
              A:
    target     in a barn
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from evalkit.data.formats import read_sections
from evalkit.data.rows import texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Row, released
from evalkit.harness.task import Protocol, Task
from evalkit.types import Decoding, Document, Example


def _row(story: Mapping[str, Any]) -> Iterable[Row]:
    """Give a story of the release the hub's columns, and what the hub lacks: its id and the other people's answers."""
    others = story.get("additional_answers", {})
    questions = [question["input_text"] for question in story["questions"]]
    answers = [answer["input_text"] for answer in story["answers"]]
    additional = [[answer["input_text"] for answer in others[key]] for key in sorted(others)]
    lengths = {len(texts) for texts in (questions, answers, *additional)}
    if len(lengths) > 1:
        raise ValueError(f"expected as many answers as questions, found {sorted(lengths)}")
    yield {
        "id": story["id"],
        "source": story["source"],
        "story": story["story"],
        "questions": questions,
        "answers": {"input_text": answers},
        "additional_answers": additional,
    }


_read = read_sections(
    "CoQA", _row, unit="story", expected="id, source, story, questions and answers, each with input_text"
)


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    """One document per question; turns count from 1."""
    story = str(row.get("id", index))
    for turn in range(1, len(row["questions"]) + 1):
        yield Document(id=f"{story}_{turn}", row={**row, "turn": turn}, cluster=story, level=row["source"])


def _to_example(document: Document) -> Example:
    row = document.row
    questions = texts_of(row["questions"], "questions")
    answers = texts_of(row["answers"]["input_text"], "answers.input_text")
    last = row["turn"] - 1
    turns = "".join(
        f"Q: {question.strip()}\nA: {answer.strip()}\n"
        for question, answer in zip(questions[:last], answers[:last], strict=True)
    )
    question = questions[last].strip()
    before = f"{row['story'].strip()}\n\n{turns}"
    others = [
        texts_of(other, "additional_answers")[last].strip()
        for other in texts_of(row.get("additional_answers", ()), "additional_answers")
    ]
    return Example(
        task="answer the question about the story",
        input=f"{before}Q: {question}",
        output=answers[last].strip(),
        parts={
            "before": before,
            "before_spaced": _spaced(before, turns),
            "turns": turns,
            "question": question,
        },
        references=(answers[last].strip(), *others),
    )


def _without_passage(example: Example) -> Example:
    turns = example.parts["turns"]
    parts = {**example.parts, "before": turns, "before_spaced": _spaced(turns, turns)}
    return replace(example, input=f"{turns}Q: {example.parts['question']}", parts=parts)


def _spaced(text: str, turns: str) -> str:
    """Return a text that ends in turns with blank lines between their lines, as GPT-3 has them."""
    return text.removesuffix(turns) + turns.replace("\n", "\n\n")


TASKS = (
    Task(
        name="coqa",
        family="reading",
        title="questions about a passage, in a conversation (Reddy et al. 2019)",
        licence="those of the passages: literature and Wikipedia CC BY-SA 4.0, CNN Apache, MCTest MSR-LA, RACE its own",
        source=BenchmarkSource(
            name="coqa",
            hub=Hub(id="stanfordnlp/coqa", splits={"test": "validation", "shots": "train"}),
            releases=released("coqa/coqa-dev-v1.0.json", shots="coqa/coqa-train-v1.0.json", read=_read),
        ),
        to_example=_to_example,
        documents=_documents,
        protocols={
            "gpt2": Protocol(
                kind="generate",
                query="{before}Q: {question}\nA:",
                metrics=("coqa_f1", "coqa_em"),
                decoding=Decoding(until=("\n",), max_tokens=32),
                # From the left: conversations follow the passage, so a long prompt is a late question about its end.
                # With 512 tokens of GPT-2's BPE half of the prompts are cut; where the answer stands once in the
                # passage, it survives a cut from the left in 79 %, from the right in 72 %. The passage goes before
                # the earliest turns, and the passage alone would not do: with 256 tokens 1,481 of the 7,983
                # conversations leave no room for it at all.
                shrink=("before", "left"),
            ),
            "gpt3": Protocol(
                kind="generate",
                query="{before_spaced}Q: {question}\n\nA:",
                metrics=("coqa_f1", "coqa_em"),
                decoding=Decoding(until=("\n",), max_tokens=32, beams=4),
                shrink=("before_spaced", "left"),
                paper_shots=5,
            ),
        },
        controls={"no_passage": _without_passage},
    ),
)
