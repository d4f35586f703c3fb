"""Gaffke's bound against closed forms, simulation and enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, t

from evalkit.stats.bounded import Gains, beyond, copies_needed, interval, tail


def of(values, sizes=None, **ends):
    values = np.asarray(values, dtype=float)
    return Gains(values=values, sizes=np.ones(len(values)) if sizes is None else sizes, **ends)


@pytest.mark.parametrize("n", [5, 20, 100, 1000])
def test_documents_that_never_changed_may_change_elsewhere(n):
    """All n stayed: the chance of that is (1 - d)**n where a share d loses everything."""
    for share in (0.01, 0.1):
        assert tail(of(np.zeros(n)), -share) == pytest.approx((1 - share) ** n, rel=0.05, abs=2e-3)
    low, high = interval(of(np.zeros(n)), level=0.95)
    assert high == pytest.approx(1 - 0.025 ** (1 / n), rel=5e-3) and low == pytest.approx(-high)


@pytest.mark.parametrize(("lost", "n"), [(1, 30), (4, 20), (30, 200)])
def test_of_right_or_wrong_it_is_clopper_and_pearson(lost, n):
    """Scores of 0 and 1 on a scale from -1 to 1 that uses its lower end: losses of everything or nothing."""
    gains = np.repeat([-1.0, 0.0], [lost, n - lost])
    low, _ = interval(of(gains), level=0.95)
    assert -low == pytest.approx(beta.ppf(0.975, lost + 1, n - lost), rel=5e-3)


@pytest.mark.parametrize("n", [5, 20, 60])
def test_a_tail_is_the_share_of_weighted_means_below(n):
    rng = np.random.default_rng(n)
    gains = rng.choice([-0.5, 0.0, 0.2, 1.0], size=n)
    weights = rng.exponential(size=(200_000, n + 1))
    for mean in gains.mean() + np.array([-0.3, -0.1, 0.02]):
        rest = np.append(gains - mean, -1.0 - mean)
        assert tail(of(gains), mean) == pytest.approx((weights @ rest <= 0).mean(), abs=0.012)


def test_many_documents_that_all_differ_have_about_students_interval():
    gains = np.random.default_rng(0).normal(0.02, 0.2, size=2000).clip(-1, 1)
    low, high = interval(of(gains), level=0.95)
    reach = t.ppf(0.975, 1999) * gains.std(ddof=1) / np.sqrt(2000)
    assert 1.0 < (high - low) / (2 * reach) < 1.1 and low < gains.mean() - reach < gains.mean() + reach < high


def test_units_weigh_by_their_size_and_mirror():
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 9, size=40).astype(float)
    gains = np.round(rng.uniform(-1, 1, size=40) * sizes)
    low, high = interval(of(gains, sizes), level=0.9)
    assert low < gains.sum() / sizes.sum() < high
    assert interval(of(gains, sizes).losses, level=0.9) == pytest.approx((-high, -low), abs=1e-8)
    assert interval(of(5 * gains, 5 * sizes), level=0.9) == pytest.approx((low, high), abs=1e-8)


def test_ends_of_the_scale():
    assert tail(of(np.zeros(9)), -1.0) == 0.0
    assert tail(of(np.full(9, -1.0)), -0.5) == 1.0
    assert interval(of(np.full(9, -1.0)), level=0.95)[0] == pytest.approx(-1.0)


def test_a_rare_loss_is_covered_that_a_mean_over_what_is_seen_misses():
    """3% of documents lose 0.4: of thirty documents, four in ten samples show none of them."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(400):
        low, high = interval(of(np.where(rng.random(30) < 0.03, -0.4, 0.0)), level=0.95)
        inside += low <= -0.012 <= high
    assert inside >= 0.95 * 400


def test_how_many_copies_would_do():
    """Nothing seen in 20: 367 show that fewer than 1% lose everything, as (1 - 0.01)**367 is 0.025."""
    assert 20 * copies_needed(of(np.zeros(20)), 0.01, level=0.025) == pytest.approx(367, rel=5e-3)
    gains = of(np.random.default_rng(0).normal(0, 0.1, size=50).clip(-1, 1))
    margin = abs(gains.mean) + 0.02
    copies = copies_needed(gains, margin, level=0.025)
    assert max(tail(side, -margin, copies=copies) for side in (gains, gains.losses)) == pytest.approx(0.025, abs=1e-4)


def test_a_margin_is_kept_to_both_sides_and_ends_are_those_given():
    gains = of(np.repeat([0.01, 0.03], 100))
    assert beyond(gains, 0.1) == tail(gains.losses, -0.1) < tail(gains.losses, -0.05)
    near = of(gains.values, least=-0.2, most=0.2)
    assert interval(near, level=0.95)[1] - 0.02 < 0.4 * (interval(gains, level=0.95)[1] - 0.02)
