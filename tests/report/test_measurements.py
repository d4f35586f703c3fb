"""Reading stored runs: what is found, what is known of the model, and what is left out by name."""

from __future__ import annotations

import json
import math
import os
import shutil

import pytest

from evalkit.errors import UsageError
from evalkit.report.measurements import Measurement, read, series
from evalkit.report.models import ModelFacts
from evalkit.runs.store import RunStore
from evalkit.types import Result
from tests.comparison.made import unbind

TRAINING = {"corpus": "world", "tokens": 1000, "flops": 5e6, "seed": 3, "step": 10, "loss": 1.25}


def settings(name: str = "tiny") -> dict[str, object]:
    return {"model": {"model": name, "hash": "1", "dtype": "float32", "parameters": "900", "block_parameters": "400"}}


def result(**fields) -> Result:
    return Result(**{
        "model": "tiny", "task": "t", "family": "qa", "protocol": "plain", "shots": 0, "metric": "acc",
        "source": "model", "level": "", "value": 40.0, "low": 30.0, "high": 50.0, "n": 90, "failed": 1,
        "truncated": 0, "chance": 25.0, "signature": "s", **fields,
    })  # fmt: skip


def stored(folder, *results, name="tiny", training=TRAINING):
    with RunStore(folder, settings(name), training=training) as store:
        store.finish(results or [result()], {"seconds": 1})
    return folder


def test_a_run_and_what_is_known_of_its_model(tmp_path):
    [m], problems = read([stored(tmp_path / "run")])
    assert not problems
    assert m.model == ModelFacts(name="tiny", family="world", parameters=900, block_parameters=400, tokens=1000,
                                 flops=5_000_000, seed=3, step=10, loss=1.25)  # fmt: skip
    assert (m.value, m.low, m.high, m.n, m.failed, m.chance, m.shots) == (40, 30, 50, 90, 1, 25, 0)
    assert (m.scale, m.ceiling, m.unit, m.higher_is_better, m.origin) == (100, 100, "%", True, tmp_path / "run")
    assert m.stderr == pytest.approx(5.102, abs=1e-3)


def test_a_run_without_a_training_record(tmp_path):
    stored(tmp_path / "run", name="hf:EleutherAI/pythia-160m", training={})
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    unbind(tmp_path / "run")
    del manifest["training"], manifest["settings"]["model"]["block_parameters"]  # as older versions wrote it
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    [m], problems = read([tmp_path])
    assert not problems
    assert (m.model.family, m.model.block_parameters, m.model.tokens, m.model.seed) == (
        "pythia",
        85_056_000,
        None,
        None,
    )


def test_the_facts_of_the_training_hinder_no_resumption(tmp_path):
    stored(tmp_path / "run")
    with RunStore(tmp_path / "run", settings(), training={}) as store:
        assert len(store.done) == 0


def test_broken_and_half_written_runs_are_named_and_left_out(tmp_path):
    whole = stored(tmp_path / "a" / "whole")
    for name, spoil in {
        "half": lambda f: (f / "results.json").unlink(),
        "cut": lambda f: (f / "results.json").write_text((f / "results.json").read_text()[:50]),
        "no-manifest": lambda f: ((f / "manifest.json").unlink(), (f / "records.jsonl").write_text("")),
        "no-model": lambda f: (unbind(f), (f / "manifest.json").write_text('{"settings": {}}')),
        "odd-figure": lambda f: (
            unbind(f),
            (f / "manifest.json").write_text((f / "manifest.json").read_text().replace("900", "9e")),
        ),
        "too-large": lambda f: (
            unbind(f),
            (f / "manifest.json").write_text((f / "manifest.json").read_text().replace("900", "9" * 60)),
        ),
        "odd-metric": lambda f: (f / "results.json").write_text(
            (f / "results.json").read_text().replace("acc", "luck")
        ),
    }.items():
        shutil.copytree(whole, tmp_path / "a" / name)
        spoil(tmp_path / "a" / name)
    (tmp_path / "a" / "cut.json").write_text('{"results": {')
    (tmp_path / "a" / "other.json").write_text('{"unrelated": 1}')
    found, problems = read([tmp_path])
    assert [m.origin for m in found] == [whole]
    assert {p.path.name for p in problems} == {
        "half", "cut", "no-manifest", "no-model", "odd-figure", "too-large", "odd-metric", "cut.json"
    }  # fmt: skip
    assert all(p.reason for p in problems)
    assert "start the same run again" in next(p.reason for p in problems if p.path.name == "half")


def test_linked_runs_are_found_and_dead_links_named(tmp_path):
    stored(tmp_path / "elsewhere" / "run")
    runs = tmp_path / "runs"
    (runs / "deep").mkdir(parents=True)
    (runs / "one").symlink_to(tmp_path / "elsewhere" / "run")
    (runs / "deep" / "again").symlink_to(runs)  # a circle
    (runs / "gone").symlink_to(tmp_path / "nowhere")
    found, [problem] = read([runs])
    assert [m.origin for m in found] == [runs / "one"]
    assert problem.path == runs / "gone" and "nowhere, which does not exist" in problem.reason


def test_a_run_that_lost_its_manifest_is_named(tmp_path):
    folder = stored(tmp_path / "runs" / "a")
    (folder / "manifest.json").unlink()
    (folder / "records.jsonl").unlink(missing_ok=True)
    found, [problem] = read([tmp_path / "runs"])
    assert not found and "manifest.json is missing" in problem.reason


def test_only_files_are_read_as_such(tmp_path):
    stored(tmp_path / "run")
    os.mkfifo(tmp_path / "pipe.json")
    assert len(read([tmp_path])[0]) == 1


def test_a_path_that_holds_nothing_and_one_that_is_not_there(tmp_path):
    found, [problem] = read([tmp_path])
    assert not found and problem.path == tmp_path
    (tmp_path / "other.json").write_text('{"unrelated": 1}')
    assert "not a results file" in read([tmp_path / "other.json"])[1][0].reason
    with pytest.raises(UsageError, match="no such run"):
        read([tmp_path / "absent"])


def test_a_run_given_twice_counts_once(tmp_path):
    folder = stored(tmp_path / "run")
    found, _ = read([folder, tmp_path])
    assert len(found) == 1


def point(name: str, parameters: int | None, **fields) -> Measurement:
    model = {k: fields.pop(k) for k in ("step", "seed") if k in fields}
    facts = ModelFacts(name=name, family="f", parameters=parameters, **model)
    return Measurement(**{"model": facts, "task": "t", "family": "qa", "metric": "acc", "value": 1.0, **fields})


def test_series_take_the_last_checkpoint_of_each_model_by_size():
    found = series([
        point("big", 200, step=5, value=9), point("big", 200, step=10, value=8), point("small", 100, step=1),
        point("small", 100, step=1, seed=2, value=2), point("unknown", None), point("big", 200, source="control:x"),
        point("big", 200, level="head"), point("big", 200, shots=4), point("big", 200, value=math.nan),
    ])  # fmt: skip
    assert [(s.shots, [m.value for m in s.points]) for s in found] == [(0, [1.0, 2, 8]), (4, [1.0])]
