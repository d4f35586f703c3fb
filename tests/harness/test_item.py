"""From an example to requests and back to a record: the answer context, and further wordings of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.data.sources import DataPaths, Split
from evalkit.engine import fake
from evalkit.harness.item import Item
from evalkit.harness.load import load
from evalkit.harness.run import cells, describe, evaluate
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Protocol, Task
from evalkit.runs.store import RunStore, read_records
from evalkit.types import Document, Example, Request, Response, Result

NONE = DataPaths()


class Rows:
    """Six documents."""

    def rows(self, split: Split, data: DataPaths) -> Iterator[Mapping[str, Any]]:
        yield from ({"id": str(i)} for i in range(6))

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        return "same"

    def at_hand(self, data: DataPaths) -> str:
        return "memory"


def _example(document: Document) -> Example:
    return Example(task="t", input=f"number {document.id}", output="dog", choices=("dog", "cat"), gold=0)


PLAIN = Protocol(kind="choice", query="{input}\nA: ", target="{choice}", metrics=("acc",), answer_context="A: ")
TASK = Task(
    name="t",
    family="qa",
    title="toy",
    source=Rows(),
    to_example=_example,
    protocols={"plain": PLAIN},
    controls={"shouted": lambda example: replace(example, input=example.input.upper())},
    baselines={"cat": lambda example, pool: "cat"},
)


def _item(protocol: Protocol = PLAIN) -> Item:
    settings = RunSettings()
    loaded = load(replace(TASK, protocols={"plain": protocol}), settings, NONE)
    return Item.build(fake.constant(), loaded, next(cells(loaded, settings)), loaded.documents[:1])[0]


def test_each_option_is_asked_once_more_after_the_answer_context() -> None:
    requests = _item().requests
    assert [(r.index, r.context[-3:], r.continuation) for r in requests] == [
        (0, "A: ", "dog"), (1, "A: ", "cat"), (2, "A: ", "dog"), (3, "A: ", "cat"),
    ]  # fmt: skip
    assert [r.context for r in requests[2:]] == ["A: ", "A: "]


def test_the_blank_at_the_boundary_moves_in_both() -> None:
    for request in _item().requests:
        assert bytes(request.context_ids).endswith(b"A:")
        assert bytes(request.continuation_ids) == f" {request.continuation}".encode()


def test_without_an_answer_context_nothing_more_is_asked() -> None:
    assert len(_item(replace(PLAIN, answer_context="")).requests) == 2


def _evaluate(engine: fake.FakeEngine, task: Task, folder: Path, settings: RunSettings) -> list[Result]:
    loaded = load(task, settings, NONE)
    with RunStore(folder, describe(engine, [loaded], settings)) as store:
        return evaluate(engine, [loaded], settings, store)


def _likes_cats(request: Request) -> Response:
    """Finds cats likelier than dogs wherever they stand, but less so after a question."""
    asked = request.index < 2
    likelihood = {"dog": -3.0 if asked else -9.0, "cat": -2.0 if asked else -4.0}[request.continuation]
    return Response(loglikelihood=likelihood, tokens=len(request.continuation_ids))


def test_only_the_unconditional_accuracy_hears_of_it(tmp_path: Path) -> None:
    results = _evaluate(fake.FakeEngine("cats", _likes_cats), TASK, tmp_path, RunSettings())
    own = {r.metric: r.value for r in results if r.source == "model"}
    assert own == {
        "acc": 0.0, "acc_per_token": 0.0, "acc_per_char": 0.0, "acc_per_byte": 0.0, "acc_unconditional": 100.0,
    }  # fmt: skip
    record = next(read_records(tmp_path))
    assert len(record.responses) == 4 and record.continuations == ("dog", "cat") and record.prediction == "dog"
    assert {r.value for r in results if r.source == "baseline:cat"} == {0.0}


def _reads_loud(request: Request) -> Response:
    right = request.context.startswith("HERE") == (request.index % 2 == 0)
    return Response(loglikelihood=-1.0 if right else -2.0, tokens=1)


@pytest.fixture
def worded(tmp_path: Path) -> list[Result]:
    protocol = replace(
        PLAIN, answer_context="", templates={"loud": {"description": "HERE"}, "low": {"query": "{input}:"}}
    )
    task = replace(TASK, protocols={"plain": protocol})
    return _evaluate(fake.FakeEngine("loud", _reads_loud), task, tmp_path, RunSettings(templates=("all",)))


def test_wordings_are_stored_apart(worded: list[Result], tmp_path: Path) -> None:
    found = {r.template: r.value for r in worded if r.source == "model" and r.metric == "acc"}
    assert found == {"": 0.0, "loud": 100.0, "low": 0.0}
    assert {r.cell.template for r in read_records(tmp_path)} == {"", "loud", "low"}
    for result in worded:
        assert ("|template:loud|" in result.signature) == (result.template == "loud")


def test_controls_and_baselines_belong_to_the_own_wording(worded: list[Result]) -> None:
    assert {r.template for r in worded if r.source != "model"} == {""}
    assert {r.source for r in worded if not r.template} == {"model", "control:shouted", "baseline:cat"}


def test_a_task_narrowed_to_levels_scores_only_those(tmp_path: Path) -> None:
    def documents(row: Mapping[str, Any], index: int) -> Iterator[Document]:
        yield Document(id=row["id"], row=row, level="even" if index % 2 == 0 else "odd")

    task = replace(TASK, documents=documents, levels=("odd",))
    results = _evaluate(fake.constant(), task, tmp_path, RunSettings())
    assert {r.level for r in results} == {"", "odd"} and {r.n for r in results} == {3}
    assert all("|levels:odd|" in r.signature for r in results)


def test_a_control_of_the_shots_runs_where_there_are_several(tmp_path: Path) -> None:
    def swapped(shots: Sequence[Example]) -> list[Example]:
        return [replace(one, output="cat", gold=1) for one in shots]

    task = replace(TASK, shot_controls={"swapped": swapped}, protocols={"plain": replace(PLAIN, answer_context="")})
    _evaluate(fake.constant(), task, tmp_path, RunSettings(shots=(1, 2)))
    records = [r for r in read_records(tmp_path) if r.cell.variant == "swapped"]
    assert len(records) == 6 and {r.cell.shots for r in records} == {2}
    assert all(r.prompt.contexts[0].count("A: cat") == 2 for r in records)


def test_a_score_that_is_no_number_fails_its_item_alone(tmp_path: Path) -> None:
    def answer(request: Request) -> Response:
        broken = request.doc_id == "3" and request.index == 1
        return Response(loglikelihood=float("nan") if broken else -float(request.index), tokens=1)

    results = _evaluate(fake.FakeEngine("broken", answer), TASK, tmp_path, RunSettings())
    own = [r for r in results if r.source == "model"]
    assert {(r.n, r.failed) for r in own} == {(5, 1)}
    failed = [r for r in read_records(tmp_path) if r.error]
    assert [(r.doc_id, r.cell.variant, r.prediction, dict(r.scores)) for r in failed] == [
        ("3", "", "", {}), ("3", "shouted", "", {}),
    ]  # fmt: skip
    assert all(r.error == "the model's score is nan, not a finite number; are its weights sound?" for r in failed)
    assert "NaN" not in (tmp_path / "records.jsonl").read_text()


# Likelier as a whole, and likelier per token or sign.
SHORT, LONG = Response(loglikelihood=-2.0, tokens=1), Response(loglikelihood=-3.0, tokens=3)


@pytest.mark.parametrize(
    ("metrics", "prediction"),
    [
        (("record_em", "record_f1"), "a long one"),
        (("acc_per_token", "acc"), "a long one"),
        (("acc_per_char", "acc"), "a long one"),
        (("acc", "acc_per_token"), "dog"),
        (("macro_f1",), "dog"),
        (("macro_f1_per_token",), "a long one"),
        (("label_f1",), "dog"),
        (("mcc", "acc_per_char"), "dog"),
        (("answer_bits_per_byte",), "dog"),
    ],
)
def test_the_stored_prediction_is_the_choice_that_is_scored(
    metrics: tuple[str, ...], prediction: str, tmp_path: Path
) -> None:
    def to_example(document: Document) -> Example:
        return replace(_example(document), choices=("dog", "a long one"))

    protocol = replace(PLAIN, answer_context="", metrics=metrics)
    task = replace(TASK, protocols={"plain": protocol}, to_example=to_example, baselines={}, controls={})
    engine = fake.FakeEngine("two", lambda request: (SHORT, LONG)[request.index])
    _evaluate(engine, task, tmp_path, RunSettings())
    for record in read_records(tmp_path):
        assert record.prediction == prediction
        if metrics[0].startswith(("acc", "record")):
            assert record.scores[metrics[0]][0] == float(prediction == record.gold)


def test_the_prediction_of_labelled_answers_has_a_label_for_each(tmp_path: Path) -> None:
    options = ("[True] one", "[False] one", "[True] two", "[False] two")

    def to_example(document: Document) -> Example:
        told = "[False] one\n- [True] two"
        return replace(_example(document), choices=options, gold=None, golds=(1, 2), output=told)

    protocol = replace(PLAIN, answer_context="", metrics=("multirc_em", "multirc_f1a"))
    task = replace(TASK, protocols={"plain": protocol}, to_example=to_example, baselines={}, controls={})
    liked = {0: -5.0, 1: -4.0, 2: -1.0, 3: -9.0}
    engine = fake.FakeEngine("pairs", lambda request: Response(loglikelihood=liked[request.index], tokens=1))
    _evaluate(engine, task, tmp_path, RunSettings())
    for record in read_records(tmp_path):
        assert record.prediction == record.gold == "[False] one\n- [True] two"
        assert tuple(record.scores["multirc_em"]) == (1.0,)
