"""Estimates of the score of all documents from a part of them, chosen by runs of other models."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import evalkit
from evalkit import metrics
from evalkit.cli import main
from evalkit.errors import StoreError, UsageError
from evalkit.harness import difficulty
from evalkit.harness.draw import drawn
from evalkit.metrics.values import Listed
from evalkit.runs.signature import Signature

TASKS = "world_cloze,world_lm"
ACC = metrics.get("acc")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Whole runs of the three smallest rungs; micro's is what is estimated below."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("pico", "nano", "micro"):
        evalkit.evaluate(name, TASKS, out=folder / name, cache=False)
    return folder


@pytest.fixture(scope="module")
def estimated(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("estimate") / "micro"
    return evalkit.evaluate(
        "micro", TASKS, estimate=60, earlier=[runs / "pico", runs / "nano"], out=out, cache=False
    )  # fmt: skip


def rows(folder, source):
    results = json.loads((folder / "results.json").read_text())["results"]
    return {(r["task"], r["metric"], r["level"]): r for r in results if r["source"] == source}


def test_the_estimate_is_of_all_documents_and_says_so(runs, estimated):
    whole, ours = rows(runs / "micro", "model"), rows(estimated.folder, "estimate")
    assert not rows(estimated.folder, "model")  # so that nothing takes it for the full score
    assert {r.source for r in estimated.results} == {"estimate"}
    assert estimated.scores() == {}
    for (task, metric, level), row in ours.items():
        fields = Signature.parse(row["signature"]).fields
        documents = 270 if task == "world_cloze" else 120
        assert fields["sample"].startswith(f"60/{documents}@") and fields["limit"] == "all"
        if not level:
            assert row["low"] < row["value"] < row["high"]
            assert row["n"] == 60
            width = whole[task, metric, ""]["high"] - whole[task, metric, ""]["low"]
            assert abs(row["value"] - whole[task, metric, ""]["value"]) < width
    assert {level for _, _, level in ours} >= {"friend", "sense", "thing"}


def test_the_same_command_gives_the_same_bytes_and_resumes(runs, estimated, tmp_path, capsys):
    command = ["run", "--model", "micro", "--tasks", TASKS, "--no-cache", "--out", str(tmp_path / "cli")]
    command += ["--estimate", "60", "--from", str(runs / "pico"), str(runs / "nano")]
    assert main(command) == 0
    assert "estimate for all 270" in capsys.readouterr().out
    results = (estimated.folder / "results.json").read_bytes()
    assert (tmp_path / "cli" / "results.json").read_bytes() == results
    records = tmp_path / "cli" / "records.jsonl"
    lines = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join(lines[:50]))
    (tmp_path / "cli" / "results.json").unlink()
    assert main(command) == 0
    assert (tmp_path / "cli" / "results.json").read_bytes() == results
    # Other earlier runs are another draw, so the folder holds another run.
    assert main([*command[: command.index("--from")], "--from", str(runs / "nano")]) == 2


def test_what_needs_all_documents_refuses(runs, estimated, tmp_path, capsys):
    folder = str(estimated.folder)
    for command in (
        ["compare", str(runs / "micro"), folder],
        ["baseline", "save", folder, str(tmp_path / "base.json")],
        ["calibration", folder, "--task", "world_cloze"],
        ["export-results", folder, "--to", "lm-eval", "--out", str(tmp_path / "results")],
        ["report", folder, "--out", str(tmp_path / "report")],
    ):
        assert main(command) == 2, command
        assert "holds estimates (--estimate) from a part of the documents" in capsys.readouterr().err, command


def test_wrong_requests_are_refused(runs):
    tasks = evalkit.load_tasks("world_cloze")
    with pytest.raises(UsageError, match="at least 40, not 39"):
        drawn(tasks, count=39, earlier=[runs / "pico"])
    with pytest.raises(UsageError, match="leave out --limit"):
        drawn(evalkit.load_tasks("world_cloze", limit=50), count=40, earlier=[runs / "pico"])
    with pytest.raises(UsageError, match="needs --from"):
        drawn(tasks, count=40, earlier=[])
    with pytest.raises(UsageError, match="no run has half of the documents of world_qa at 0 shots"):
        drawn(evalkit.load_tasks("world_qa"), count=40, earlier=[runs / "pico"])
    with pytest.raises(UsageError, match="no run has half of the documents of world_cloze at 4 shots"):
        drawn(evalkit.load_tasks("world_cloze", shots=4), count=40, earlier=[runs / "pico"])
    with pytest.raises(UsageError, match="no run folder, and no folder of runs"):
        drawn(tasks, count=40, earlier=[runs / "none"])
    with pytest.raises(UsageError, match="say how many"):
        evalkit.evaluate("pico", tasks, earlier=[runs / "pico"])


def test_a_small_task_is_run_whole(runs, tmp_path):
    whole = evalkit.evaluate("micro", "world_lm", out=tmp_path / "run", cache=False, estimate=120, earlier=[runs])
    assert {r.source for r in whole.results} == {"model"}
    assert whole.scores() == {k: v for k, v in rows_of(runs / "micro").items() if k == "world_lm"}


def rows_of(folder):
    return {task: row["value"] for (task, _, level), row in reversed(rows(folder, "model").items()) if not level}


def test_values_that_a_task_aggregates_itself_are_not_estimated(runs):
    loaded = evalkit.load_tasks("world_cloze")
    [task] = loaded.loaded
    listed = Listed("listed", function=len, aggregation="count")
    several = replace(loaded, loaded=[replace(task, metrics={"listed": listed, **task.metrics})])
    [chosen] = drawn(several, count=40, earlier=[runs / "pico"]).loaded
    assert not chosen.draw.predicts("listed", shots=0, template="")
    assert chosen.draw.predicts("acc", shots=0, template="")
    with pytest.raises(UsageError, match="or no metric that can be estimated"):
        drawn(replace(loaded, loaded=[replace(task, metrics={"listed": listed})]), count=40, earlier=[runs / "pico"])


def test_a_damaged_earlier_run_is_named(runs, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "manifest.json").write_text("{}")
    with pytest.raises(StoreError, match="manifest"):
        drawn(evalkit.load_tasks("world_cloze"), count=40, earlier=[bad])


def test_the_prediction_learns_from_the_rung_below():
    rng = np.random.default_rng(0)
    easy = rng.random(300)
    rungs = [(rng.random(300) < easy**power).astype(float)[None, :, None] for power in (3.0, 1.5, 0.75)]
    prediction = difficulty.predict(ACC, rungs, [""] * 300)
    assert np.corrcoef(prediction.expected[:, 0], easy)[0, 1] > 0.6
    assert prediction.expected[:, 1].tolist() == [1.0] * 300
    assert prediction.score == pytest.approx(prediction.expected[:, 0] - prediction.expected[:, 0].mean(), abs=1e-6)
    assert 0 < prediction.spread.min() < prediction.spread.max() < 0.7


def test_levels_alone_predict_where_single_answers_do_not():
    rng = np.random.default_rng(1)
    levels = ["easy", "hard"] * 100
    shares = np.asarray([0.95, 0.1] * 100)
    rungs = [(rng.random(200) < shares).astype(float)[None, :, None] for _ in range(2)]
    prediction = difficulty.predict(ACC, rungs, levels)
    assert prediction.expected[::2, 0].min() > prediction.expected[1::2, 0].max()


def test_a_single_earlier_run_is_believed_halfway():
    scores = np.asarray([1.0, 1.0, 0.0, 1.0])[None, :, None]
    prediction = difficulty.predict(ACC, [scores], [""] * 4)
    assert prediction.expected[:, 0].tolist() == [0.875, 0.875, 0.375, 0.875]
    assert len(set(prediction.spread.tolist())) == 1


def earlier(name, parameters, rows):
    return difficulty.Earlier(
        name=name, rung=(parameters, 0), levels={}, statistics={("t", 0, ""): {k: {"m": v} for k, v in rows.items()}}
    )  # fmt: skip


def test_runs_that_lack_documents_or_count_otherwise():
    whole = earlier("whole", 2, {"a": [1.0], "b": [0.0], "c": [1.0], "d": [1.0]})
    twin = earlier("twin", 2, {"a": [0.0], "b": [0.0], "c": [0.0], "d": [1.0]})
    half = earlier("half", 1, {"a": [1.0], "b": [0.0]})
    few = earlier("few", 1, {"a": [1.0]})
    other = earlier("other", 1, {name: [1.0, 2.0] for name in "abcd"})
    asked = ("t", 0, "")
    runs = [few, half, other, whole, twin]
    small, large = difficulty.rungs_of(runs, asked, "m", "abcd")
    assert small[:, :, 0].tolist() == [[1.0, 0.0, 0.5, 0.5]]  # the mean stands in for what is missing
    assert sorted(large[:, :, 0].tolist()) == [[0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0]]
    assert difficulty.rungs_of(runs, asked, "other", "abcd") == []
