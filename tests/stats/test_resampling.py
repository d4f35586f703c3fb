"""Random signs: complete where few rows, with the right moments where many, the same on every run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evalkit.stats.resampling import signed_sums


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
