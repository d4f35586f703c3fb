"""Checkpoints: which to go back to, what a kill between two writes leaves, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal

import numpy as np
import pytest
import torch
from processes import CONFIG, SHAPE, SignalAt

from evalkit.corpus import Tokens
from evalkit.errors import CheckpointError, UsageError
from evalkit.train import checkpoints
from evalkit.train.log import Metrics, read_metrics
from evalkit.train.loop import Surroundings, train
from evalkit.train.optim import OptimConfig
from evalkit.train.spikes import DivergedError
from evalkit.train.stopping import StoppedError

DROPPED = dataclasses.replace(CONFIG, model=dataclasses.replace(SHAPE, dropout=0.1))


@pytest.fixture(scope="module")
def whole(words, tmp_path_factory):
    """An unbroken training with a checkpoint every five steps, three of which can be gone back to."""
    out = tmp_path_factory.mktemp("whole")
    train(dataclasses.replace(DROPPED, checkpoint_every=5, keep_last=3, checkpoint_keep=2), *words, out)
    return out


def weights_of(out):
    return (out / "model.safetensors").read_bytes()


def test_the_newest_states_and_the_kept_models_stay(whole):
    kept = {step: (folder / "state.pt").exists() for step, folder in checkpoints.step_folders(whole)}
    states, models = [10, 15, 20], [2, 4, 6, 8, 12, 14, 16, 18]
    assert kept == dict(sorted({**dict.fromkeys(states, True), **dict.fromkeys(models, False)}.items()))


def test_a_step_can_be_gone_back_to(whole, words, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    again = dataclasses.replace(DROPPED, checkpoint_every=100, log_every=1)
    observers = (SignalAt(every=12 * 4 * 32, number=signal.SIGINT),)
    with pytest.raises(StoppedError, match="SIGINT at step 13 of 20") as stopped:
        train(again, *words, out, resume=10, surroundings=Surroundings(observers=observers))
    assert stopped.value.exit_code == 130
    assert max(step for step, _ in checkpoints.step_folders(out)) == 10
    assert read_metrics(out)[-1]["step"] == 13
    train(again, *words, out, resume=True)
    assert weights_of(out) == weights_of(whole)
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 7 .*it has: 10\)"):
        train(again, *words, out, resume=7)


def test_a_kill_between_state_and_model(whole, words, tmp_path):
    """The state is the truth: a model folder that is behind is written again."""
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    for name in ("model.safetensors", "training.json"):
        shutil.copy(whole / "step-15" / name, out / name)
    (out / ".state.pt.x1y2").write_bytes(b"half")
    (out / ".observed-1").mkdir()
    train(DROPPED, *words, out, resume=True)
    assert weights_of(out) == weights_of(whole)
    assert json.loads((out / "training.json").read_text())["step"] == 20
    assert not list(out.glob(".*"))


def test_kills_amid_a_checkpoint_of_its_own_folder(whole, words, tmp_path):
    """A folder is made with its state first and removed with it last: what is left is completed, or pruned later."""
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    (out / "step-20" / "model.safetensors").unlink()
    (out / "step-20" / "training.json").unlink()  # killed as the newest was made
    (out / "step-5").mkdir()  # killed as the fourth was removed: its state is what remains
    shutil.copy(out / "step-10" / "state.pt", out / "step-5" / "state.pt")
    (out / "step-3").mkdir()  # a moment later
    train(dataclasses.replace(DROPPED, keep_last=3, checkpoint_keep=2), *words, out, resume=True)
    assert weights_of(out / "step-20") == weights_of(whole / "step-20")
    assert [step for step, _ in checkpoints.step_folders(out)] == [step for step, _ in checkpoints.step_folders(whole)]


def test_pruning_removes_a_state_last(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.shutil, "rmtree", lambda folder: seen.append([p.name for p in folder.iterdir()]))
    seen = []
    for step in (1, 2):
        (tmp_path / f"step-{step}").mkdir()
        for name in ("model.safetensors", "state.pt"):
            (tmp_path / f"step-{step}" / name).touch()
    checkpoints.prune(tmp_path, last=1, every=None)
    assert seen == [["state.pt"]]


def test_another_configuration_is_refused_by_name(whole, words, tmp_path):
    shorter = dataclasses.replace(DROPPED, model=dataclasses.replace(DROPPED.model, context=16), sequences=8)
    with pytest.raises(CheckpointError, match=r"other settings \(context: 32 -> 16; sequences: 4 -> 8\)"):
        train(shorter, *words, whole, resume=True)
    other = dataclasses.replace(DROPPED, optim=OptimConfig(schedule="cosine"))
    with pytest.raises(CheckpointError, match="schedule: linear -> cosine"):
        train(other, *words, whole, resume=True)


class _Code:
    def __reduce__(self):
        return print, ("run",)


def test_no_code_of_a_state_runs(whole, words, tmp_path, capsys):
    shutil.copytree(whole, tmp_path / "out")
    torch.save({"settings": _Code()}, tmp_path / "out" / "state.pt")
    with pytest.raises(CheckpointError, match=r"state\.pt cannot be read"):
        train(DROPPED, *words, tmp_path / "out", resume=True)
    assert "run" not in capsys.readouterr().out


def test_vocabularies_that_do_not_fit(words, tmp_path):
    corpus, tokenizer = words
    small = dataclasses.replace(CONFIG, model=dataclasses.replace(SHAPE, vocab_size=280))
    with pytest.raises(CheckpointError, match=r"tokenizer has \d+ tokens, the model's vocabulary only 280"):
        train(small, corpus, tokenizer, tmp_path / "out")
    foreign = dataclasses.replace(corpus, train=Tokens([corpus.train[:] + 2], np.dtype(np.uint16)))
    with pytest.raises(CheckpointError, match="encoded with another tokenizer"):
        train(CONFIG, foreign, tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_last_good_checkpoint_is_named(words, tmp_path, monkeypatch):
    monkeypatch.setattr("evalkit.train.loop.SpikeWatch", lambda margin: _LostAt(12))
    with pytest.raises(DivergedError, match=r"became nan at step 12; the last good checkpoint is .*out \(step 10\)"):
        train(CONFIG, *words, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "training.json").read_text())["step"] == 10


class _LostAt:
    calm = True

    def __init__(self, step):
        self.left = step

    def see(self, losses):
        self.left -= len(losses)
        return "" if self.left > 0 else "the loss became nan"


@pytest.mark.parametrize("changes", [{"accumulate": 4}, {"recompute": True}], ids=["accumulate", "recompute"])
def test_parts_and_recomputation_change_rounding_only(changes, words, tmp_path):
    adamw = dataclasses.replace(CONFIG, optim=OptimConfig(muon_lr=0.0))
    train(adamw, *words, tmp_path / "plain")
    train(dataclasses.replace(adamw, **changes), *words, tmp_path / "other")
    plain, other = ([row["loss"] for row in read_metrics(tmp_path / name)] for name in ("plain", "other"))
    assert other == pytest.approx(plain, abs=2e-5)


def test_tensorboard_is_asked_for_before_any_work(words, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    with pytest.raises(UsageError, match="need the package tensorboard"):
        train(CONFIG, *words, tmp_path / "out", surroundings=Surroundings(tensorboard=True))
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard's own
def test_tensorboard_gets_the_figures(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Metrics(tmp_path, step=0, tensorboard=True) as metrics:
        metrics.write({"step": 3, "loss": 2.5, "validation_loss": None})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(3, 2.5)]
