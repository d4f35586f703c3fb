"""A curve in a folder: each step once, the same documents, lines that a kill cannot lose, boards."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from small_checkpoints import TOKENIZER, colours, model, ours

import evalkit
from evalkit.cli import main
from evalkit.curves.learning_curve import LearningCurve
from evalkit.errors import StoreError, UsageError
from evalkit.harness.item import Item
from evalkit.runs.store import open_run


@pytest.fixture
def curve(tmp_path):
    return LearningCurve(tmp_path / "curve", [colours()])


def live(seed=0):
    return evalkit.open_model(model(seed), tokenizer=TOKENIZER, context_length=64, name="live")


def test_steps_of_a_live_module_are_run_folders_and_lines(curve, tmp_path):
    first, second = (curve.add(live(step), step=step, tokens=100 * step, loss=5.0 - step) for step in (1, 2))
    assert [(line["step"], line["run"], line["tokens"]) for line in curve.lines] == [
        (1, "step-1", 100), (2, "step-2", 200),
    ]  # fmt: skip
    line, [result] = curve.lines[1], [r for r in second.results if r.metric == "acc" and r.source == "model"]
    assert line["colours/0-shot/acc"] == pytest.approx(result.value) and line["colours/0-shot/acc/n"] == 24
    assert line["colours/0-shot/acc/low"] == pytest.approx(result.low, abs=1e-5) and line["loss"] == 3.0
    assert set(evalkit.compare(first, second).verdicts) and curve.run(2).results[0] == second.results[0]
    assert main(["report", str(tmp_path / "curve"), "--out", str(tmp_path / "page")]) == 0
    assert (tmp_path / "page" / "figures" / "curves.svg").exists()


def test_nothing_is_evaluated_twice_and_nothing_is_lost(curve, monkeypatch):
    curve.add(live(), step=1)
    curve.add(live(1), step=2)
    before = (curve.out / "curve.jsonl").read_bytes()
    monkeypatch.setattr(Item, "build", None)
    again = LearningCurve(curve.out, [colours()])
    again.add(live(), step=1)
    assert (curve.out / "curve.jsonl").read_bytes() == before
    for damage in ("", before.decode()[: len(before) // 2], before.decode()[:-20]):  # a kill before or in the line
        (curve.out / "curve.jsonl").write_text(damage)
        again.refresh()
        assert sorted(line["step"] for line in again.lines) == [1, 2]
    shutil.rmtree(curve.out / "step-2")
    (curve.out / "step-2").mkdir()  # an evaluation that had just begun
    again.refresh()
    assert len(again.lines) == 2


def test_an_interrupted_step_goes_on(curve, monkeypatch):
    judged = []
    record = Item.record

    def dies(item):
        judged.append(item.document.id)
        if len(judged) == 10:
            raise KeyboardInterrupt
        return record(item)

    monkeypatch.setattr(Item, "record", dies)
    monkeypatch.setattr("evalkit.harness.run.UNIT_TOKENS", 20)
    with pytest.raises(KeyboardInterrupt):
        curve.add(live(), step=1)
    kept = len((curve.out / "step-1" / "records.jsonl").read_text().splitlines())
    assert kept and not curve.lines
    monkeypatch.setattr(Item, "record", record)
    run = LearningCurve(curve.out, [colours()]).add(live(), step=1)
    assert len(list(run.records())) == 24 and len(curve.lines) == 1


def test_a_step_whose_weights_have_changed_is_evaluated_anew(curve):
    first, second = model(0), model(1)
    curve.add(evalkit.open_model(first, tokenizer=TOKENIZER, context_length=64), step=1)
    curve.add(live(2), step=2)
    [old] = [line["hash"] for line in curve.lines if line["step"] == 1]
    curve.add(evalkit.open_model(second, tokenizer=TOKENIZER, context_length=64), step=1)
    assert [line["step"] for line in curve.lines] == [2, 1] and old not in {line["hash"] for line in curve.lines}
    assert open_run(curve.out / ".replaced" / f"step-1-{old}").results


def test_weights_that_come_back_and_steps_of_the_same_weights(curve):
    for step in (1, 2):
        curve.add(live(0), step=step)
    for seed in (1, 0, 1):
        curve.add(live(seed), step=1)
    first, second = (next(line for line in curve.lines if line["step"] == step) for step in (1, 2))
    assert first["hash"] != second["hash"] and len(curve.lines) == 2
    assert len(list((curve.out / ".replaced").iterdir())) == 2


def test_a_kill_while_a_run_is_set_aside_loses_nothing(curve, monkeypatch):
    curve.add(live(0), step=1)
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        curve.add(live(1), step=1)
    monkeypatch.undo()
    curve.add(live(1), step=1)
    [line] = curve.lines
    assert line["hash"] == open_run(curve.out / "step-1").settings["model"]["hash"]


def test_the_documents_that_fit_a_time_are_the_same_after_a_restart(tmp_path, monkeypatch):
    first = LearningCurve(tmp_path / "curve", ["world_lm"], seconds=0.05)
    run = first.add("pico", step=1)
    monkeypatch.setattr("evalkit.harness.affordable._seconds_per_document", None)
    other = LearningCurve(tmp_path / "curve", ["world_lm"], seconds=0.05).add("nano", step=2)
    assert run.limit == other.limit and 5 <= run.limit["world_lm"] < 120
    assert [r.doc_id for r in run.records()] == [r.doc_id for r in other.records()] or (
        {r.doc_id for r in run.records()} == {r.doc_id for r in other.records()}
    )
    assert json.loads((tmp_path / "curve" / "curve.json").read_text())["limits"] == run.limit


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"limit": 5}, "limit: null -> 5"), ({"shots": [1]}, "shots"), ({"seconds": 3.0}, "budget: null -> 3.0")],
)
def test_a_curve_has_one_way_of_asking(curve, settings, message):
    curve.add(live(), step=1)
    with pytest.raises(UsageError, match=f"other settings .*{message}"):
        LearningCurve(curve.out, [colours()], **settings)


def test_wrong_values(tmp_path):
    with pytest.raises(UsageError, match="seconds must be a number above 0"):
        LearningCurve(tmp_path, [colours()], seconds=0)
    with pytest.raises(UsageError, match="loaded tasks already have settings"):
        LearningCurve(tmp_path, evalkit.load_tasks([colours()]), limit=3)
    with pytest.raises(UsageError, match="unknown task 'colors'"):
        LearningCurve(tmp_path, "colors")
    (tmp_path / "curve.json").write_text("[]")
    with pytest.raises(StoreError, match="not the settings of a learning curve"):
        LearningCurve(tmp_path, [colours()])


def test_another_process_at_work_is_named(curve):
    from evalkit.runs.journal import lock

    held = lock(curve.out)
    with pytest.raises(StoreError, match="another process is writing to"):
        curve.add(live(), step=1)
    os.close(held)
    curve.add(live(), step=1)


def scalars(folder):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    events = reading.EventAccumulator(str(folder)).Reload()
    return [(e.step, round(e.value, 3)) for e in events.Scalars("colours/0-shot/acc")]


def test_tensorboard_holds_each_step_once_after_any_restart(curve, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed (evalkit[tensorboard])")
    with LearningCurve(curve.out, [colours()], tensorboard=True) as first:
        first.add(live(), step=1)
        first.add(live(1), step=2)
    with LearningCurve(curve.out, [colours()], tensorboard=True) as second:
        second.add(live(2), step=3)
        second.add(live(3), step=1)  # trained again
    expected = [(line["step"], round(line["colours/0-shot/acc"], 3)) for line in second.lines]
    assert sorted(scalars(curve.out / "tensorboard")) == sorted(expected) and len(expected) == 3


def test_weights_and_biases_are_sent_each_line_once(curve, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed (evalkit[wandb])")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    curve.add(live(), step=1)
    for step in (2, 3):
        with LearningCurve(curve.out, [colours()], wandb="evalkit-tests") as again:
            again.add(live(step), step=step)
    with LearningCurve(curve.out, [colours()], wandb="evalkit-tests") as last:
        last.refresh()
    sent = json.loads((curve.out / "wandb.json").read_text())
    assert [step for step, _ in sent] == [1, 2, 3]
    assert len(list((curve.out / "wandb").glob("offline-run-*"))) == 2


@pytest.mark.parametrize(
    ("module", "option", "extra"),
    [("tensorboard", {"tensorboard": True}, "evalkit.tensorboard."), ("wandb", {"wandb": "p"}, "evalkit.wandb.")],
)
def test_a_package_that_is_not_installed_is_asked_for_first(tmp_path, monkeypatch, module, option, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=f"need the package {module}: pip install '{extra}'"):
        LearningCurve(tmp_path, [colours()], **option)


def test_checkpoints_by_path_bring_what_they_know(curve, tmp_path):
    run = curve.add(ours(tmp_path / "step-5", 5), step=5)
    assert curve.lines[0]["tokens"] == 50 and Path(run.folder).name == "step-5"
