"""evalkit watch: every checkpoint once, whatever happens, and an exit code where a gate fails."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from small_checkpoints import COLOURS, ours, transformers_checkpoint

from evalkit.cli import main
from evalkit.curves import checkpoints, watching
from tests.dclm.made_bundle import make

TASK = f"""import evalkit
ROWS = {COLOURS}
TASKS = (evalkit.task_from_rows("colours", ROWS, query="{{q}}", answer="a", choices=["blue", "red"], metrics=["acc"]),)
"""


@pytest.fixture
def training(tmp_path):
    (tmp_path / "colours.py").write_text(TASK)
    (tmp_path / "training").mkdir()
    return tmp_path / "training"


def words(training, *more):
    return ["watch", str(training), "--tasks", str(training.parent / "colours.py"), *map(str, more)]


def lines(training):
    text = (training / "eval" / "curve.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def steps(training):
    return [line["step"] for line in lines(training)]


def test_workers_give_the_same_bytes(training, tmp_path, caplog):
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'evalkit[ray]')")
    ours(training / "step-20", 20)
    transformers_checkpoint(training / "checkpoint-7", 7)
    ours(training, 40)
    command = words(training, "--once", "--no-cache", "--seconds", "60")
    with caplog.at_level("INFO"):
        assert main([*command, "--workers", "2", "--out", str(tmp_path / "two")]) == 0
    assert "2 workers: " in caplog.text or "1 worker: " in caplog.text
    assert main([*command, "--threads", "1", "--out", str(tmp_path / "one")]) == 0
    for step in (7, 20, 40):
        one, two = ((tmp_path / out / f"step-{step}" / "results.json").read_bytes() for out in ("one", "two"))
        assert one == two and b'"threads": "1"' in one


def test_what_is_there_is_evaluated_once(training, capsys, monkeypatch):
    ours(training / "step-20", 20)
    transformers_checkpoint(training / "checkpoint-7", 7)
    ours(training, 40)
    (training / "step-50").mkdir()
    assert main(words(training, "--once")) == 0
    printed = capsys.readouterr().out
    assert steps(training) == [7, 20, 40] and "step 7: colours 50.0" in printed
    assert {line["run"] for line in lines(training)} < {path.name for path in (training / "eval").iterdir()}
    assert [line.get("tokens") for line in lines(training)] == [700, 200, 400]
    manifest = json.loads((training / "eval" / "step-7" / "manifest.json").read_text())
    assert manifest["settings"]["model"]["model"] == "training"  # one name for all steps: one curve
    monkeypatch.setattr("evalkit.curves.watching.Watch._evaluate", None)
    assert main(words(training, "--once")) == 0
    assert "3 steps of this curve were evaluated before" in capsys.readouterr().out
    assert not (training / "eval" / ".checkpoint").exists()


def test_new_ones_are_seen_until_a_step(training, monkeypatch):
    ours(training, 1)
    later = iter([lambda: ours(training, 2), lambda: None, lambda: ours(training / "step-3", 3)])
    waits = []
    monkeypatch.setattr(watching.time, "sleep", lambda seconds: (waits.append(seconds), next(later)()))
    assert main(words(training, "--every", 7, "--until", 3)) == 0
    assert steps(training) == [1, 2, 3] and waits == [7.0, 7.0, 7.0]


def test_the_same_weights_in_another_place_are_not_evaluated_again(training, capsys):
    ours(training, 5)
    main(words(training, "--once"))
    ours(training / "step-5", 5)
    capsys.readouterr()
    assert main(words(training, "--once")) == 0
    assert "step 5:" not in capsys.readouterr().out and steps(training) == [5]
    ours(training / "step-5", 5, seed=9)
    assert main(words(training, "--once")) == 0
    assert "step 5:" in capsys.readouterr().out and steps(training) == [5]


def test_a_checkpoint_that_changes_or_goes_while_it_is_copied_is_left_for_later(training, monkeypatch):
    ours(training / "step-1", 1)
    snapshot, calls = checkpoints.snapshot, []

    def disturbed(checkpoint, target):
        calls.append(checkpoint.step)
        if len(calls) == 1:
            ours(training / "step-1", 1, seed=5)
        if len(calls) == 2:
            shutil.rmtree(training / "step-1")
        return snapshot(checkpoint, target)

    monkeypatch.setattr(checkpoints, "snapshot", disturbed)
    actions = iter([lambda: None, lambda: ours(training / "step-1", 1), lambda: 1 / 0])
    monkeypatch.setattr(watching.time, "sleep", lambda _: next(actions)())
    assert main(words(training, "--until", 1)) == 0
    assert calls == [1, 1, 1] and steps(training) == [1]


def test_an_unreadable_checkpoint_is_named_once_and_the_others_go_on(training, caplog):
    broken = ours(training / "step-1", 1)
    (broken / "tokenizer.json").write_text("{}")
    ours(training / "step-2", 2)
    with caplog.at_level(logging.ERROR):
        assert main(words(training, "--once")) == 1
    assert steps(training) == [2] and "step 1 cannot be evaluated: " in caplog.text
    ours(training / "step-1", 1)
    assert main(words(training, "--once")) == 0 and sorted(steps(training)) == [1, 2]


def test_checkpoints_without_a_tokenizer_are_read_with_another(training, caplog):
    folder = transformers_checkpoint(training / "checkpoint-7", 7)
    ours(training.parent / "model", 1)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert main(words(training, "--once")) == 1 and "tokenizer" in caplog.text
    assert main(words(training, "--once", "--tokenizer", training.parent / "model")) == 0 and steps(training) == [7]
    assert not list(folder.glob("tokenizer*"))
    assert main(words(training, "--once", "--tokenizer", "gone/model")) == 2


@pytest.mark.slow
def test_a_kill_at_any_moment_costs_nothing(training, tmp_path):
    for step in range(1, 7):
        ours(training / f"step-{step}", step)
    command = [sys.executable, "-m", "evalkit.cli", *words(training, "--once")]
    for wait in (0.0, 0.15, 0.3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not list((training / "eval").glob("step-*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
    assert sorted(steps(training)) == [1, 2, 3, 4, 5, 6]
    for line in lines(training):
        records = (training / "eval" / line["run"] / "records.jsonl").read_text().splitlines()
        assert len(records) == len({json.loads(r)["doc_id"] for r in records}) == 24


def test_a_signal_says_how_to_continue(training):
    ours(training / "step-1", 1)
    command = [sys.executable, "-m", "evalkit.cli", *words(training)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "step 1: colours" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "continue with: " in said and "evalkit watch" in said


@pytest.fixture
def gated(training, tmp_path):
    """Everything is blue; a base that knows it, and the options of the gate."""
    base = tmp_path / "base"
    (tmp_path / "colours.py").write_text(TASK.replace(str(COLOURS), str([{**row, "a": "blue"} for row in COLOURS])))
    ours(tmp_path / "model", 1, blue=9.0)
    assert main(["run", "--model", str(tmp_path / "model"), "--tasks", str(tmp_path / "colours.py"),
                 "--out", str(base)]) == 0  # fmt: skip
    return words(training, "--once", "--fail-if-worse-than", base)


def test_a_gate_holds_fails_and_fails_again_after_a_restart(training, gated, caplog, monkeypatch):
    ours(training / "step-1", 1, blue=-9.0)  # before the gate counts
    ours(training / "step-2", 2, blue=9.0)
    gated = [*gated, "--from-step", "2"]
    assert main(gated) == 0 and steps(training) == [1, 2]
    ours(training / "step-3", 3, blue=-9.0)
    ours(training / "step-4", 4, blue=9.0)
    for _ in range(2):
        caplog.clear()
        assert main(gated) == 1
        assert "step 3 is worse than" in caplog.text and "colours 0-shot acc: 100.0 -> 0.0" in caplog.text
        assert steps(training) == [1, 2, 3]  # it ends there
        monkeypatch.setattr("evalkit.curves.watching.Watch._evaluate", None)


def test_a_later_comparison_needs_stronger_evidence(training, gated, monkeypatch):
    alphas = []
    compare = watching.api.compare

    def worse_at(*runs, alpha, **options):
        """Every step looks worse at the whole alpha, and is not at its share of it."""
        alphas.append(alpha)
        found = compare(*runs, alpha=alpha, **options)
        verdict = "worse" if alpha == 0.05 else "same"
        return replace(found, findings=[replace(f, verdict=verdict) for f in found.findings])

    monkeypatch.setattr(watching.api, "compare", worse_at)
    for step in (1, 2, 3):
        ours(training / f"step-{step}", step, blue=9.0)
    assert main([*gated, "--margin", "colours=5"]) == 0
    assert alphas == pytest.approx([0.05, 0.05 / 2, 0.05, 0.05 / 6, 0.05, 0.05 / 12])


def test_a_base_of_other_tasks_is_an_error_and_the_step_is_kept(training, gated, tmp_path, caplog):
    ours(training / "step-1", 1)
    (tmp_path / "colours.py").write_text(TASK.replace('"colours"', '"hues"'))
    assert main(gated) == 2 and "--fail-if-worse-than: cannot compare" in caplog.text
    assert steps(training) == [1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--every", "0"], "--every must be above 0 seconds, not 0"),
        (["--once", "--until", "3"], "--once and --until: give one of them"),
        (["--margin", "2"], "need --fail-if-worse-than BASE"),
        (["--seconds", "-1"], "seconds must be a number above 0, not -1"),
        (["--once", "--fail-if-worse-than", "gone"], "there is no run folder gone"),
        (["--once", "--dtype", "fp8"], "unknown dtype 'fp8'"),
        (["--once"], "holds no complete checkpoint"),
    ],
)
def test_wrong_input(training, caplog, more, message):
    assert main(words(training, *more)) == 2
    assert message in caplog.text


def test_a_folder_that_is_not_there_and_a_curve_in_the_trainings_own(training, caplog):
    assert main(words(training / "gone")) == 2 and "no folder" in caplog.text
    assert main(words(training, "--out", training)) == 2 and "a folder of its own" in caplog.text


def test_core_of_each_checkpoint(training, tmp_path, capsys):
    ours(training / "step-20", 20)
    transformers_checkpoint(training / "checkpoint-7", 7)
    bundle = make(tmp_path / "bundle")
    assert main(["watch", str(training), "--once", "--no-cache", "--tasks", "core", "--data", f"core={bundle}"]) == 0
    assert capsys.readouterr().out.count("CORE (3 of 22)") == 2
