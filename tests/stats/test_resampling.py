"""Random signs and the bootstrap: complete where few rows, with the right moments where many, the same on every run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evalkit.stats.resampling import (
    counts_with_replacement,
    monte_carlo_p,
    percentile_interval,
    signed_sums,
    with_replacement,
)


def test_few_rows_are_enumerated():
    rows = np.array([[1.0, 10.0], [2.5, -3.0], [0.0, 0.0], [-4.0, 7.0]])
    sums, exact = signed_sums(rows, resamples=5)
    every = [np.array(signs) @ rows[[0, 1, 3]] for signs in itertools.product((-1, 1), repeat=3)]
    assert exact and sorted(map(tuple, sums)) == sorted(map(tuple, every))


def test_nothing_to_exchange_leaves_one_pattern():
    sums, exact = signed_sums(np.zeros((4, 2)), resamples=5)
    assert exact and sums.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("m", [17, 100, 1001])
def test_signs_are_fair_and_independent(m):
    rows = np.random.default_rng(0).normal(size=(m, 2)) * [1, 3]
    sums, exact = signed_sums(rows, resamples=20_000, seed=1)
    assert not exact and sums.shape == (20_000, 2)
    expected = rows.T @ rows
    assert np.allclose(np.cov(sums.T), expected, atol=0.05 * np.sqrt(np.outer(*[np.diag(expected)] * 2)))
    assert np.abs(sums.mean(axis=0)).max() < 4 * np.sqrt(np.diag(expected).max() / 20_000)


def test_a_seed_gives_the_same_bytes():
    rows = np.random.default_rng(0).normal(size=(400, 3))
    first, again, other = (signed_sums(rows, resamples=300, seed=seed)[0].tobytes() for seed in (3, 3, 4))
    assert first == again != other


def test_a_bootstrap_draws_points_with_replacement_and_the_same_for_a_seed():
    places = with_replacement(7, resamples=2_000, seed=3)
    assert places.shape == (2_000, 7)
    assert np.array_equal(places, with_replacement(7, resamples=2_000, seed=3))
    assert np.bincount(places.ravel(), minlength=7).min() > 1_800
    assert any(len(set(row)) < 7 for row in places.tolist())
    counts = counts_with_replacement(7, resamples=2_000, rng=np.random.default_rng(3))
    assert (counts.sum(axis=1) == 7).all() and abs(counts.mean() - 1.0) < 1e-12
    # How often a point is missing: (1 - 1/7)**7.
    assert abs((counts == 0).mean() - (6 / 7) ** 7) < 0.02


def test_the_percentile_interval_leaves_the_same_share_on_both_sides():
    replicates = np.arange(101.0)[:, None] * [1.0, 2.0]
    low, high = percentile_interval(replicates, level=0.9)
    np.testing.assert_allclose([low, high], [[5.0, 10.0], [95.0, 190.0]])
    low, high = percentile_interval(np.empty((0, 2)), level=0.9)
    assert low.shape == high.shape == (2,) and np.isnan([low, high]).all()


def test_a_p_by_resampling_counts_the_observation():
    assert monte_carlo_p(0, resamples=99) == 0.01 and monte_carlo_p(99, resamples=99) == 1.0
