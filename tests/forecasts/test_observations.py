"""Observations are checked where they come in."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from evalkit.errors import DataError, UsageError
from evalkit.forecasts.observations import Observation, Target, checked

PLAIN = Observation(model="m", parameters=1e8, tokens=1e9, task="t", metric="acc", value=40.0, ceiling=100.0)


@pytest.mark.parametrize(
    ("field", "number"),
    [
        ("parameters", 0), ("parameters", math.inf), ("tokens", -1), ("compute", math.nan), ("step", -1),
        ("value", math.nan), ("value", 101), ("stderr", -1), ("n", -1), ("loss", 0), ("chance", 100), ("model", ""),
        ("task", ""),
    ],
)  # fmt: skip
def test_an_impossible_observation_is_refused(field, number):
    with pytest.raises(DataError):
        replace(PLAIN, **{field: number})


@pytest.mark.parametrize("number", [0, -1.0, math.inf, math.nan])
def test_an_impossible_target_is_refused(number):
    with pytest.raises(UsageError, match="above 0"):
        Target(parameters=number)


def test_compute_is_six_per_parameter_and_token_unless_known():
    assert PLAIN.flops == 6e17 and replace(PLAIN, compute=7e17).flops == 7e17
    assert replace(PLAIN, tokens=None).flops is None
    assert Target(parameters=1e9, tokens=2e10).flops == 1.2e20


def test_an_observation_counts_once_and_two_that_contradict_are_refused():
    assert checked([PLAIN, PLAIN, replace(PLAIN, seed=1)]) == (PLAIN, replace(PLAIN, seed=1))
    with pytest.raises(DataError, match="two values"):
        checked([PLAIN, replace(PLAIN, value=41.0)])
    with pytest.raises(DataError, match="ceiling"):
        checked([PLAIN, replace(PLAIN, model="n", ceiling=None)])
    with pytest.raises(DataError, match="no observation"):
        checked([])
