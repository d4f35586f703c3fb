"""Verdicts on constructed series, and how seldom a flat task is called a trend."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from evalkit.report.measurements import Measurement, Series
from evalkit.report.models import ModelFacts
from evalkit.report.trends.verdict import judge, kendall

SIZES = (70e6, 160e6, 410e6, 1e9, 1.4e9, 2.8e9, 6.9e9, 12e9)


def make(values, *, stderr=1.0, sizes=SIZES, **fields):
    """A series of accuracies in percent unless told otherwise."""
    about = {"task": "t", "family": "qa", "metric": "acc", "chance": 25.0, "ceiling": 100.0, "scale": 100.0, **fields}
    points = tuple(
        Measurement(
            model=ModelFacts(name=str(n), parameters=int(n)),
            value=v,
            low=v - 1.96 * stderr,
            high=v + 1.96 * stderr,
            **about,
        )
        for n, v in zip(sizes, values, strict=False)
    )
    return Series(ladder="l", task="t", family="qa", protocol="", metric="acc", shots=0, points=points)


@pytest.mark.parametrize(
    ("values", "stderr", "label"),
    [
        ([30, 38, 45, 50, 57, 60, 66, 70], 1.0, "trend"),
        ([70, 66, 60, 57, 50, 45, 38, 30], 1.0, "trend (falling)"),
        ([25, 25.4, 24.8, 25.1, 25, 24.9, 25.3, 25.1], 0.3, "flat"),
        ([25, 29, 22, 27, 24, 28, 23, 26], 4.4, "too noisy"),
        ([36.5] * 8, 4.7, "flat"),  # every size gives the same answers
        ([60, 80, 92, 96, 98, 98.5, 99, 99.1], 0.4, "saturated"),
        ([30, 50, 70], 1.0, "too few sizes"),
        ([30, 50, 60, 70], 1.0, "trend"),
        ([30, 50, 60, 70], 30.0, "too noisy"),  # in order, but within the points' own intervals
    ],
)
def test_constructed_series(values, stderr, label):
    verdict = judge(make(values, stderr=stderr))
    assert verdict.label == label, verdict.reason
    assert verdict.sizes == verdict.points == len(values)


def test_a_perplexity_falls_and_ability_grows():
    verdict = judge(
        make([140, 38, 11, 8, 6, 5, 4.4, 3.9], stderr=0.1, ceiling=None, chance=None, higher_is_better=False)
    )
    assert verdict.label == "trend" and verdict.logarithmic and verdict.tau == 1 and verdict.slope < 0
    assert "ln(value)" in verdict.reason


def test_points_above_chance_are_counted():
    verdict = judge(make([24, 26, 28, 35, 45, 50, 55, 60]))
    assert verdict.above_chance == 6 and "6 of 8 points above chance" in verdict.reason


def test_series_without_intervals_are_judged_by_their_scatter():
    assert judge(make([30, 38, 45, 50, 57, 60, 66, 70], stderr=math.nan)).label == "trend"
    assert judge(make([25, 45, 22, 60, 24, 38, 23, 56], stderr=math.nan)).label == "too noisy"


def test_seeds_of_one_size():
    sizes = [n for n in SIZES[:5] for _ in range(3)]
    values = [30 + 4 * i + j for i in range(5) for j in range(3)]
    verdict = judge(make(values, sizes=sizes))
    assert verdict.label == "trend" and not verdict.exact and (verdict.sizes, verdict.points) == (5, 15)
    assert judge(make([30, 40, 50], sizes=[1e6] * 3)).label == "too few sizes"


def test_the_exact_p_is_that_of_all_permutations():
    x = np.arange(6.0)
    for y in ([1, 2, 3, 4, 5, 6], [2, 1, 3, 5, 4, 6], [3, 1, 4, 1, 5, 9], [1, 1, 2, 2, 2, 3], [5, 4, 4, 2, 1, 1]):
        values = np.array(y, dtype=float)
        every = [abs(kendall(x, values[list(order)])[0]) for order in itertools.permutations(range(6))]
        tau, p, exact = kendall(x, values)
        assert exact and p == pytest.approx(np.mean(np.array(every) >= abs(tau) - 1e-12))
        assert tau == pytest.approx(stats.kendalltau(x, values).statistic)


def test_the_sampled_p_is_near_the_exact_one():
    x, y = np.array([1.0, 1, 2, 2, 3, 3]), np.array([1.0, 3, 2, 4, 6, 5])
    tau, p, exact = kendall(x, y)
    signs = np.sign(x[:, None] - x)[np.triu_indices(6, 1)]
    scores = [signs @ np.sign(v[:, None] - v)[np.triu_indices(6, 1)] for v in map(np.array, itertools.permutations(y))]
    assert not exact and tau == pytest.approx(stats.kendalltau(x, y).statistic)
    assert p == pytest.approx(np.mean(np.abs(scores) >= scores[0]), abs=0.01)


def test_nothing_but_noise_is_seldom_a_trend():
    rng = np.random.default_rng(0)
    labels = Counter(judge(make(40 + 2 * rng.standard_normal(8), stderr=2.0)).kind for _ in range(400))
    assert labels["trend"] <= 0.05 * 400 + 2 * math.sqrt(0.05 * 0.95 * 400)
