"""When a training is given up."""

from __future__ import annotations

import math

import pytest

from evalkit.train.spikes import SpikeWatch

FALLING = [5 - 0.01 * n for n in range(200)]


@pytest.mark.parametrize(
    "losses",
    [
        FALLING,
        [loss + 0.4 * (-1) ** n for n, loss in enumerate(FALLING)],  # noise
        [loss + 3 * (n % 20 == 7) for n, loss in enumerate(FALLING)],  # single hard batches
    ],
    ids=["falling", "noisy", "hard"],
)
def test_an_ordinary_training_is_left_alone(losses):
    watch = SpikeWatch(1.0)
    assert watch.see(losses) == "" and watch.calm


def test_a_spike_that_stays_is_one():
    watch = SpikeWatch(1.0)
    assert watch.see(FALLING) == ""
    assert watch.see([5.0] * 9) == "" and not watch.calm
    assert watch.see([3.1] * 5) == "" and watch.calm
    assert "the loss is 5.00 and has stayed more than 1 above its median 3." in watch.see([5.0] * 10)


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number(lost):
    assert f"became {lost}" in SpikeWatch(1.0).see([5.0, lost, 5.0])
