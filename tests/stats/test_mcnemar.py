"""McNemar's test and Tango's interval against other ways to get the same numbers."""

from __future__ import annotations

import math

import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest

from evalkit.stats.mcnemar import mcnemar, tango


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (3, 3), (5, 15), (40, 12), (400, 470), (0, 30)])
def test_p_is_the_binomial_one(counts):
    expected = binomtest(counts[0], sum(counts), 0.5).pvalue if sum(counts) else 1.0
    assert mcnemar(*counts) == pytest.approx(expected, rel=1e-12)
    assert mcnemar(*counts) == mcnemar(*reversed(counts))


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
