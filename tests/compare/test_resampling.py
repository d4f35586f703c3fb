"""Random signs and resamples: complete where few rows, with the right moments where many, the same on every run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evalkit.compare.resampling import resampled_sums, signed_sums


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


@pytest.mark.parametrize("m", [1, 2, 5, 256, 257, 700])
def test_resamples_draw_m_rows_with_replacement(m):
    rows = np.column_stack([np.ones(m), np.random.default_rng(0).normal(size=m)])
    sums = resampled_sums(rows, resamples=20_000, seed=1)
    assert (sums[:, 0] == m).all()
    spread = np.sqrt(m) * rows[:, 1].std()
    assert sums[:, 1].std() == pytest.approx(spread, rel=0.03, abs=1e-9)
    assert sums[:, 1].mean() == pytest.approx(rows[:, 1].sum(), abs=4 * spread / np.sqrt(20_000) + 1e-9)


def test_each_row_is_drawn_as_often_as_any_other():
    counts = resampled_sums(np.eye(300), resamples=4000, seed=2)
    assert (counts.sum(axis=1) == 300).all()
    # A binomial count of mean 4,000 * 300 / 300 has a standard deviation of about 63.
    assert np.abs(counts.sum(axis=0) - 4000).max() < 5 * 64
    assert counts.var() == pytest.approx(1 - 1 / 300, rel=0.01)


def test_a_seed_gives_the_same_bytes():
    rows = np.random.default_rng(0).normal(size=(400, 3))
    for function in (lambda seed: resampled_sums(rows, resamples=300, seed=seed),
                     lambda seed: signed_sums(rows, resamples=300, seed=seed)[0]):  # fmt: skip
        assert function(3).tobytes() == function(3).tobytes() != function(4).tobytes()
