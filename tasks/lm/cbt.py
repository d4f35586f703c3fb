"""Children's Book Test: which of ten words was left out of a sentence that follows twenty others.

Paper: Hill et al. 2016, "The Goldilocks Principle: Reading Children's Books with Explicit Memory Representations",
https://arxiv.org/abs/1511.02301.
Link: https://research.facebook.com/downloads/babi.
Splits: validation, 2,000 questions of each type, as GPT-2 (section 3.2) reports; shots from train.
`cbt_cn` leaves out common nouns, `cbt_ne` named entities. A document is a question, named by its position.
As in GPT-2 an option's score is the likelihood of the option and of the rest of the sentence, and the Treebank's
notation is turned into natural text.

    document  {"sentences": ["With almost everything else to make them happy , they wanted one thing : ...", ...],
               "question": "`` My dear XXXXX , '' said the king .", "answer": "queen",
               "options": ["queen", "child", ...]}
    prompt    With almost everything else to make them happy, they wanted one thing: ... "My dear
    target     queen," said the king.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evalkit.data.rows import choice_of, texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Release, Row, read_lines
from evalkit.errors import DataError
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.text import detokenize
from evalkit.types import Document, Example

_SENTENCES = 20
_BLANK = "XXXXX"
_NUMBER = re.compile(r"(\d+) ")


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the questions: twenty numbered sentences, then the question, its answer and the options."""
    for path in paths:
        sentences: list[str] = []
        for number, line in read_lines(path):
            if not line.strip():
                continue
            numbering = _NUMBER.match(line)
            if not numbering or int(numbering.group(1)) != len(sentences) + 1:
                raise DataError(f"{path} line {number}: expected sentence {len(sentences) + 1} of a question")
            text = line[numbering.end() :]
            if len(sentences) < _SENTENCES:
                sentences.append(text)
                continue
            yield _question(text, sentences, where=f"{path} line {number}")
            sentences = []
        if sentences:
            raise DataError(f"{path} ends within a question, after its sentence {len(sentences)}; is the file cut?")


def _question(text: str, sentences: Sequence[str], *, where: str) -> dict[str, Any]:
    fields = [field for field in text.split("\t") if field]
    if len(fields) != 3 or _BLANK not in fields[0]:
        raise DataError(f"{where}: expected a question with {_BLANK}, its answer and options, separated by tabs")
    return {
        "sentences": list(sentences),
        "question": fields[0],
        "answer": fields[1].strip(),
        "options": [option for option in fields[2].strip().split("|") if option],
    }


def _to_example(document: Document) -> Example:
    row = document.row
    passage = detokenize.storybook(" ".join(sentence.strip() for sentence in row["sentences"]))
    before, blank, after = detokenize.storybook(row["question"]).partition(_BLANK)
    if not blank:
        raise ValueError(f"expected {_BLANK} in the question")
    options = tuple(dict.fromkeys(texts_of(row["options"], "options")))
    gold = choice_of(row["answer"], options, names=options)
    start = before.rstrip()
    return choice_example(
        "fill the blank",
        input=f"{passage} {before}{blank}{after}",
        parts={
            "context": f"{passage} {start}".rstrip(),
            "gap": before[len(start) :] or " " * (not start),
            "after": after,
        },
        choices=options,
        gold=gold,
    )


def _task(kind: str, title: str) -> Task:
    def release(name: str) -> Release:
        return Release(files=(f"CBTest/data/cbtest_{kind}_{name}.txt",), read=_read)

    return Task(
        name=f"cbt_{kind.lower()}",
        family="cloze",
        title=f"which {title} a story goes on with (Hill et al. 2016)",
        licence="GFDL; the books are Project Gutenberg's",
        source=BenchmarkSource(
            name=f"cbt_{kind.lower()}",
            hub=Hub(id="cam-cst/cbt", config=kind, splits={"test": "validation", "shots": "train"}),
            releases={"test": release("valid_2000ex"), "shots": release("train")},
        ),
        to_example=_to_example,
        protocols={
            "gpt2": Protocol(
                kind="choice",
                query="{context}",
                target="{gap}{choice}{after}",
                metrics=("acc", "acc_per_token"),
                shrink=("context", "left"),
            )
        },
    )


TASKS = (_task("CN", "common noun"), _task("NE", "name"))
