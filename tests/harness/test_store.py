"""The run folder: what is written can be read, goes on after a kill, and refuses another run."""

from __future__ import annotations

import json

import pytest

from evalkit.errors import StoreError
from evalkit.harness.store import RunStore, read_records, read_results, record_to_json
from evalkit.types import Cell, Prompt, Record, Response, Result

SETTINGS = {"model": {"hash": "1"}, "shots": [0]}


def record(name: str) -> Record:
    return Record(
        cell=Cell(task="t", protocol="plain", shots=2, seed=1, variant="no_passage"),
        doc_id=name,
        cluster="c",
        level="head",
        prompt=Prompt(contexts=("a\n\u2028é", "b"), shots=1, dropped=1, cut=3),
        continuations=(" x", " y"),
        responses=(Response(loglikelihood=-0.1 - 1e-17, is_greedy=True, tokens=2), Response(text="zwei")),
        gold="x",
        prediction="y",
        scores={"acc": (0.0,)},
        baselines={"lead": {"acc": (1.0,)}},
        chance={"acc": 0.5},
    )


def test_a_record_survives_the_file(tmp_path):
    with RunStore(tmp_path / "run", SETTINGS) as store:
        store.append([record("1"), record("2")])
    again = list(read_records(tmp_path / "run"))
    assert [json.dumps(record_to_json(r)) for r in again] == [json.dumps(record_to_json(record(n))) for n in "12"]
    assert again[0].key == record("1").key


@pytest.mark.parametrize("lost", [1, 5, 100])
def test_a_torn_last_line_is_cut_off(tmp_path, lost):
    with RunStore(tmp_path, SETTINGS) as store:
        store.append([record("1"), record("2")])
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-lost])
    with RunStore(tmp_path, SETTINGS) as store:
        assert set(store.done) == {record("1").key}
        store.append([record("2")])
    assert [r.doc_id for r in read_records(tmp_path)] == ["1", "2"]


def test_other_settings_are_refused_with_what_changed(tmp_path):
    RunStore(tmp_path, SETTINGS)
    with pytest.raises(StoreError, match=r"shots: \[0\] -> \[4\]"):
        RunStore(tmp_path, {**SETTINGS, "shots": [4]})


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="holds no run"):
        RunStore(tmp_path, SETTINGS)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to the folder"):
        RunStore(tmp_path / "file" / "run", SETTINGS)


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    with RunStore(tmp_path, SETTINGS) as store:
        store.append([record("1")])
    path = tmp_path / "records.jsonl"
    path.write_text('{"cell": 3}\n' + path.read_text())
    with pytest.raises(StoreError, match=r"records\.jsonl line 1: not a record"):
        RunStore(tmp_path, SETTINGS)


def test_results_keep_missing_intervals(tmp_path):
    fields = {"value": 1.5, "low": float("nan"), "high": float("nan"), "n": 1, "failed": 0, "truncated": 0, "shots": 0}
    names = ("model", "task", "family", "protocol", "metric", "source", "level", "signature")
    result = Result(**{name: name for name in names}, **fields, chance=None)
    store = RunStore(tmp_path, SETTINGS)
    store.finish([result], {"seconds": 1})
    [again] = read_results(tmp_path)
    assert (again.value, again.low != again.low, again.chance) == (1.5, True, None)
    assert json.loads((tmp_path / "results.json").read_text())["results"][0]["low"] is None
