"""RACE: multiple-choice questions from English exams of Chinese middle and high schools.

Paper: Lai et al. 2017, "RACE: Large-scale ReAding Comprehension Dataset From Examinations",
https://arxiv.org/abs/1704.04683.
Splits: test, 1,436 questions (middle) and 3,498 (high), from the hub or the release's own RACE.tar.gz; shots from
train, else from the scored split. A file race_sample.jsonl with the hub's columns and a question_id holds both schools.
A document is a question, named ARTICLE_NUMBER; the questions of an article are one cluster. GPT-3 shows the earlier
questions of the article with their answers, and compares the probability of an answer with that after the bare "A:".
GPT-1 takes the answer of the highest mean token log-probability after article and question (section 5).

    document  {"example_id": "high3.txt", "article": "...", "question": "...", "options": ["...", ...], "answer": "D"}
    prompt    Article:
              Hotels can make a person's stay away from home as restful as possible. ...

              Q: What is the purpose of the writer writing the article?

              A:
    target     To give information about an uncommon hotel.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from evalkit.data.rows import choice_of, texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Release, Row, read_jsonl, released, with_earlier
from evalkit.errors import DataError, LabelError
from evalkit.harness.examples import choice_example, solved_turns
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example


def _read_archive(paths: Sequence[Path], *, folder: str) -> Iterator[Row]:
    """Yield the questions of the articles below RACE/FOLDER/ of the release, with the hub's columns.

    The archive is read in one pass; nothing is unpacked.
    """
    for path in paths:
        any_article = False
        try:
            with tarfile.open(path, "r|*") as archive:
                for member in archive:
                    if not (member.isfile() and f"/{folder}/" in f"/{member.name}" and member.name.endswith(".txt")):
                        continue
                    any_article = True
                    file = archive.extractfile(member)
                    yield from _questions(file.read() if file else b"", where=f"{path}, {member.name}")
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path}: not a readable tar archive ({error}); is the file cut?") from error
        if not any_article:
            raise DataError(f"{path}: expected articles in RACE/{folder}/NUMBER.txt, found none")


def _questions(content: bytes, *, where: str) -> Iterator[Row]:
    try:
        article = json.loads(content)
        for question, options, answer in zip(article["questions"], article["options"], article["answers"], strict=True):
            yield {
                "example_id": article["id"],
                "article": article["article"],
                "question": question,
                "options": options,
                "answer": answer,
            }
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{where}: expected JSON with id, article and equally many questions, options and answers "
            f"({type(error).__name__}: {error})"
        ) from error


def _read_sample(paths: Sequence[Path], *, school: str) -> Iterator[Row]:
    """Yield the rows of one school: ids begin with its name."""
    return (row for row in read_jsonl(paths) if str(row.get("example_id", "")).startswith(school))


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    article = row["example_id"].removesuffix(".txt")
    number = row.get("question_id", len(row["earlier"]))  # the sample holds few questions of an article
    yield Document(id=f"{article}_{number}", row=row, cluster=article)


def _to_example(document: Document) -> Example:
    row = document.row
    choices, gold = _options(row)
    article, question = row["article"].strip(), row["question"].strip()
    turns: list[tuple[str, str]] = []
    for earlier in row["earlier"]:
        with suppress(LabelError):  # a question without an answer cannot be shown
            options, right = _options(earlier)
            turns.append((earlier["question"].strip(), options[right]))
    return choice_example(
        "answer the question about the article",
        input=f"{article}\n\n{question}",
        parts={"article": article, "turns": solved_turns(turns), "question": question},
        choices=choices,
        gold=gold,
    )


def _options(row: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """Return the options and the index of the right one, which rows name by its letter."""
    options = tuple(text.strip() for text in texts_of(row["options"], "options"))
    return options, choice_of(row["answer"], options, names="ABCD")


_PROTOCOLS = {
    "gpt3": Protocol(
        kind="choice",
        query="Article:\n{article}\n\n{turns}Q: {question}\n\nA:",
        target=" {choice}",
        metrics=("acc", "acc_per_token", "acc_per_char", "acc_per_byte"),
        shrink=("article", "left"),
        answer_context="A:",
        paper_shots=10,
    ),
    "gpt1": Protocol(
        kind="choice",
        query="{article} {question}",
        target=" {choice}",
        metrics=("acc_per_token",),
        shrink=("article", "left"),
        paper_shots=0,
    ),
}


def _archive(folder: str) -> Release:
    return Release(files=("race/RACE.tar.gz",), read=partial(_read_archive, folder=folder))


def _task(school: str, title: str) -> Task:
    return Task(
        name=f"race_{school}",
        family="reading",
        title=f"English exams of {title} schools, multiple choice (Lai et al. 2017)",
        licence="for research only, no commercial use",
        source=BenchmarkSource(
            name=f"race_{school}",
            hub=Hub(id="ehovy/race", config=school, splits={"test": "test", "shots": "train"}),
            releases={"test": _archive(f"test/{school}"), "shots": _archive(f"train/{school}")},
            samples=released("race/race_sample.jsonl", read=partial(_read_sample, school=school)),
            prepare=partial(with_earlier, passage="article"),
        ),
        to_example=_to_example,
        documents=_documents,
        protocols=_PROTOCOLS,
    )


TASKS = (_task("middle", "middle"), _task("high", "high"))
