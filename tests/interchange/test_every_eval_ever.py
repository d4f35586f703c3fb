"""Every Eval Ever's records of a run: what is written, that its schema accepts it, and that it is read back."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import re
from pathlib import Path

import pytest
from grouped import grouped

from evalkit.cli import main
from evalkit.errors import StoreError
from evalkit.interchange.every_eval_ever.export import Origin, export
from evalkit.report import measurements
from evalkit.runs.store import open_run, read_records

ORIGIN = Origin(developer="our-lab", organization="our lab", relationship="first_party")
# What the schemas of version 0.3.0 require, by object; "oneOf" and patterns are theirs to check.
AGGREGATE = {
    "": {"schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata", "model_info", "eval_library",
         "evaluation_results"},
    "source_metadata": {"source_type", "source_organization_name", "evaluator_relationship"},
    "model_info": {"name", "id", "additional_details"},
    "eval_library": {"name", "version"},
    "detailed_evaluation_results": {"format", "file_path"},
}  # fmt: skip
RESULT = {"evaluation_name", "source_data", "metric_config", "score_details"}
SAMPLE = {"schema_version", "evaluation_id", "model_id", "evaluation_name", "sample_id", "interaction_type", "input",
          "output", "answer_attribution", "evaluation"}  # fmt: skip
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a group, a broken document, levels, baselines, controls, two numbers of shots and two seeds."""
    folder = tmp_path_factory.mktemp("records")
    rows = [{"q": f"the dog {i} is", "c": ["red", "a big house"], "gold": i % 2 if i != 3 else 7} for i in range(1, 7)]
    tasks = f"{grouped(folder, rows, metrics=['acc'])},world_reading,world_en_fr,world_lm"
    words = ["--model", "pico", "--tasks", tasks, "--shots", "0,2", "--seeds", "0,1", "--limit", "6", "--no-cache"]
    assert main(["run", *words, "--max-failed", "50%", "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run):
    return export(run, run.parent / "out", origin=ORIGIN)


def aggregates(exported):
    return {(b := json.loads(p.read_text()))["evaluation_id"].partition("/")[0]: b for p in exported.files
            if p.suffix == ".json"}  # fmt: skip


def lines(exported, task):
    [path] = [p for p in exported.files if p.suffix == ".jsonl" and p.parts[-4] == task]
    return [json.loads(line) for line in path.read_text().splitlines()]


def strings(value, place=""):
    """Yield the values that are not texts where the schema allows texts alone."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("additional_details", "details", "metadata"):
                yield from ((place, name, k) for k, v in inner.items() if not isinstance(v, str))
            else:
                yield from strings(inner, f"{place}/{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, place)


def test_the_layout_is_that_of_their_datastore(exported):
    out = exported.folder.parent
    places = [path.relative_to(out).as_posix() for path in exported.files]
    assert all(re.fullmatch(rf"data/\w+/our-lab/pico/{UUID}(\.json|_samples\.jsonl)", place) for place in places)
    assert {place.split("/")[1] for place in places} == {
        "pick", "pick_again", "both", "world_reading", "world_en_fr", "world_lm"
    }  # fmt: skip
    assert sum(place.endswith(".json") for place in places) == 6 and sum(p.endswith(".jsonl") for p in places) == 5


def test_aggregates_have_what_the_schema_requires(exported):
    for body in aggregates(exported).values():
        for name, keys in AGGREGATE.items():
            assert keys <= (body if not name else body.get(name, dict.fromkeys(keys))).keys(), name
        assert body["schema_version"] == "0.3.0" and not list(strings(body))
        assert {"deployment_type", "model_availability"} <= body["model_info"]["additional_details"].keys()
        for result in body["evaluation_results"]:
            config = result["metric_config"]
            assert result.keys() >= RESULT and math.isfinite(result["score_details"]["score"])
            assert {"lower_is_better", "min_score", "max_score"} <= config.keys()
        ids = [result["evaluation_result_id"] for result in body["evaluation_results"]]
        assert len(set(ids)) == len(ids)


def test_samples_have_what_the_schema_requires_and_belong_to_their_aggregate(exported):
    out = exported.folder.parent
    for body in aggregates(exported).values():
        if "detailed_evaluation_results" not in body:
            continue
        detail = body["detailed_evaluation_results"]
        content = (out / detail["file_path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == detail["checksum"]
        rows = [json.loads(line) for line in content.splitlines()]
        assert len(rows) == detail["total_rows"] and not list(strings(rows))
        ids = {result["evaluation_result_id"] for result in body["evaluation_results"]}
        for row in rows:
            assert row.keys() >= SAMPLE and row["evaluation_id"] == body["evaluation_id"]
            assert row["model_id"] == body["model_info"]["id"] == "our-lab/pico"
            assert row.get("error") or row["evaluation_result_id"] in ids


def test_the_samples_of_a_mean_give_its_score(exported):
    body = aggregates(exported)["world_reading"]
    [result] = [r for r in body["evaluation_results"] if r["evaluation_result_id"] == "acc@2-shot"]
    scores = [row["evaluation"]["score"] for row in lines(exported, "world_reading")
              if row.get("evaluation_result_id") == "acc@2-shot"]  # fmt: skip
    assert len(scores) == 12 and sum(scores) / 12 == pytest.approx(result["score_details"]["score"], abs=1e-12)


def test_scores_intervals_and_what_stands_beside_them(run, exported):
    [ours] = [r for r in open_run(run).results if (r.task, r.metric, r.shots, r.source, r.level)
              == ("world_reading", "acc", 0, "model", "")]  # fmt: skip
    [result] = [r for r in aggregates(exported)["world_reading"]["evaluation_results"]
                if r["evaluation_result_id"] == "acc@0-shot"]  # fmt: skip
    score, uncertainty = result["score_details"], result["score_details"]["uncertainty"]
    assert score["score"] == ours.value / 100 and uncertainty["num_samples"] == 6
    interval = uncertainty["confidence_interval"]
    assert (interval["lower"], interval["upper"]) == (ours.low / 100, ours.high / 100)
    # Of the two seeds of a document one unit is made, so that the error is that of six means of two.
    by_document = {}
    for row in lines(exported, "world_reading"):
        if row.get("evaluation_result_id") == "acc@0-shot":
            by_document.setdefault(row["sample_id"], []).append(row["evaluation"]["score"])
    means = [sum(values) / len(values) for values in by_document.values()]
    spread = sum((mean - sum(means) / 6) ** 2 for mean in means) / 5
    assert uncertainty["standard_error"] == {"value": pytest.approx(math.sqrt(spread / 6)), "method": "jackknife"}
    assert float(score["details"]["chance"]) == pytest.approx(ours.chance / 100)
    assert "control:no_passage" in score["details"]
    assert result["generation_config"]["additional_details"]["num_fewshot"] == "0"
    assert "{passage}" in result["generation_config"]["generation_args"]["prompt_template"]


def test_groups_have_a_score_of_their_own_and_no_samples(exported):
    body = aggregates(exported)["both"]
    assert "detailed_evaluation_results" not in body
    assert json.loads(body["evaluation_results"][0]["source_data"]["additional_details"]["tasks"]) == [
        "pick", "pick_again"
    ]  # fmt: skip


def test_an_item_that_failed_says_why_and_counts_in_no_result(run, exported):
    failed = [record for record in read_records(run) if record.error and record.cell.task == "pick"]
    rows = [row for row in lines(exported, "pick") if row.get("error")]
    assert failed and sorted(row["error"] for row in rows) == sorted(record.error for record in failed)
    assert not any("evaluation_result_id" in row for row in rows)


def test_infinite_ends_are_words(exported):
    configs = [r["metric_config"] for r in aggregates(exported)["world_lm"]["evaluation_results"]]
    assert {config["max_score"] for config in configs} == {"Infinity"}


def test_the_same_run_gives_the_same_bytes(run, exported, tmp_path):
    again = export(run, tmp_path, origin=ORIGIN)
    assert [path.read_bytes() for path in again.files] == [path.read_bytes() for path in exported.files]
    assert [path.name for path in again.files] == [path.name for path in exported.files]


def test_the_records_say_in_a_report_what_the_run_says(run, exported):
    def values_in(place):
        read, problems = measurements.read([place])
        assert not problems
        return sorted(
            (m.task, m.level, m.family, m.metric, m.shots, m.protocol, m.n, round(m.value, 9), round(m.low, 9),
             round(m.high, 9), m.chance and round(m.chance, 9), m.scale, m.higher_is_better, m.model)
            for m in read if m.source == "model" and not math.isnan(m.value + m.low)
        )  # fmt: skip

    assert values_in(exported.folder) == values_in(run) and len(values_in(run)) > 20


def theirs(**changes):
    """A record as another program wrote it: no interval, no number of shots."""
    result = {
        "evaluation_name": "arc_easy",
        "source_data": {"dataset_name": "arc_easy", "source_type": "other"},
        "metric_config": {"lower_is_better": False, "metric_name": "acc", "min_score": 0.0, "max_score": 1.0},
        "score_details": {
            "score": 0.6, "uncertainty": {"standard_error": {"value": 0.02}, "num_samples": 600}
        },
    }  # fmt: skip
    return {
        "schema_version": "0.3.0", "evaluation_id": "a/b/1", "retrieved_timestamp": "1", "source_metadata": {},
        "eval_library": {"name": "lm_eval", "version": "0.4.9"}, "evaluation_results": [{**result, **changes}],
        "model_info": {"name": "m", "id": "lab/m-1b", "additional_details": {"num_parameters": "1000"}},
    }  # fmt: skip


def read_one(folder: Path, body):
    (folder / "record.json").write_text(json.dumps(body))
    read, problems = measurements.read([folder])
    return read, problems


def test_a_record_of_another_program(tmp_path):
    [[m], problems] = read_one(tmp_path, theirs())
    assert not problems and (m.task, m.metric, m.value, m.n, m.shots) == ("arc_easy", "acc", 60.0, 600, None)
    assert (m.low, m.high) == (pytest.approx(60 - 1.959964 * 2), pytest.approx(60 + 1.959964 * 2))
    assert (m.model.name, m.model.parameters, m.stderr, m.chance) == ("m-1b", 1000, 2.0, 25.0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"score_details": {"score": "good"}}, "score is 'good'"),
        ({"score_details": None}, "evaluation_results is"),
        ({"metric_config": {"lower_is_better": "no"}}, "evaluation_results is"),
    ],
)
def test_a_broken_record_is_named(tmp_path, changes, problem):
    _, problems = read_one(tmp_path, theirs(**changes))
    assert len(problems) == 1 and "not a record of Every Eval Ever" in str(problems[0])


def test_a_score_that_is_no_number(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(theirs(score_details={"score": math.inf})))
    from evalkit.interchange.every_eval_ever.results import read_if_its

    with pytest.raises(StoreError, match="the score of arc_easy is inf"):
        read_if_its(json.loads(path.read_text()), path)


def test_the_command(run, tmp_path, capsys):
    words = ["export-results", str(run), "--to", "every-eval-ever", "--out", str(tmp_path)]
    assert main(words) == 0 and "11 files in" in capsys.readouterr().out
    assert main([*words, "--relationship", "friend"]) == 2 and "relationship" in capsys.readouterr().err
    assert main([*words, "--developer", "unknown"]) == 2 and "requires a name" in capsys.readouterr().err


@pytest.mark.skipif(not importlib.util.find_spec("every_eval_ever"), reason="the package every-eval-ever is absent")
def test_their_own_validator_accepts_it(exported):
    from every_eval_ever.validator import validation_core as theirs

    out = exported.folder.parent
    names = {path.relative_to(out).as_posix() for path in exported.files}
    for path in exported.files:
        validate = theirs.validate_aggregate if path.suffix == ".json" else theirs.validate_instance_file
        report = validate(
            path, repo_path=path.relative_to(out).as_posix(), available_files=names, run_semantic_checks=True,
            read_repo_file=lambda name: (out / name).read_text(encoding="utf-8"),
        )  # fmt: skip
        assert report.valid and not report.warnings, report.errors
