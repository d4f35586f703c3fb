"""The formats of evalkit's files: schemas that describe them, version 0.1's that are read, later ones that are not."""

from __future__ import annotations

import json
import shutil
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

import evalkit
from evalkit.cli import main
from evalkit.comparison import baseline
from evalkit.errors import StoreError, UsageError
from evalkit.forecasts import sealed
from evalkit.report import measurements
from evalkit.runs.formats import FORMAT, SCHEMAS, schema
from evalkit.runs.store import open_run, read_manifest
from evalkit.types import Cell, Prompt, Record, Response, Result

# Made by evalkit 0.1.0 as of commit aff00b3: `run --model nano --tasks world_qa,world_reading --limit 3`, a baseline of
# it, and `forecast` from four sizes on world_qa.
EARLIER = Path(__file__).parent / "version_0.1"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with controls, baselines, levels, two numbers of shots and two seeds."""
    folder = tmp_path_factory.mktemp("formats") / "run"
    words = ["--tasks", "world_reading,world_en_fr,world_lm", "--limit", "4", "--shots", "0,1", "--seeds", "0,1"]
    assert main(["run", "--model", "pico", *words, "--no-cache", "--out", str(folder)]) == 0
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def check(name, value):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(schema(name))
    jsonschema.validate(value, schema(name))


@pytest.mark.parametrize("earlier", [False, True])
def test_real_files_are_as_their_schemas_say(run, tmp_path, earlier):
    folder = EARLIER / "run" if earlier else run
    check("manifest", json.loads((folder / "manifest.json").read_text()))
    check("results", json.loads((folder / "results.json").read_text()))
    for record in lines(folder / "records.jsonl"):
        check("record", record)
    path = EARLIER / "baseline.json"
    if not earlier:
        path = tmp_path / "baseline.json"
        assert main(["baseline", "save", str(run), str(path)]) == 0
    check("baseline", json.loads(path.read_text()))


def test_a_sealed_forecast_is_as_its_schema_says():
    check("forecast", json.loads((EARLIER / "forecast.json").read_text()))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("manifest", lambda value: value | {"format": 2}),
        ("manifest", lambda value: {**value, "settings": {}}),
        ("record", lambda value: value | {"doc_id": 3}),
        ("record", lambda value: value | {"more": 1}),
        ("results", lambda value: value | {"results": [{"task": "x"}]}),
    ],
)
def test_schemas_refuse_what_is_wrong(run, name, change):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    value = lines(run / "records.jsonl")[0] if name == "record" else json.loads((run / f"{name}.json").read_text())
    check(name, value)
    with pytest.raises(jsonschema.ValidationError):
        check(name, change(value))


def test_schemas_have_the_fields_of_the_types():
    record = schema("record")["properties"]
    described = {
        Record: schema("record"), Cell: record["cell"], Prompt: record["prompt"],
        Response: record["responses"]["items"], Result: schema("results")["$defs"]["result"],
    }  # fmt: skip
    for kind, its_schema in described.items():
        names = {field.name for field in fields(kind)}
        required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
        assert its_schema["properties"].keys() - {"check"} == names, kind
        assert required <= set(its_schema["required"]) <= names, kind


def test_a_new_manifest_says_its_format(run):
    assert read_manifest(run)["format"] == FORMAT == 1
    assert "format" not in read_manifest(EARLIER / "run")


def test_a_report_reads_a_run_of_0_1(tmp_path):
    read, problems = measurements.read([EARLIER / "run"])
    assert not problems and {m.task for m in read} == {"world_qa", "world_reading"}
    [accuracy] = [m for m in read if (m.metric, m.source, m.level) == ("acc", "model", "")]
    assert accuracy.value == pytest.approx(200 / 3) and accuracy.n == 3
    assert main(["report", str(EARLIER / "run"), "--out", str(tmp_path / "report")]) == 0


def test_compare_reads_a_run_of_0_1_and_a_new_run_equals_it(tmp_path, capsys):
    words = ["--model", "nano", "--tasks", "world_qa,world_reading", "--limit", "3", "--no-cache"]
    assert main(["run", *words, "--out", str(tmp_path / "new")]) == 0
    capsys.readouterr()
    assert main(["compare", str(EARLIER / "run"), str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.count("no difference seen") == 2
    before, now = ({r.key: r for r in open_run(run).records()} for run in (EARLIER / "run", tmp_path / "new"))
    assert before.keys() == now.keys()
    for key, record in before.items():
        assert (record.prediction, record.scores) == (now[key].prediction, now[key].scores)
        assert [r.text for r in record.responses] == [r.text for r in now[key].responses]
        sums = [r.loglikelihood for r in now[key].responses]  # their last digits depend on the version
        assert [r.loglikelihood for r in record.responses] == pytest.approx(sums, abs=1e-4)


def test_a_run_of_0_1_is_not_gone_on_with_by_another_version(tmp_path, capsys):
    """Its results would be of two versions, whose numbers may differ in the last digits."""
    shutil.copytree(EARLIER / "run", tmp_path / "run")
    before = (tmp_path / "run" / "results.json").read_bytes()
    words = ["--model", "nano", "--tasks", "world_qa,world_reading", "--limit", "3", "--no-cache"]
    assert main(["run", *words, "--out", str(tmp_path / "run")]) == 2
    assert f'settings (evalkit: "0.1.0" -> "{evalkit.__version__}"); choose another --out' in capsys.readouterr().err
    assert (tmp_path / "run" / "results.json").read_bytes() == before


def test_records_of_0_1_are_a_table(tmp_path):
    assert main(["records", str(EARLIER / "run"), "--out", str(tmp_path / "records.csv")]) == 0
    assert len((tmp_path / "records.csv").read_text().splitlines()) == 10
    assert len(list(open_run(EARLIER / "run").records())) == 9


def test_baselines_of_0_1_and_of_its_runs(tmp_path, capsys):
    evidence = baseline.read(EARLIER / "baseline.json")
    assert evidence.model["model"] == "nano" and len(evidence.sheets) == 2
    assert main(["compare", str(EARLIER / "baseline.json"), str(EARLIER / "run")]) == 0
    assert "identical" in capsys.readouterr().out
    assert main(["baseline", "save", str(EARLIER / "run"), str(tmp_path / "again.json")]) == 0
    assert baseline.read(tmp_path / "again.json").digest == evidence.digest


def test_a_forecast_of_0_1():
    content = sealed.read(EARLIER / "forecast.json")
    assert content.version == "0.1.0" and content.targets[0].parameters == 2e6


@pytest.mark.parametrize(("name", "number"), [("manifest.json", 2), ("results.json", 3)])
def test_a_run_of_a_later_format_is_refused(run, tmp_path, name, number):
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / name
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": number, "new": True}))
    with pytest.raises(
        StoreError, match=f"{name} is of format {number}, from a later evalkit; this one reads format 1"
    ):
        open_run(tmp_path / "run")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": "two"}))
    with pytest.raises(StoreError, match="format is 'two', not a number of at least 1"):
        open_run(tmp_path / "run")


def test_a_forecast_and_a_baseline_of_a_later_format_are_refused(tmp_path):
    raw = json.loads((EARLIER / "forecast.json").read_text())
    with pytest.raises(StoreError, match="is of format 2, from a later evalkit; this one reads format 1"):
        sealed.parse(raw | {"format": "evalkit forecast 2"}, tmp_path / "forecast.json")
    (tmp_path / "b.json").write_text(json.dumps({"format": "evalkit baseline", "version": 9}))
    with pytest.raises(StoreError, match="a baseline of version 9, this evalkit reads version 2"):
        baseline.read(tmp_path / "b.json")


def test_the_command_prints_schemas(capsys):
    assert main(["schema"]) == 0 and capsys.readouterr().out.count("\n") == len(SCHEMAS)
    for name in SCHEMAS:
        assert main(["schema", name]) == 0
        assert json.loads(capsys.readouterr().out) == schema(name)
    assert main(["schema", "recrod"]) == 2 and "record" in capsys.readouterr().err
    with pytest.raises(UsageError):
        schema("../manifest")
