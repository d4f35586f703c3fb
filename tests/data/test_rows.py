"""Labels that name a choice and labels that do not; what becomes of a document without a right answer."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.data.rows import choice_of, texts_of
from evalkit.data.sources import DataPaths, Split
from evalkit.engine import fake
from evalkit.errors import DataError, LabelError, UsageError
from evalkit.harness import catalog
from evalkit.harness.load import load
from evalkit.harness.run import describe, evaluate
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Protocol, Task
from evalkit.runs.store import RunStore, read_records
from evalkit.types import Document, Example, Request, Response, Result

NONE = DataPaths()
FOUR = ("house", "river", "red", "garden")


@pytest.mark.parametrize(
    ("label", "place"),
    [(0, 0), (3, 3), (1.0, 1), ("2", 2), ("2.0", 2), (" 2\n", 2), (np.int64(2), 2), (np.float32(3), 3)],
)
def test_a_whole_number_counts_the_choices(label: Any, place: int) -> None:
    found = choice_of(label, FOUR)
    assert (found, type(found)) == (place, int)


@pytest.mark.parametrize(
    "label",
    [
        -1,
        "-1",
        4,
        9,
        "9",
        0.5,
        math.nan,
        math.inf,
        -math.inf,
        None,
        "",
        True,
        False,
        "house",
        "1e0",
        "²",
        [1],
        {},
        10**30,
    ],
)
def test_everything_else_counts_none(label: Any) -> None:
    with pytest.raises(LabelError, match=r"^the label .* names none of its 4 choices$"):
        choice_of(label, FOUR)


def test_names_are_whole_names() -> None:
    assert [choice_of(name, FOUR, names="ABCD") for name in "ABCD"] == [0, 1, 2, 3]
    for label in ("", "BC", "AB", "a", "E", 0, None, True):
        with pytest.raises(LabelError):
            choice_of(label, FOUR, names="ABCD")
    for label in ("house ", "River", 1.5):
        with pytest.raises(LabelError):
            choice_of(label, FOUR, names=FOUR)
    assert choice_of("river", FOUR, names=FOUR, numbered=True) == choice_of(1, FOUR, names=FOUR, numbered=True) == 1
    assert choice_of("1", ("yes", "no"), first=1) == 0
    with pytest.raises(LabelError):
        choice_of("0", ("yes", "no"), first=1)
    with pytest.raises(LabelError):
        choice_of("D", FOUR[:3], names="ABCD")  # a letter of no option


def test_a_bool_is_a_name_only_where_bools_are_names() -> None:
    names = {False: 0, True: 1}
    assert [choice_of(label, ("no", "yes"), names=names) for label in (False, True, 0, 1, 1.0)] == [0, 1, 0, 1, 1]
    with pytest.raises(LabelError):
        choice_of(True, ("no", "yes"), names={0: 0, 1: 1})


def test_a_text_is_no_list_of_texts() -> None:
    assert texts_of(["a", "b "], "options") == ("a", "b ")
    with pytest.raises(TypeError, match="expected a list of texts in 'options', found str"):
        texts_of("abcd", "options")


@dataclass(frozen=True)
class Rows:
    """Documents with these labels to score, and others to draw shots from."""

    labels: Sequence[Any]
    pool: Sequence[Any] = (0, 1, 0, 1)

    def rows(self, split: Split, data: DataPaths) -> Iterator[Mapping[str, Any]]:
        for i, label in enumerate(self.labels if split == "test" else self.pool):
            yield {"id": str(i), "text": f"{split} {i}", "label": label}

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        return split

    def at_hand(self, data: DataPaths) -> str:
        return "memory"


def _careless(document: Document) -> Example:
    """As a user might write it: -1 is the last option, and true is the second."""
    gold, options = document.row["label"], ("a", "b")
    output = options[int(gold)] if gold in (-1, 0, 1) else ""
    return Example(task="t", input=document.row["text"], output=output, choices=options, gold=gold)


def _task(*labels: Any, **changes: Any) -> Task:
    plain = Protocol(kind="choice", query="{input}", target=" {choice}", metrics=("acc",))
    return Task(
        name="t", family="qa", title="toy", source=Rows(labels, **changes), to_example=_careless,
        protocols={"plain": plain},
    )  # fmt: skip


def _run(task: Task, folder: Path, **settings: Any) -> list[Result]:
    chosen = RunSettings(**settings)
    loaded = load(task, chosen, NONE)
    engine = fake.FakeEngine("first", lambda request: Response(loglikelihood=-float(request.index), tokens=1))
    with RunStore(folder, describe(engine, [loaded], chosen)) as store:
        results = evaluate(engine, [loaded], chosen, store)
    assert all(request.doc_id not in ("1", "2", "3", "4", "5") for request in engine.asked)
    return [r for r in results if r.source == "model" and r.metric == "acc"]


def test_a_document_whose_label_names_no_choice_fails_and_is_never_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [result] = _run(_task(0, -1, None, True, 7, 0.5, 1.0), tmp_path)
    assert (result.value, result.n, result.failed, result.chance) == (50.0, 2, 5, 50.0)
    failed = {r.doc_id: r.error for r in read_records(tmp_path) if r.error}
    assert failed["1"] == "row 2 of its test data: the label -1 names none of its 2 choices"
    assert sorted(failed) == ["1", "2", "3", "4", "5"]
    [warning] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith("t: 5 of 7 labels name no choice and are failed items (row 2 of its test data: the label")


def test_a_split_without_labels_is_an_error_before_anything_runs() -> None:
    with pytest.raises(DataError, match=r"^t: row 1 of its test data: the label -1 names none of its 2 choices; no "):
        load(_task(-1, -1), RunSettings(), NONE)
    with pytest.raises(DataError, match=r"row 1 of its shots data: .* has no examples to show"):
        load(_task(0, pool=[None, 5]), RunSettings(shots=(1,)), NONE)


def test_what_has_no_right_answer_is_never_a_shot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = _task(0, pool=[-1, 0, True, 1.0, None])
    _run(task, tmp_path, shots=(2,), seeds=(1, 2, 3, 4, 5))
    shown = {line for r in read_records(tmp_path) for line in r.prompt.contexts[0].split("\n\n")[:-1]}
    assert shown == {"shots 1 a", "shots 3 b"}
    assert "t: 3 of 5 labels name no choice and are left out (row 1 of its shots data" in caplog.text
    with pytest.raises(UsageError, match="--shots 3: t has only 2 other examples"):
        load(task, RunSettings(shots=(3,)), NONE)


def test_several_right_answers_are_all_choices(tmp_path: Path) -> None:
    def to_example(document: Document) -> Example:
        return replace(_careless(document), gold=None, golds=document.row["label"])

    [result] = _run(replace(_task((0, 1.0), (0, 2), (0, True)), to_example=to_example), tmp_path)
    assert (result.value, result.n, result.failed) == (100.0, 1, 2)


def _jsonl(path: Path, *rows: Mapping[str, Any]) -> DataPaths:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataPaths(named={path.stem: path})


HELLASWAG = {"ind": 0, "activity_label": "Roofing", "ctx": "A man is on a roof. he", "endings": [*FOUR], "label": 0}
RACE = {
    "example_id": "high1.txt", "question_id": 0, "article": "Text.", "question": "What?", "options": [*FOUR],
    "answer": "B",
}  # fmt: skip
ARC = {"question": "What?", "choices": {"text": [*FOUR], "label": [*"ABCD"]}, "answerKey": "B"}
WINOGRANDE = {"sentence": "The cup hit the jug so _ broke.", "option1": "cup", "option2": "jug", "answer": "2"}
MULTIRC = {"paragraph": "p", "question": "q", "answer": "a", "idx": {"paragraph": 0, "question": 0, "answer": 0}}
CASES = [
    ("hellaswag", HELLASWAG, "ind", "label", [-1, "", 4, None, True, "1.5"]),
    ("race_high", RACE, "question_id", "answer", ["", "BC", "E", "AB", 1, None]),
    ("arc_easy", ARC, "id", "answerKey", ["", "AB", "E", 1]),
    ("piqa", {"goal": "g", "sol1": "a", "sol2": "b", "label": 0}, "id", "label", [-1, True, 2]),
    ("winogrande", WINOGRANDE, "qID", "answer", ["", "0", "3", True]),
    ("rte", {"premise": "p", "hypothesis": "h", "label": 0}, "idx", "label", [-1, "entail", True]),
    ("boolq", {"passage": "p", "question": "q", "answer": True}, "id", "answer", [None, 2, "true"]),
    ("sst2", {"sentence": "s", "label": 1}, "idx", "label", [-1, True, None]),
    ("cola", {"sentence": "s", "label": 1}, "idx", "label", [-1, True, None]),
]


@pytest.mark.parametrize(("name", "row", "key", "column", "wrong"), CASES, ids=[case[0] for case in CASES])
def test_bundled_tasks(
    name: str, row: Mapping[str, Any], key: str, column: str, wrong: list[Any], tmp_path: Path
) -> None:
    def numbered(i: int, **changes: Any) -> dict[str, Any]:
        return {**row, key: f"q{i}-1" if key == "qID" else i, **changes}

    task = catalog.bundled()[name]
    rows = [numbered(0), *(numbered(i, **{column: label}) for i, label in enumerate(wrong, start=1))]
    loaded = load(task, RunSettings(), _jsonl(tmp_path / f"{name}.jsonl", *rows))
    errors = [example.error for _, example in loaded.documents]
    assert errors.count("") == 1 and len(errors) == len(rows)
    for label in wrong:
        data = _jsonl(tmp_path / f"{name}.jsonl", numbered(0, **{column: label}))
        with pytest.raises(DataError, match=rf"^{name}: row 1 of its test data, .*{name}\.jsonl: the label "):
            load(task, RunSettings(), data)


def test_an_earlier_question_without_an_answer_is_not_shown_as_solved(tmp_path: Path) -> None:
    rows = [{**RACE, "question_id": i, "question": f"Q{i}?", "answer": a} for i, a in enumerate(["A", "", "C"])]
    loaded = load(catalog.bundled()["race_high"], RunSettings(), _jsonl(tmp_path / "race_high.jsonl", *rows))
    turns = {document.id: example.parts.get("turns") for document, example in loaded.documents}
    assert turns == {"high1_0": "", "high1_1": None, "high1_2": "Q: Q0?\n\nA: house\n\n"}


LETTERS = [
    ("hellaswag", {**HELLASWAG, "endings": "abcd"}, "endings"),
    ("race_high", {**RACE, "options": "abcd"}, "options"),
    ("arc_easy", {**ARC, "choices": {"text": [*FOUR], "label": "ABCD"}}, "choices.label"),
    ("squad1", {"id": 1, "title": "", "context": "", "question": "q", "answers": {"text": "May"}}, "answers.text"),
    ("triviaqa", {"question": "q", "answer": {"value": "v", "aliases": "Paris"}}, "answer.aliases"),
    (
        "drop",
        {"section_id": "", "query_id": 1, "passage": "", "question": "", "answers_spans": {"spans": "May"}},
        "spans",
    ),
]


@pytest.mark.parametrize(("name", "row", "column"), LETTERS)
def test_a_text_where_a_list_belongs_is_an_error(
    name: str, row: Mapping[str, Any], column: str, tmp_path: Path
) -> None:
    task = catalog.bundled()[name]
    data = DataPaths(named={task.source.name: _jsonl(tmp_path / "hub.jsonl", row).named["hub"]})
    with pytest.raises(
        DataError, match=rf"row 1 of its test data .*expected a list of texts in '.*{column}', found str"
    ):
        load(task, RunSettings(), data)


@pytest.mark.parametrize("score", [-math.inf, math.inf, math.nan])
@pytest.mark.parametrize("where", [(0,), (1,), (0, 1)])
def test_a_score_without_a_finite_number_chooses_nothing(score: float, where: tuple[int, ...], tmp_path: Path) -> None:
    """Be it of the right option, of another or of all of them: the item fails."""

    def answer(request: Request) -> Response:
        broken = request.doc_id == "0" and request.index in where
        return Response(loglikelihood=score if broken else -1.0 - request.index, tokens=1)

    settings, engine = RunSettings(), fake.FakeEngine("broken", answer)
    loaded = load(_task(0, 0, 1), settings, NONE)
    with RunStore(tmp_path, describe(engine, [loaded], settings)) as store:
        results = evaluate(engine, [loaded], settings, store)
    assert {(r.n, r.failed, r.value) for r in results if r.metric == "acc"} == {(2, 1, 50.0)}
    [failed] = [r for r in read_records(tmp_path) if r.error]
    assert failed.doc_id == "0" and failed.error.startswith(f"the model's score is {score:g}, not a finite number")


def test_names_and_labels_that_cannot_be_keys_name_nothing():
    assert choice_of("b", ["x", "y"], names=[["a"], "b"]) == 1
    for label in ((1, [2]), ["a"], {}):
        with pytest.raises(LabelError, match="names none of its 2 choices"):
            choice_of(label, ["x", "y"], names=[["a"], "b"])
