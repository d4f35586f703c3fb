"""A training whose budget is extended on resuming: its learning rates, its bits, its record."""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal

import pytest
import torch
from processes import CONFIG, SignalAt

from evalkit.cli import main
from evalkit.errors import CheckpointError
from evalkit.train.log import read_metrics
from evalkit.train.loop import Surroundings, train
from evalkit.train.optim import OptimConfig
from evalkit.train.stopping import StoppedError

STEP = CONFIG.tokens_per_step
SHORT = dataclasses.replace(CONFIG, log_every=1, checkpoint_every=100)


def longer(config, steps):
    return dataclasses.replace(config, tokens=steps * STEP)


def stopped_at(step, config, words, out):
    """Train until a signal comes after so many steps."""
    observers = (SignalAt(every=(step - 1) * STEP, number=signal.SIGTERM),)
    with pytest.raises(StoppedError, match=f"at step {step} "):
        train(config, *words, out, surroundings=Surroundings(observers=observers))


@pytest.mark.parametrize("shape", ["linear", "cosine", "constant", "trapezoid"])
def test_the_rate_climbs_no_faster_than_in_the_warm_up(shape):
    schedule = OptimConfig(schedule=shape, warmup=0.1)
    plain, extended = schedule.over((0, 100)), schedule.over((0, 100), (90, 400))
    rates = [extended.rate(step) for step in range(400)]
    assert rates[:90] == [plain.rate(step) for step in range(90)]
    assert max(after - before for before, after in itertools.pairwise(rates)) <= 1 / 10 + 1e-9
    lowest = {"linear": 0.0, "trapezoid": 0.0, "cosine": 0.1, "constant": 1.0}[shape]
    assert rates[-1] == pytest.approx(lowest, abs=0.01)
    top = {"linear": 1 - 90 / 390, "trapezoid": 1.0, "cosine": 0.9, "constant": 1.0}[shape]
    assert max(rates[90:]) == pytest.approx(top, abs=0.05)


def test_a_second_extension_begins_where_the_first_had_come_to():
    twice = OptimConfig(schedule="linear", warmup=0.1).over((0, 100), (100, 200), (104, 400))
    once = OptimConfig(schedule="linear", warmup=0.1).over((0, 100), (100, 200))
    assert [twice.rate(step) for step in range(104)] == [once.rate(step) for step in range(104)]
    assert twice.rate(104) == pytest.approx(once.rate(103) + 0.1)


def test_a_trapezoid_extended_before_its_fall_has_the_bits_of_one_planned_so(words, tmp_path):
    flat = dataclasses.replace(SHORT, optim=OptimConfig(schedule="trapezoid", warmup=0.2, cooldown=0.5))
    stopped_at(9, flat, words, tmp_path / "extended")
    train(longer(flat, 30), *words, tmp_path / "extended", resume=True)
    planned = dataclasses.replace(flat, optim=OptimConfig(schedule="trapezoid", warmup=4 / 30, cooldown=0.5))
    train(longer(planned, 30), *words, tmp_path / "planned")
    rates = [[row["rate"] for row in read_metrics(tmp_path / name)] for name in ("extended", "planned")]
    assert rates[0] == rates[1]
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("extended", "planned"))
    assert one == other


def test_an_extended_training_resumes_with_the_same_bits_and_says_what_happened(words, tmp_path):
    for name in ("whole", "broken"):
        train(SHORT, *words, tmp_path / name)
    more = longer(SHORT, 32)
    train(more, *words, tmp_path / "whole", resume=True)
    observers = (SignalAt(every=25 * STEP, number=signal.SIGTERM),)
    with pytest.raises(StoppedError, match="at step 26 of 32"):
        train(more, *words, tmp_path / "broken", resume=True, surroundings=Surroundings(observers=observers))
    train(more, *words, tmp_path / "broken", resume=True)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert weights[0] == weights[1]
    settings = json.loads((tmp_path / "whole" / "training.json").read_text())["settings"]
    assert (settings["tokens"], settings["extended"]) == (32 * STEP, [[20, 20 * STEP]])
    train(longer(SHORT, 40), *words, tmp_path / "whole", resume=True)
    settings = json.loads((tmp_path / "whole" / "training.json").read_text())["settings"]
    assert settings["extended"] == [[20, 20 * STEP], [32, 32 * STEP]]


def test_a_budget_cannot_be_cut_and_nothing_else_can_change(words, tmp_path):
    train(SHORT, *words, tmp_path)
    with pytest.raises(CheckpointError, match=r"tokens: 2,?560 -> 1,?280\); a budget can be extended, not cut"):
        train(longer(SHORT, 10), *words, tmp_path, resume=True)
    with pytest.raises(CheckpointError, match=r"other settings \(seed: 0 -> 1\)$"):
        train(dataclasses.replace(longer(SHORT, 30), seed=1), *words, tmp_path, resume=True)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 20


def test_at_the_command_line(words_folder, tmp_path, capsys):
    asked = ["train", "--size", "pico", "--corpus", str(words_folder), "--context", "32", "--out", str(tmp_path)]
    assert main([*asked, "--tokens", "2560"]) == 0
    assert main([*asked, "--tokens", "3840", "--resume"]) == 0
    assert "the budget grows from 2,560 to 3,840 tokens at step 10" in capsys.readouterr().err
    assert read_metrics(tmp_path)[-1]["tokens"] == 3840
    assert main([*asked, "--tokens", "1k", "--resume"]) == 2
    assert "a budget can be extended, not cut" in capsys.readouterr().err
