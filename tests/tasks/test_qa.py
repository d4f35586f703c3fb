"""NQ-open: the question mark is written once, and the majority baseline never counts a question's own answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.data.sources import DataPaths
from evalkit.errors import DataError
from evalkit.harness import catalog
from evalkit.harness.prompts import pairs
from evalkit.harness.run import RunSettings, load
from evalkit.types import Document, Example

TASK = catalog.bundled()["nq_open"]


def _example(question: str, *answers: str) -> Example:
    return TASK.to_example(Document(id="0", row={"question": question, "answer": list(answers)}))


@pytest.mark.parametrize("question", ["who wrote it", "who wrote it?", "who wrote it ?"])
def test_one_question_mark(question: str) -> None:
    assert pairs(TASK.protocols["gpt2"], _example(question, "Bobby"), []) == [("Q: who wrote it?\nA:", "")]


def test_all_answers_are_accepted() -> None:
    example = _example("who", "Bobby Scott", " Bob Russell")
    assert (example.output, example.answers) == ("Bobby Scott", ("Bobby Scott", "Bob Russell"))


def test_majority_leaves_the_question_itself_out() -> None:
    majority = TASK.baselines["majority"]
    pool = (_example("q1", "two"), _example("q2", "two"), _example("q3", "one"), _example("q4", "one"))
    assert majority(_example("q5", "x"), pool) == "one"  # of equals, the first in the alphabet
    assert majority(pool[2], pool) == "two"
    assert majority(pool[0], pool) == "one"
    assert majority(_example("q5", "x"), (_example("q6", "three"),)) == "three"


def test_an_answer_that_is_no_list_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "NQ-open.dev.jsonl"
    path.write_text(json.dumps({"question": "who", "answer": "me"}) + "\n")
    with pytest.raises(DataError, match=r"nq_open: row 1 of its test data .*list of answers"):
        load(TASK, RunSettings(), DataPaths(named={"nq_open": path}))
