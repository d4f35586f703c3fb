"""Two processes train as one does, whole or split, and go on from each other's checkpoints."""

from __future__ import annotations

import dataclasses
import json
import signal

import pytest
from processes import CONFIG, SignalAt, corpus_in, ended, start
from safetensors.torch import load_file

from evalkit.errors import UsageError
from evalkit.train.distributed import ranks
from evalkit.train.optim import OptimConfig

pytestmark = pytest.mark.slow

ADAMW = dataclasses.replace(CONFIG, optim=OptimConfig(muon_lr=0.0, adam_lr=3e-3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return corpus_in(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def alone(folder, tmp_path_factory):
    """What one process makes of CONFIG and of ADAMW."""
    out = tmp_path_factory.mktemp("alone")
    assert ended([*start(folder, out / "muon", CONFIG), *start(folder, out / "adamw", ADAMW)]) == [0, 0]
    return out


def losses(out):
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def same_weights(one, other):
    theirs = load_file(other / "model.safetensors")
    for name, tensor in load_file(one / "model.safetensors").items():
        assert (tensor - theirs[name]).abs().max() < 1e-4, name


# Muon's products are in bf16: what rounding changes in the gradients, it makes larger.
@pytest.mark.parametrize(
    ("config", "tolerance"),
    [(ADAMW, 1e-5), (dataclasses.replace(ADAMW, shard=True, accumulate=2), 1e-5), (CONFIG, 1e-4)],
    ids=["ddp", "fsdp", "muon"],
)
def test_two_processes_train_as_one_does(config, tolerance, folder, alone, tmp_path):
    assert ended(start(folder, tmp_path / "two", config, ranks=2)) == [0, 0]
    one = alone / ("muon" if config.optim.muon_lr else "adamw")
    assert losses(tmp_path / "two") == pytest.approx(losses(one), abs=tolerance + 1e-5)  # they are rounded to 1e-5
    record = json.loads((tmp_path / "two" / "training.json").read_text())
    assert record["processes"] == 2
    expected = json.loads((one / "training.json").read_text())
    for name in ("training_loss", "validation_loss"):
        assert record[name] == pytest.approx(expected[name], abs=tolerance)


def test_another_number_of_processes_goes_on(folder, alone, tmp_path):
    """One process, two with the weights whole, two with them split, one: stopped in between by SIGTERM."""
    out, split = tmp_path / "out", dataclasses.replace(ADAMW, shard=True)
    stop = 128 + signal.SIGTERM
    for config, number, step in ((ADAMW, 1, 5), (ADAMW, 2, 9), (split, 2, 13)):
        observers = (SignalAt(every=step * 4 * 32, number=signal.SIGTERM),)
        assert ended(start(folder, out, config, observers=observers, ranks=number)) == [stop] * number
        assert "stopped by SIGTERM" in (tmp_path / "out-0.error").read_text()
        assert json.loads((out / "training.json").read_text())["step"] == step + 1
    assert ended(start(folder, out, ADAMW)) == [0]
    same_weights(out, alone / "adamw")
    assert losses(out) == pytest.approx(losses(alone / "adamw"), abs=2e-5)


def test_a_lost_process_ends_the_others(folder, tmp_path):
    observers = (SignalAt(every=5 * 4 * 32, number=signal.SIGKILL),)  # rank 0 looks, and dies of it
    assert ended(start(folder, tmp_path / "out", CONFIG, observers=observers, ranks=2)) == [-signal.SIGKILL, 2]
    assert "WorkerLostError: process 1 lost contact with another of the 2" in (tmp_path / "out-1.error").read_text()


def test_what_does_not_go_together():
    with pytest.raises(UsageError, match="Muon needs whole matrices"):
        dataclasses.replace(CONFIG, shard=True)
    with pytest.raises(UsageError, match="cannot be divided evenly among 3 processes"):
        CONFIG.parts(3)
    with pytest.raises(UsageError, match="cannot be split into 3 equal parts"):
        dataclasses.replace(CONFIG, accumulate=3).parts(1)
    with ranks("cpu") as one, pytest.raises(UsageError, match="start with torchrun"):
        one.wrap(None, shard=True)
