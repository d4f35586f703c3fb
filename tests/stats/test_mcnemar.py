"""McNemar's test and Tango's interval: enumerated, and against other ways to get the same numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binom, binomtest

from evalkit.stats.mcnemar import mcnemar, tango


@pytest.mark.parametrize("counts", [(1, 0), (5, 15), (40, 12), (400, 470), (0, 30)])
def test_p_is_the_binomial_one_less_the_chance_of_what_was_observed(counts):
    expected = binomtest(counts[0], sum(counts), 0.5).pvalue - binom.pmf(counts[0], sum(counts), 0.5)
    assert mcnemar(*counts) == pytest.approx(expected, rel=1e-12)
    assert mcnemar(*counts) == mcnemar(*reversed(counts))


def test_as_many_gained_as_lost_are_no_evidence():
    assert mcnemar(0, 0) == mcnemar(3, 3) == mcnemar(40, 40) == 1.0


def test_the_example_of_the_papers():
    """21 children, 1 and 7 of whom differ: Fagerland, Lydersen and Laake 2013, table 1, and 2014 (Tango's interval)."""
    assert mcnemar(1, 7) == pytest.approx(0.0391, abs=5e-5)
    assert tango(1, 7, n=21) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 20])
@pytest.mark.parametrize("n", [10, 20, 30, 50, 100, 300])
def test_the_size_stays_below_the_level(n, alpha):
    """Over every share of documents that differ, up to 60%, by complete enumeration."""
    differing = np.arange(n + 1)
    size = [sum(binom.pmf(k, d, 0.5) for k in range(d + 1) if mcnemar(k, d - k) <= alpha) for d in differing.tolist()]
    largest = max(float(binom.pmf(differing, n, share) @ size) for share in np.linspace(0.01, 0.6, 60))
    assert largest <= alpha


def score_by_search(delta: float, gained: int, lost: int, n: int) -> float:
    """Tango's score with the nuisance rate found by maximising the likelihood instead of by his formula."""

    def unlikely(rate: float) -> float:
        up, down = rate + delta, rate
        rest = max(1 - up - down, 1e-300)
        likelihood = (n - gained - lost) * math.log(rest)
        for count, share in ((gained, up), (lost, down)):
            likelihood += count * math.log(max(share, 1e-300)) if count else 0.0
        return -likelihood

    least = max(0.0, -delta)
    rate = minimize_scalar(unlikely, bounds=(least, (1 - delta) / 2), method="bounded", options={"xatol": 1e-12}).x
    return (gained - lost - n * delta) / math.sqrt(n * (2 * rate + delta * (1 - delta)))


@pytest.mark.parametrize("counts", [(9, 3, 50), (1, 0, 44), (20, 35, 300), (7, 7, 20)])
def test_interval_is_where_the_score_meets_z(counts):
    gained, lost, n = counts
    low, high = tango(gained, lost, n=n)
    assert low < (gained - lost) / n < high
    for bound, z in ((low, 1.959964), (high, -1.959964)):
        near = brentq(lambda delta, z=z: score_by_search(delta, gained, lost, n) - z, bound - 0.05, bound + 0.05)
        assert bound == pytest.approx(near, abs=1e-4)


def test_interval_has_a_width_without_any_difference_and_mirrors():
    low, high = tango(0, 0, n=100)
    assert low == pytest.approx(-high) and high == pytest.approx(3.8415 / 103.8415, abs=1e-4)
    assert tango(4, 9, n=60) == pytest.approx([-x for x in reversed(tango(9, 4, n=60))], abs=1e-12)
    assert tango(3, 0, n=3)[1] == pytest.approx(1.0)
