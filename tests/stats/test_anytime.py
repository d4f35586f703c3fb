"""E-processes: their expectation under the hypothesis, worked out in full, and how often they err over many looks."""

from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import t as student

from evalkit.stats.anytime import BoundedMean, StudentMixture, interval, scales


def bounded(differences, sizes=None, *, largest=1.0, longest=400, population=None):
    differences = np.asarray(differences, dtype=float)
    sizes = np.ones(len(differences)) if sizes is None else np.asarray(sizes, dtype=float)
    return BoundedMean(
        differences=differences, sizes=sizes, largest=largest, longest=longest, population=population
    )  # fmt: skip


def expected(chances, *, n, against):
    """The expected capital after n documents, over every way in which they can come. chances: of each difference."""
    ways = product(chances.items(), repeat=n)
    return sum(math.prod(p for _, p in way) * math.exp(against(bounded([x for x, _ in way]))) for way in ways)


def test_capital_is_not_expected_to_grow_while_the_hypothesis_holds():
    even = {-1: 0.15, -0.25: 0.2, 0: 0.45, 1: 0.2}
    assert sum(even.values()) == 1 and sum(x * p for x, p in even.items()) == pytest.approx(0)
    assert expected(even, n=5, against=lambda e: e.against_at_most(0.0)) == pytest.approx(1)
    assert expected(even, n=5, against=lambda e: e.against_at_least(0.0)) == pytest.approx(1)
    lower = {-1: 0.25, 0: 0.6, 1: 0.15}
    assert expected(lower, n=5, against=lambda e: e.against_at_most(-0.1)) == pytest.approx(1)
    assert expected(lower, n=5, against=lambda e: e.against_at_most(0.0)) < 0.95
    assert expected(lower, n=5, against=lambda e: e.against_at_least(0.0)) > 1.05


def test_capital_of_one_bet_is_the_product_of_what_it_wins():
    assert list(scales(1)) == [1.0]
    one = bounded([1, 0, -0.5], longest=1)
    assert math.exp(one.against_at_most(0.0)) == pytest.approx((1 + 0.99) * (1 - 0.99 / 2))
    assert math.exp(one.against_at_most(-0.2)) == pytest.approx(
        math.prod(1 + 0.99 / 0.8 * gain for gain in (1.2, 0.2, -0.3))
    )


def test_passages_of_different_size_count_by_their_documents():
    # One passage of three documents that all gain, one of one that loses: the mean is (3 - 1) / 4, not (1 - 1) / 2.
    table = {(3.0, 3.0): 0.25, (-1.0, 1.0): 0.75}
    ways = product(table.items(), repeat=4)
    mean = sum(
        math.prod(p for _, p in way)
        * math.exp(bounded([d for (d, _), _ in way], [n for (_, n), _ in way], largest=3).against_at_most(0.0))
        for way in ways
    )
    assert mean == pytest.approx(1)


def test_without_replacement_the_rest_of_the_benchmark_counts():
    population = [1, 1, -1, 0, -1, 0]
    orders = list(permutations(population))
    capital = [math.exp(bounded(order[:4], population=6).against_at_most(0.0)) for order in orders]
    assert np.mean(capital) == pytest.approx(1)
    half = bounded([-1] * 60 + [0] * 60, population=130)
    assert interval(half)[1] < (-60 + 10) / 130 + 0.02  # the ten that are left can do no more
    assert interval(bounded([-1] * 60 + [0] * 60))[1] > -0.39
    assert bounded([-1] * 9, population=10).against_at_least(-0.79) == math.inf


def test_a_change_outside_the_range_is_refuted_at_once_or_never():
    some = bounded([0.5, 0.5])
    assert some.against_at_most(1.0) == 0.0 and some.against_at_most(-1.1) == math.inf
    assert some.against_at_least(1.1) == math.inf and some.against_at_least(-1.0) == 0.0


def test_identical_answers_show_little():
    # With none of n documents changed, a share of about 3 / n may still change.
    low, high = interval(bounded([0.0] * 30))
    assert low == pytest.approx(-high) and 0.1 < high < 0.2
    low, high = interval(bounded([0.0] * 1000, longest=1000))
    assert 0.003 < high < 0.006


@pytest.mark.parametrize("shift", [0.0, -0.1])
def test_bounded_intervals_cover_at_every_look_together(shift):
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(300):
        drawn = rng.choice([-1.0, 0.0, 0.5, 1.0], size=400, p=[0.15 - shift, 0.65 + shift, 0.1, 0.1])
        looks = [bounded(drawn[:n]) for n in (20, 30, 45, 68, 100, 150, 225, 340, 400)]
        needed = math.log(1 / 0.025)
        missed += any(max(e.against_at_most(shift), e.against_at_least(shift)) >= needed for e in looks)
    assert missed <= 300 * 0.05


def test_bounds_are_where_the_evidence_is_just_enough():
    one = bounded([1.0] * 30 + [-1.0] * 10 + [0.0] * 100)
    low, high = interval(one)
    assert one.against_at_most(low) == pytest.approx(math.log(40), abs=1e-6)
    assert one.against_at_least(high) == pytest.approx(math.log(40), abs=1e-6)
    assert low < 20 / 140 < high and low > 0


@pytest.mark.parametrize(("size", "freedom"), [(12.0, 11.0), (200.0, 60.0)])
def test_the_likelihood_ratio_is_one_on_average(size, freedom):
    def ratio(t):
        one = StudentMixture(change=t, error=1.0, size=size, freedom=freedom, longest=300)
        return math.exp(one.against_at_most(0.0)) * student.pdf(t, freedom)

    assert quad(ratio, -np.inf, np.inf, limit=200)[0] == pytest.approx(1, abs=1e-3)


def test_the_mixture_does_not_depend_on_the_unit_of_the_metric():
    small = StudentMixture(change=0.2, error=0.1, size=50, freedom=40, longest=100)
    large = StudentMixture(change=20.0, error=10.0, size=50, freedom=40, longest=100)
    assert small.against_at_most(-0.1) == pytest.approx(large.against_at_most(-10.0))
    assert small.against_at_most(-0.1) > 0 > small.against_at_least(-0.1)
    low, high = interval(small)
    assert low + high == pytest.approx(0.4) and high - 0.2 > 2.02 * 0.1  # wider than the t interval of one look


def test_skewed_changes_are_covered_at_every_look_together():
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(300):
        drawn = rng.gamma(2.0, size=400) - 2.0
        sample = [drawn[:n] for n in (20, 30, 45, 68, 100, 150, 225, 340, 400)]
        looks = [
            StudentMixture(
                change=x.mean(), error=x.std(ddof=1) / len(x) ** 0.5, size=len(x), freedom=len(x) - 1, longest=400
            )
            for x in sample
        ]
        missed += any(max(e.against_at_most(0), e.against_at_least(0)) >= math.log(1 / 0.025) for e in looks)
    assert missed <= 300 * 0.05
