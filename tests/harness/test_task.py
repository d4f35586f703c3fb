"""Tasks and protocols that users write: what is not allowed is a UsageError, before anything is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit import metrics
from evalkit.data.sources import DataPaths
from evalkit.errors import DataError, UsageError
from evalkit.harness import catalog
from evalkit.harness.load import load
from evalkit.harness.prompts import pairs, render
from evalkit.harness.settings import RunSettings
from evalkit.harness.tabletask import task_from_file, task_from_rows
from evalkit.harness.task import Protocol
from evalkit.types import Example, Response

ROWS = [{"country": "France", "capital": "Paris"}, {"country": "Italy", "capital": "Rome"}]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "choise"}, "unknown kind of protocol 'choise'; did you mean 'choice'"),
        ({"metrics": ()}, "at least one metric"),
        ({"templates": {"b": {"kind": "choice"}}}, "unknown field 'kind' in the template 'b' of a protocol"),
        ({"shrink": ("input", "middle")}, "expected a field's name and left or right"),
        ({"paper_shots": -1}, "paper_shots must be at least 0, not -1"),
        ({"query": "Q: {input"}, "not valid for str.format"),
    ],
)
def test_a_protocol_of_something_unknown(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Protocol(**{"kind": "generate", "query": "{input}", "metrics": ("f1",), **fields})


def test_a_template_that_names_an_unknown_field() -> None:
    protocol = Protocol(kind="choice", query="{question}", metrics=("acc",))
    example = Example(task="t", input="i", output="a", choices=("a", "b"), gold=0)
    with pytest.raises(UsageError, match="unknown field 'question' in a template"):
        pairs(protocol, example, [])
    with pytest.raises(UsageError, match="unknown field 'question' in a template"):
        render(protocol.query, example)


@pytest.mark.parametrize("name", ["mcc", "label_f1", "macro_f1", "multirc_em", "multirc_f1a", "record_f1"])
def test_a_metric_of_choices_needs_choices(name: str) -> None:
    task = task_from_rows("capitals", ROWS, query="{country}:", answer="capital", metrics=[name])
    with pytest.raises(UsageError, match=f"task capitals: metric '{name}' needs a protocol of the kind choice"):
        load(task, RunSettings(), DataPaths())


def test_a_metric_that_needs_an_answer_context() -> None:
    options = ["Paris", "Rome"]
    task = task_from_rows(
        "capitals", ROWS, query="{country}:", answer="capital", choices=options, metrics=["acc_unconditional"]
    )
    with pytest.raises(UsageError, match="metric 'acc_unconditional' needs a protocol with an answer_context"):
        load(task, RunSettings(), DataPaths())


@pytest.mark.parametrize(
    ("name", "changes", "responses", "message"),
    [
        ("label_f1", {"choices": ("a", "b", "c"), "gold": 0}, 3, "label_f1 needs two options, a document has 3"),
        ("multirc_em", {"choices": ("a", "b"), "gold": 0}, 2, "2 options and 0 golds"),
        ("answer_bits_per_byte", {"choices": ("a", "b"), "golds": (0, 1)}, 2, "needs one right option"),
        ("acc", {"choices": ("a", "b"), "gold": 0}, 3, "acc needs a response for each option"),
        ("acc", {"choices": ("a", "b")}, 2, "acc needs a right option"),
    ],
)
def test_a_document_that_a_metric_cannot_score(name: str, changes: Any, responses: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        metrics.get(name).statistics(Example(task="t", input="i", output="a", **changes), [Response()] * responses)


@pytest.mark.parametrize(
    ("value", "message"),
    [("['f1']", "expected METRICS, a dict"), ("{'own': 1}", "expected METRICS, a dict")],
)
def test_a_task_file_with_metrics_of_another_form(tmp_path: Path, value: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"TASKS = ()\nMETRICS = {value}\n")
    with pytest.raises(UsageError, match=message):
        catalog.load_file(path)


@pytest.mark.parametrize(("make", "message"), [(lambda: 1 / 0, "cannot be made: ZeroDivision"), (dict, "found dict")])
def test_a_metric_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, make: Any, message: str) -> None:
    monkeypatch.setitem(metrics.METRICS._added, "broken", make)
    with pytest.raises(UsageError, match=f"metric 'broken'.*{message}"):
        metrics.get("broken")


def test_a_task_whose_code_asserts() -> None:
    def refuse(document: Any) -> Example:
        raise AssertionError("no such row")

    task = task_from_rows("capitals", ROWS, query="{country}:", answer="capital")
    with pytest.raises(DataError, match="row 1 of its test data is not as expected"):
        load(replace(task, to_example=refuse), RunSettings(), DataPaths())


CSV = """country,capital,A,B,C,right
France,Paris,Paris,Rome,Oslo,A
Italy,Rome,Oslo,Paris,Rome,C
"""
FILES = {
    "capitals.csv": CSV,
    "capitals.tsv": CSV.replace(",", "\t"),
    "capitals.jsonl": '{"country": "France", "capital": "Paris"}\n{"country": "Italy", "capital": "Rome"}\n',
    "capitals.json": '[{"country": "France", "capital": "Paris"}, {"country": "Italy", "capital": "Rome"}]',
}


def _examples(path: Path, **columns: Any) -> list[Example]:
    task = task_from_file(path, **columns)
    assert task.name == "capitals"
    return [example for _, example in load(task, RunSettings(), DataPaths()).documents]


@pytest.mark.parametrize("name", FILES)
def test_a_table_is_a_task_whose_columns_are_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name])
    france, italy = _examples(tmp_path / name, question="country", answer="capital")
    assert (france.input, france.references) == ("Q: France\nA:", ("Paris",))
    assert (italy.input, italy.output) == ("Q: Italy\nA:", "Rome")


def test_the_options_of_a_table_are_shared_or_in_columns(tmp_path: Path) -> None:
    path = tmp_path / "capitals.csv"
    path.write_text(CSV)
    shared = _examples(path, question="country", answer="capital", choices=["Rome", "Paris"])
    assert [(e.choices, e.gold) for e in shared] == [(("Rome", "Paris"), 1), (("Rome", "Paris"), 0)]
    for answer in ("right", "capital"):  # the name of the option's column, or the option
        held = _examples(path, question="Of {country}:", answer=answer, choices=["A", "B", "C"])
        assert [(e.input, e.output, e.gold) for e in held] == [("Of France:", "Paris", 0), ("Of Italy:", "Rome", 2)]
    (tmp_path / "capitals.jsonl").write_text('{"q": "France", "a": 1, "among": ["Rome", "Paris"]}\n')
    assert _examples(tmp_path / "capitals.jsonl", question="q", answer="a", choices=["among"])[0].output == "Paris"


def test_the_columns_of_a_table_have_default_names_and_wrong_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "capitals.csv"
    path.write_text("input,output\nFrance,Paris\n")
    assert _examples(path)[0].input == "Q: France\nA:"
    for columns, message in (
        ({"question": "inptu"}, "unknown column 'inptu' of .*capitals.csv for --input; did you mean 'input'"),
        ({"answer": "capital"}, "unknown column 'capital' of .* for --output.*allowed: input, output"),
        ({"question": "{country}?"}, "unknown column 'country' in the template '{country}\\?'"),
    ):
        with pytest.raises(UsageError, match=message):
            task_from_file(path, **columns)
    path.write_text("input,output\n")
    with pytest.raises(DataError, match=r"capitals\.csv has no rows"):
        task_from_file(path)
    with pytest.raises(DataError, match="there is no table"):
        task_from_file(tmp_path / "none.csv")
