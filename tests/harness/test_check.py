"""check_task finds what is wrong with a task: a sound toy task passes, and each of its broken twins does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from evalkit.data.sources import DataPaths, Split
from evalkit.errors import DataError, UsageError
from evalkit.harness.check import check_task
from evalkit.harness.task import Protocol, Task
from evalkit.metrics.choice import Accuracy
from evalkit.types import Document, Example


@dataclass(frozen=True)
class Rows:
    """A source in memory."""

    count: int = 60
    same_id: bool = False

    def rows(self, split: Split, data: DataPaths) -> Iterator[Mapping[str, Any]]:
        for i in range(self.count):
            yield {"id": "x" if self.same_id and split == "test" else f"{split}{i}", "number": i}

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        return split

    def at_hand(self, data: DataPaths) -> str:
        return "memory"


def _choice(document: Document) -> Example:
    number = document.row["number"]
    options = ("even", "odd")
    return Example(
        task="say whether it is even or odd",
        input=f"{document.id} is {number}",
        output=options[number % 2],
        choices=options,
        gold=number % 2,
    )


def _free(document: Document) -> Example:
    return Example(task="repeat", input=f"say {document.id}", output=document.id, parts={"name": document.id})


CHOICE = Task(
    name="toy",
    family="qa",
    title="toy",
    source=Rows(),
    to_example=_choice,
    protocols={"plain": Protocol(kind="choice", query="{input}:", target=" {choice}", metrics=("acc", "acc_per_char"))},
)
FREE = Task(
    name="toy",
    family="qa",
    title="toy",
    source=Rows(),
    to_example=_free,
    protocols={"plain": Protocol(kind="generate", query="{input}:", metrics=("exact_match", "f1", "rouge1"))},
)
NONE = DataPaths()


def _with(task: Task, **changes: Any) -> Task:
    return replace(task, protocols={"plain": replace(task.protocols["plain"], **changes)})


def _changed(original: Task, /, **changes: Any) -> Task:
    """Change the scored examples; the shots stay sound."""

    def to_example(document: Document) -> Example:
        example = original.to_example(document)
        return replace(example, **changes) if document.id.startswith("test") else example

    return replace(original, to_example=to_example)


@pytest.mark.parametrize("task", [CHOICE, FREE], ids=["choice", "free"])
def test_a_sound_task_passes(task: Task) -> None:
    check_task(task, NONE)


def test_further_wordings_and_an_answer_context_are_sound() -> None:
    check_task(_with(CHOICE, answer_context="A:", templates={"b": {"query": "{input}?"}}, paper_shots=2), NONE)
    check_task(_with(FREE, templates={"b": {"description": "Repeat."}, "c": {"separator": " "}}), NONE)


BROKEN = [
    (_changed(CHOICE, output="prime"), "its output is not the option that gold points to"),
    (_changed(CHOICE, choices=("even", "even")), "two options are the same"),
    (_changed(CHOICE, choices=("even",), gold=0, output="even"), "at least two options"),
    (_changed(FREE, output=" "), "its output is empty"),
    (_changed(FREE, input=""), "its input is empty"),
    (_changed(FREE, task=""), "Example.task is empty"),
    (_changed(FREE, references=("another",)), "its output is not among its references"),
    (_changed(FREE, output="two\nlines"), r"the target holds the stop string \['\\n'\]"),
    (_with(FREE, query="{input} {place}:"), r"names \['place'\]"),
    (_with(FREE, target=" {choise}"), r"names \['choise'\]"),
    (_with(FREE, shrink=("place", "left")), "shrink names 'place', which is not one of its parts"),
    (_with(FREE, shrink=("name", "left")), "shrink names 'name', which is not in the query"),
    (_with(FREE, cleanup=str.upper), "the cleanup changes 100% of the gold answers"),
    (_with(CHOICE, target=""), "without anything to score"),
    (replace(FREE, version=0), "versions count from 1"),
    (_with(FREE, answer_context="A:"), "an answer_context needs the kind choice"),
    (_with(CHOICE, query="{input} {choice}:", answer_context="A:"), "no answer follows an answer_context"),
    (_with(CHOICE, metrics=("acc_unconditional",)), "acc_unconditional needs an answer_context"),
    (_with(CHOICE, target="", query="{input}{choice}"), "without anything to score"),
    (_with(FREE, templates={"b": {"query": "{place}"}}), r"template b, document .* names \['place'\]"),
    (_with(FREE, templates={"b": {"target": " {task}"}}), "template b: the cleanup changes 100% of the gold answers"),
]


@pytest.mark.parametrize(
    ("gold", "shown"), [(None, "null"), (2, "2"), (-1, "-1"), (True, "True"), (0.5, "0.5"), ("1", "'1'")]
)
def test_a_gold_that_is_no_choice_is_found(gold: Any, shown: str) -> None:
    with pytest.raises(DataError, match=f"toy: row 1 of its test data: the label {shown} names none of its 2"):
        check_task(_changed(CHOICE, gold=gold), NONE)
    only = replace(CHOICE, to_example=lambda d: replace(_choice(d), **({"gold": gold} if d.id == "test3" else {})))
    with pytest.raises(AssertionError, match=r"document test3: row 4 of its test data: the label"):
        check_task(only, NONE)


@pytest.mark.parametrize(("task", "message"), BROKEN)
def test_a_broken_task_is_found(task: Task, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_task(task, NONE)


def test_partial_scoring_is_sound() -> None:
    check_task(_with(CHOICE, query="{input}: {choice}", target=" it is"), NONE)


def test_several_references_are_sound() -> None:
    check_task(_changed(FREE, output="right", references=("right", "wrong")), NONE)


def test_a_metric_that_cannot_be_reached_is_found() -> None:
    """A likelihood protocol generates no text, so that nothing can match."""
    with pytest.raises(AssertionError, match=r"toy, protocol plain: .* exact_match 0\.0000 with 0 shots, expected 100"):
        check_task(_with(FREE, kind="loglikelihood", metrics=("acc", "exact_match")), NONE)


def test_answers_too_short_for_their_metric_are_found() -> None:
    """BLEU counts up to four words in a row; answers of one word never have them."""
    with pytest.raises(AssertionError, match=r"gets bleu 0\.0000 with 0 shots, expected 100"):
        check_task(_with(FREE, metrics=("bleu",)), NONE)
    check_task(_with(_changed(FREE, output="now that is long enough"), metrics=("bleu", "chrf")), NONE)


def test_a_chance_that_is_not_met_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accuracy, "chance", lambda self, example: 0.9)
    with pytest.raises(AssertionError, match=r"guesses get acc .* but chance is 90\.0%"):
        check_task(CHOICE, NONE)


def test_ids_must_be_unique() -> None:
    with pytest.raises(DataError, match="60 documents with 1 different ids"):
        check_task(replace(FREE, source=Rows(same_id=True)), NONE)


def test_the_pool_must_hold_the_shots() -> None:
    with pytest.raises(UsageError, match="--shots 3: toy has only 2 other examples"):
        check_task(replace(FREE, source=Rows(count=2)), NONE)
