"""The estimate of a whole test set from a sample of it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from evalkit import metrics
from evalkit.stats.intervals import Noise, bounds
from evalkit.stats.sampling import MOST_STRATA, design, estimate

ACC, BITS = metrics.get("acc"), metrics.get("bits_per_byte")


def counted(scores, *more):
    return np.column_stack([scores, *more, np.ones(len(scores))])


def population(rng, size, *, agreement):
    """Scores of 0 or 1, and a prediction that is 0.9 or 0.1 and right about this share of them."""
    scores = (rng.random(size) < 0.6).astype(float)
    right = rng.random(size) < agreement
    return scores, np.where(right, scores, 1 - scores) * 0.8 + 0.1


def test_the_mean_over_all_draws_is_the_value_of_all_documents():
    scores = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    expected = np.array([0.9, 0.3, 0.8, 0.4, 0.1, 0.1])  # wrong about the last
    values = []
    for order in permutations(range(6)):
        plan = design(expected, np.full(6, 0.5), count=4, order=np.array(order))
        found = estimate(ACC, plan, counted(scores)[plan.drawn], counted(expected), np.full(6, 0.5))
        values.append(found.value)
    assert len(set(values)) > 1
    assert np.mean(values) == pytest.approx(4 / 6, abs=1e-12)


def test_one_stratum_without_expectations_is_a_plain_sample():
    rng = np.random.default_rng(0)
    losses = rng.normal(50.0, 9.0, 40)
    flat = np.zeros(40)
    plan = design(flat, np.full(40, 1e-9), count=9, order=rng.permutation(40))
    assert plan.sizes == [(9, 40)]
    mean = metrics.values.MeanValue("loss")
    sample = losses[plan.drawn]
    found = estimate(mean, plan, counted(sample), counted(flat), np.full(40, 1e-9))
    # The spread of the sample is borrowed from itself: 8 degrees of freedom of their own and 2 more.
    variance = (8 * sample.var(ddof=1) + 2 * sample.var(ddof=1)) / 10 * (1 - 9 / 40) / 9
    third = ((sample - sample.mean()) ** 3).mean() * (1 - 9 / 40) * (1 - 18 / 40) / 81
    expected = bounds(
        sample.mean(), Noise(variance=variance, third=third, freedom=10.0, size=9), least=-np.inf, most=np.inf
    )
    assert found.value == pytest.approx(sample.mean())
    assert (found.low, found.high) == pytest.approx(expected)


def test_a_perfect_expectation_gives_the_value_from_few_documents():
    rng = np.random.default_rng(1)
    sums = -rng.gamma(9.0, 20.0, 200)
    lengths = rng.integers(50, 400, 200).astype(float)
    plan = design(sums / lengths, np.full(200, 0.1), count=10, order=rng.permutation(200))
    everything = counted(sums, lengths)
    found = estimate(BITS, plan, everything[plan.drawn], everything, np.full(200, 0.01))
    assert found.value == pytest.approx(float(BITS.aggregate(everything.sum(axis=0)[:2], np.array(200.0))))
    assert found.low < found.value < found.high  # as planned: agreement on ten documents proves little


def test_uncertain_documents_are_drawn_more_often():
    expected = np.repeat([0.02, 0.5, 0.98], 100)
    spread = np.sqrt(expected * (1 - expected))
    plan = design(expected, spread, count=60, order=np.random.default_rng(2).permutation(300))
    drawn = [int(plan.drawn[part].sum()) for part in (slice(0, 100), slice(100, 200), slice(200, 300))]
    assert sum(drawn) == 60
    assert drawn[1] > 2 * drawn[0] > 0
    assert drawn[1] > 2 * drawn[2] > 0
    assert len(plan.sizes) <= MOST_STRATA


def test_every_stratum_can_be_drawn_whole():
    expected = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    plan = design(expected, np.array([1e-6] * 3 + [1.0] * 3), count=6, order=np.arange(6))
    assert plan.drawn.all()
    scores = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    assert estimate(ACC, plan, counted(scores), counted(expected), np.ones(6)).value == pytest.approx(0.5)


@pytest.mark.parametrize("agreement", [0.5, 0.8, 0.95])
def test_the_interval_covers_the_value_of_all_documents(agreement):
    rng = np.random.default_rng(3)
    covered, widths, runs = 0, [], 400
    for _ in range(runs):
        scores, expected = population(rng, 400, agreement=agreement)
        plan = design(expected, np.full(400, 0.4), count=50, order=rng.permutation(400))
        found = estimate(ACC, plan, counted(scores)[plan.drawn], counted(expected), np.full(400, 0.4))
        covered += found.low <= scores.mean() <= found.high
        widths.append(found.high - found.low)
    assert covered / runs >= 0.93
    assert np.mean(widths) < {0.5: 0.40, 0.8: 0.28, 0.95: 0.24}[agreement]
