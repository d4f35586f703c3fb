"""A metric on two sets of documents, against scipy's tests, published intervals and simulations of the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evalkit import metrics
from evalkit.stats.intervals import Interval
from evalkit.stats.unpaired import combined, difference, fisher

ACCURACY, F1 = metrics.get("acc"), metrics.get("f1")


def column(values):
    return np.asarray(values, dtype=float)[:, None], [""] * len(values)


def test_fisher_is_scipys():
    for a, n, b, m in [(3, 4, 1, 9), (0, 5, 5, 5), (7, 7, 9, 9), (50, 120, 300, 500), (2, 2, 1, 3), (0, 3, 0, 90)]:
        expected = stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue
        assert fisher((a, n), (b, m)) == pytest.approx(expected, rel=1e-9)


def test_right_and_wrong_get_fishers_test():
    d = difference(ACCURACY, column([1] * 30 + [0] * 70), column([1] * 20 + [0] * 10))
    assert d.method == "Fisher" and d.p == pytest.approx(fisher((30, 100), (20, 30)))
    assert d.size == pytest.approx(0.3 - 2 / 3) and d.low < d.size < d.high < 0


def test_other_scores_get_welchs_t():
    rng = np.random.default_rng(0)
    first, second = rng.beta(2, 2, 80), rng.beta(3, 2, 25)
    d = difference(F1, column(first), column(second))
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert d.method == "Welch" and d.p == pytest.approx(expected.pvalue, rel=0.1)
    assert d.size == pytest.approx(first.mean() - second.mean())


def test_passages_are_units():
    values = np.repeat([0.1, 0.9, 0.4, 0.6, 0.3, 0.8], 10)
    units = [f"passage {i}" for i in range(6) for _ in range(10)]
    alone = difference(F1, column(values), column([0.2, 0.3, 0.25, 0.3, 0.2]))
    grouped = difference(F1, (values[:, None], units), column([0.2, 0.3, 0.25, 0.3, 0.2]))
    assert grouped.first.units == 6 and grouped.p > 3 * alone.p and grouped.low < alone.low


def test_newcombes_published_interval():
    # Newcombe 1998 (Statistics in Medicine 17), table II, 56/70 - 48/80 by method 10: 0.0524 to 0.3339
    def wilson(right, of):
        z = 1.959964
        middle = (right + z * z / 2) / (of + z * z)
        reach = z / (of + z * z) * math.sqrt(right * (of - right) / of + z * z / 4)
        return Interval(value=right / of, low=middle - reach, high=middle + reach, method="mid-p", units=of)

    assert combined(wilson(56, 70), wilson(48, 80)) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_too_few_say_nothing():
    d = difference(ACCURACY, column([1, 0, 1]), (np.zeros((0, 1)), []))
    assert math.isnan(d.p) and math.isnan(d.low) and d.method == "too few"
    d = difference(F1, column([0.5, 0.6, 0.7, 0.2]), column([0.4, 0.5]))
    assert math.isnan(d.p) and d.method == "too few"
    d = difference(F1, column([0.5] * 5), column([0.5] * 5))
    assert math.isnan(d.p) and d.method == "no spread"


def test_error_and_coverage_where_the_truth_is_known():
    rng = np.random.default_rng(3)
    rejected = covered = 0
    for _ in range(400):
        first, second = rng.random(60) < 0.4, rng.random(25) < 0.4
        d = difference(ACCURACY, column(first), column(second))
        rejected += d.p < 0.05
        covered += d.low <= 0 <= d.high
    assert rejected / 400 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert covered / 400 > 0.95 - 3 * math.sqrt(0.05 * 0.95 / 400)
