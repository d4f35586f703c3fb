"""Records as tables: what they hold is what the journal says, whatever the format and the conditions."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.errors import StoreError
from evalkit.metrics import METRICS
from evalkit.metrics.choice import Accuracy
from evalkit.results import Records
from evalkit.runs.journal import seal
from evalkit.runs.scores_file import Content, load, save
from evalkit.runs.store import open_run, read_records
from evalkit.runs.stored import run_digest
from tests.comparison.made import Made, binary, write_run

TASKS = {
    "a": Made(scores={**binary("0110"), "=1+1": {"acc": (1.0,)}, "lost": None}),
    "b": Made(scores={"x": [{"f1": (0.5,)}, {"f1": (1.0,)}]}, metrics=("f1",), seeds=(1, 2), clusters={"x": "story"}),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_run(Path("run"), TASKS)


def rows(capsys, *words):
    capsys.readouterr()
    assert main(["records", "run", "--to", "jsonl", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_row_is_a_record(run, capsys):
    table, records = rows(capsys, "--columns", "all"), list(read_records(run))
    assert [(row["task"], row["seed"], row["doc_id"]) for row in table] == [
        (r.cell.task, r.cell.seed, r.doc_id) for r in records
    ]
    for row, record in zip(table, records, strict=True):
        scores = {name: 100 * statistics[0] for name, statistics in record.scores.items()}
        assert {name: row[name] for name in ("acc", "f1") if row[name] is not None} == scores
        assert (row["gold"], row["prediction"], row["error"]) == (record.gold, record.prediction, record.error)
        assert row["contexts"] == list(record.prompt.contexts) and row["model"] == "m"
        assert row["answers"] == [record.responses[0].text] and row["loglikelihoods"] == [-1.0]


@pytest.mark.parametrize(
    ("words", "documents"),
    [
        (["task=a"], ["doc-0", "doc-1", "doc-2", "doc-3", "=1+1", "lost"]),
        (["task=a", "acc<50"], ["doc-0", "doc-3"]),
        (["task=a", "acc>=100", "doc_id!=doc-1"], ["doc-2", "=1+1"]),
        (["error!="], ["lost"]),
        (["seed=2"], ["x"]),
        (["cluster=story", "f1>50"], ["x"]),
        (["task=b", "prediction=said *1*"], ["x"]),
        (["truncated=true"], []),
        (["doc_id==1+1"], ["=1+1"]),
    ],
)
def test_conditions(run, capsys, words, documents):
    chosen = rows(capsys, *(word for clause in words for word in ("--where", clause)))
    assert [row["doc_id"] for row in chosen] == documents


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--where", "taks=a"], "unknown column 'taks' in --where; did you mean 'task'?"),
        (["--where", "task=bb"], "unknown task 'bb' in this run; did you mean 'b'? (allowed: a, b)"),
        (["--where", "seed=7"], "unknown seed '7' in this run (allowed: 1, 2)"),
        (["--where", "seed=one"], "expected a whole number, not 'one'"),
        (["--where", "contexts=a"], "contexts is a list, which cannot be compared"),
        (["--where", "truncated=maybe"], "expected true or false"),
        (["--where", "task"], "expected KEY=VALUE"),
        (["--columns", "doc_id,gpld"], "unknown column 'gpld'; did you mean 'gold'?"),
        (["--to", "xls"], "unknown format 'xls'"),
        (["--out", "t.json"], "unknown format 'json'; did you mean 'jsonl'?"),
        (["--out", "t.csv.gz"], "unknown format 'gz'"),
        (["--out", "run/records.jsonl"], "run/records.jsonl belongs to the run in run; choose another file"),
        (["--to", "csv", "--out", "link"], "link belongs to the run"),
        (["--where", "=a"], "expected KEY=VALUE"),
        (["--columns", "doc_id\nacc"], "--columns 'doc_id\\nacc': new-line character"),
        (["--to", "parquet"], "give --out FILE"),
    ],
)
def test_wrong_words(run, capsys, words, message):
    Path("link").symlink_to("run/results.json")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert main(["records", "run", *words]) == 2
    assert message in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before and not Path("t.json").exists()


def test_the_ending_of_a_file_is_its_format(run, capsys):
    for name, beginning in (("t.CSV", "model,task,"), ("t.JsonL", '{"model": "m"'), ("t", "model,task,")):
        assert main(["records", "run", "--out", name]) == 0
        assert Path(name).read_text().startswith(beginning)


def test_numbers_that_json_does_not_have_are_null(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    numbers = {name: {"acc": (float(name),)} for name in ("inf", "nan", "1")}
    write_run(Path("run"), {"a": Made(scores=numbers, likelihood=float("-inf"))})
    table = rows(capsys, "--columns", "doc_id,acc,loglikelihoods")
    assert table == [
        {"doc_id": name, "acc": score, "loglikelihoods": [None]}
        for name, score in (("inf", None), ("nan", None), ("1", 100.0))
    ]
    assert main(["records", "run", "--columns", "acc,loglikelihoods", "--where", "acc>1000"]) == 0
    assert capsys.readouterr().out.splitlines() == ["acc,loglikelihoods", "inf,[null]"]


@pytest.mark.parametrize(
    ("metric", "column"), [("error", "error_score"), ("acc,strict", "acc,strict"), ("=f()", "=f()")]
)
def test_any_name_of_a_metric_is_a_column(tmp_path, monkeypatch, capsys, metric, column):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(METRICS._own, metric, lambda: Accuracy(metric))
    write_run(Path("run"), {"a": Made(scores={"x": {metric: (1.0,)}, "y": {metric: (0.0,)}}, metrics=(metric,))})
    table = rows(capsys, "--columns", f'doc_id,"{column}",error')
    assert table == [{"doc_id": name, column: score, "error": ""} for name, score in (("x", 100.0), ("y", 0.0))]
    if not column.startswith("="):
        assert [row["doc_id"] for row in rows(capsys, "--where", f"{column} > 50")] == ["x"]
    assert main(["records", "run"]) == 0
    [header] = csv.reader(capsys.readouterr().out.splitlines()[:1])
    assert header[-1] == ("'=f()" if column.startswith("=") else column)


def test_a_line_that_is_no_record_is_refused_though_its_numbers_are_stored(run, capsys):
    """A folder of somebody else's, whose files agree with each other."""
    settings = json.loads((run / "manifest.json").read_text())["settings"]
    digest = run_digest(settings)
    scores = load(run, run=digest)[0]
    raw = json.loads((run / "records.jsonl").read_bytes().splitlines()[0])
    del raw["check"]
    raw["prompt"]["contexts"] = 3
    (run / "records.jsonl").write_bytes(line := seal(json.dumps(raw), digest))
    content = Content(run / "records.jsonl")
    (run / "results.json").unlink()
    save(run, scores, content, run=digest, size=len(line))
    assert main(["records", "run", "--columns", "contexts"]) == 2
    assert "no record at byte 0 (prompt: contexts is 3)" in capsys.readouterr().err
    with pytest.raises(StoreError, match="no record at byte 0"):
        list(open_run(run, unfinished=True).scan())


def test_every_format_holds_the_same(run, capsys):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    expected = rows(capsys, "--columns", "all")
    for name in ("t.csv", "t.jsonl", "t.parquet"):
        assert main(["records", "run", "--columns", "all", "--out", name]) == 0
        assert f"8 records in {name}" in capsys.readouterr().out
    assert [json.loads(line) for line in Path("t.jsonl").read_text().splitlines()] == expected
    assert parquet.read_table("t.parquet").to_pylist() == expected
    cells = list(csv.DictReader(io.StringIO(Path("t.csv").read_text())))
    assert [row["doc_id"] for row in cells] == [row["doc_id"].replace("=1+1", "'=1+1") for row in expected]
    assert [row["acc"] for row in cells] == ["" if row["acc"] is None else str(row["acc"]) for row in expected]


def test_without_texts_no_line_is_parsed(run, capsys, monkeypatch):
    monkeypatch.setattr("evalkit.runs.record_lines.unseal", lambda *words: pytest.fail("a line was parsed"))
    assert len(rows(capsys, "--where", "task=a")) == 6


def test_a_data_frame_holds_the_same(run, capsys):
    pytest.importorskip("pandas")
    frame = Records(run, task="b").to_pandas(columns=["doc_id", "f1", "contexts"], where=["f1>50"])
    assert frame.to_dict("records") == rows(
        capsys, "--where", "task=b", "--where", "f1>50", "--columns", "doc_id,f1,contexts"
    )
    assert list(Records(run, task="none").to_pandas().columns)[:2] == ["model", "task"]
    assert next(Records(run, task="b")).doc_id == "x" and len(list(Records(run))) == 8
