from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import metrics
from evalkit.metrics.values import make
from evalkit.stats import intervals as stats
from evalkit.stats.intervals import binomial, interval
from evalkit.types import Example, Response

QUICK = settings(deadline=None, derandomize=True, max_examples=60)
ACC, F1, PPL, BITS, BLEU, PEARSON = map(metrics.get, ("acc", "f1", "ppl", "bits_per_byte", "bleu", "pearson"))


@pytest.mark.parametrize(("right", "n"), [(0, 7), (7, 7), (1, 5), (193, 273), (3, 1000), (2595, 5153)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_right_and_wrong_have_the_mid_p_interval(right: int, n: int, level: float) -> None:
    """At each bound, what was found or worse has the chance of one tail, half of the found itself counted."""
    rows = np.repeat([[1.0], [0.0]], [right, n - right], axis=0)
    ours = interval(ACC, rows, [f"doc{i}" for i in range(n)], level=level)
    assert (ours.value, ours.method, ours.units) == (right / n, "mid-p", n)
    tail = (1 - level) / 2
    if right:
        law = scipy.stats.binom(n, ours.low)
        assert law.sf(right) + law.pmf(right) / 2 == pytest.approx(tail, abs=1e-6)
    if right < n:
        law = scipy.stats.binom(n, ours.high)
        assert law.cdf(right - 1) + law.pmf(right) / 2 == pytest.approx(tail, abs=1e-6)
    exact = scipy.stats.binomtest(right, n).proportion_ci(confidence_level=level, method="exact")
    assert exact.low <= ours.low <= right / n <= ours.high <= exact.high


@pytest.mark.parametrize("n", [5, 8, 20, 60])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02, 0.98])
def test_right_and_wrong_are_covered(n: int, share: float) -> None:
    """Over all that can be drawn, by its chance: 93.0% at four of eight, where counts are coarse.

    Wilson's interval covers 0.02 of eight in 85%.
    """
    chances = scipy.stats.binom(n, share).pmf(range(n + 1))
    bounds = [binomial(right / n, size=n) for right in range(n + 1)]
    assert sum(c for c, (low, high) in zip(chances, bounds, strict=True) if low <= share <= high) > 0.925


def test_too_few_units_have_no_interval() -> None:
    nothing = interval(ACC, np.empty((0, 1)))
    assert all(math.isnan(x) for x in (nothing.value, nothing.low, nothing.high)) and nothing.units == 0
    one = interval(F1, np.array([[0.25]]))
    assert (one.value, one.method, one.units) == (0.25, "none", 1)
    assert math.isnan(one.low) and math.isnan(one.high)
    story = interval(ACC, np.ones((40, 1)), ["story"] * 40)
    assert (story.method, story.units) == ("none", 1)


def test_two_points_have_no_interval_of_their_correlation() -> None:
    rows = np.array([[1.0, 2.0, 1.0, 4.0, 2.0], [2.0, 3.0, 4.0, 9.0, 6.0], [4.0, 3.0, 16.0, 9.0, 12.0]])
    assert interval(PEARSON, rows[:2]).method == "none"
    three = interval(PEARSON, rows)
    assert three.method == "jackknife" and -1 < three.low < 0 < three.value < three.high < 1


def test_two_units_say_little() -> None:
    """Student's t with one degree of freedom, 12.7 errors to either side."""
    two = interval(ACC, np.repeat([[1.0], [0.0], [1.0], [0.0]], [12, 8, 8, 12], axis=0), ["a"] * 20 + ["b"] * 20)
    assert (two.value, two.units) == (0.5, 2)
    reach = scipy.stats.t.ppf(0.975, 1) * 0.1 / 0.25  # on the logit scale; the standard error of 0.4 and 0.6 is 0.1
    assert (two.low, two.high) == pytest.approx((scipy.special.expit(-reach), scipy.special.expit(reach)))


def test_why_there_is_no_interval() -> None:
    assert stats.too_few(1, 60) == "1 passage: too few for an interval"
    assert stats.too_few(1, 1) == "1 document: too few for an interval"
    assert stats.too_few(2, 60) == stats.too_few(0, 60) == ""


def test_the_standard_error_of_a_mean_is_the_textbooks() -> None:
    rows = np.random.default_rng(1).beta(0.5, 0.7, size=(400, 1))
    found = stats.standard_error(F1, rows, [str(i) for i in range(400)])
    assert found == pytest.approx(rows.std(ddof=1) / 20)
    ours = interval(F1, rows)
    assert ours.method == "jackknife"
    # At 400 documents the scale and the degrees of freedom hardly matter.
    assert (ours.low, ours.high) == pytest.approx((rows.mean() - 1.966 * found, rows.mean() + 1.966 * found), abs=0.001)


def test_an_interval_agrees_with_a_bootstrap() -> None:
    """Of a ratio: bits per byte of 400 documents of unlike length."""
    rng = np.random.default_rng(4)
    size = np.round(np.exp(rng.normal(4, 0.7, 400)))
    rows = np.column_stack([-size * rng.gamma(9, 0.3, 400), size])
    ours = interval(BITS, rows)
    drawn = rows[rng.integers(400, size=(4000, 400))].sum(axis=1)
    low, high = np.quantile(BITS.aggregate(drawn, np.full(4000, 400.0)), (0.025, 0.975))
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=0.012)


def test_whole_clusters_are_left_out() -> None:
    """Clusters of five copies of a document must give the documents' interval, not a narrower one."""
    scores = np.random.default_rng(3).random((60, 1))
    alone = interval(F1, scores)
    names = [f"story{i // 5}" for i in range(300)]
    copies = interval(F1, np.repeat(scores, 5, axis=0), names)
    blind = interval(F1, np.repeat(scores, 5, axis=0))
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high))
    assert (copies.method, copies.units) == ("jackknife", 60)
    assert (blind.high - blind.low) < 0.6 * (copies.high - copies.low)


def test_unlike_clusters_are_worth_fewer() -> None:
    """One passage of 60 questions beside five of one is hardly more than one observation."""
    rng = np.random.default_rng(5)
    rows = rng.random((65, 1))
    unlike = interval(F1, rows, ["big"] * 60 + [f"small{i}" for i in range(5)])
    even = interval(F1, rows, [f"story{i % 6}" for i in range(65)])
    assert unlike.value == even.value and unlike.high - unlike.low > 3 * (even.high - even.low)


def test_unnamed_clusters_are_independent() -> None:
    rows = np.repeat([[1.0], [0.0]], [30, 20], axis=0)
    assert interval(ACC, rows, [""] * 50) == interval(ACC, rows)
    mixed = interval(ACC, rows, ["a", "a", *[""] * 48])
    assert (mixed.method, mixed.units) == ("jackknife", 49)


def test_all_right_in_clusters_is_not_certainty() -> None:
    found = interval(ACC, np.ones((40, 1)), [f"story{i // 4}" for i in range(40)])
    assert (found.low, found.high) == binomial(1.0, size=10)
    assert found.low < 0.75


def test_values_without_spread_prove_nothing() -> None:
    """Ten answers of F1 0.5 each are no proof that every answer has 0.5."""
    found = interval(F1, np.full((10, 1), 0.5))
    assert found.low < 0.3 and found.high > 0.7
    assert interval(make("mean", aggregation="mean"), np.ones((10, 1))).method == "none"


def _scores(kind: str, rng: np.random.Generator, m: int) -> tuple[np.ndarray, list[str] | None]:
    """Draw m units: stories of unlike numbers of questions, or documents of skewed length."""
    if kind == "length":
        size = np.maximum(3, np.round(np.exp(rng.normal(5, 1, m))))
        return np.column_stack([-size * (3.3 + rng.gamma(2, 0.2, m) - 0.1 * np.log(size / 150)), size]), None
    questions = np.maximum(1, np.round(np.exp(rng.normal(2, 0.8, m)))).astype(int)
    story = np.repeat(np.arange(m), questions)
    right = rng.random(len(story)) < np.clip(0.5 + 0.25 * rng.standard_normal(m), 0, 1)[story]
    return right[:, None].astype(float), [f"story{i}" for i in story]


@pytest.mark.parametrize("units", [2, 3, 5, 10, 40])
@pytest.mark.parametrize(("kind", "metric"), [("stories", ACC), ("length", metrics.get("ppl_word"))])
def test_coverage(kind: str, metric: metrics.Metric, units: int) -> None:
    """tests/benchmarks/measure_coverage.py has the whole table; 400 samples have a standard error of 1.1 points."""
    many, _ = _scores(kind, np.random.default_rng(0), 200_000)
    true = 0.5 if kind == "stories" else float(metric.aggregate(many.sum(axis=0), np.asarray(len(many))))
    found = [interval(metric, *_scores(kind, np.random.default_rng(seed), units)) for seed in range(400)]
    assert 0.92 <= sum(one.low <= true <= one.high for one in found) / 400 <= 0.995


@pytest.mark.parametrize("units", [5, 10, 20, 60])
@pytest.mark.parametrize(
    ("name", "answers"),
    [  # how often each right class (a row) is answered as each; the rarest outcome has a share of 1 or 5%
        ("mcc", [[0.60, 0.10], [0.25, 0.05]]), ("mcc", [[0.81, 0.09], [0.09, 0.01]]),
        ("macro_f1", [[0.85, 0.05], [0.03, 0.07]]), ("label_f1", [[0.94, 0.03], [0.02, 0.01]]),
    ],
)  # fmt: skip
def test_rare_classes_are_covered(name: str, answers: list[list[float]], units: int) -> None:
    """Without the added documents, mcc covers 55% of 60 documents in the second case."""
    metric, shares = metrics.get(name), np.asarray(answers)
    rows = np.asarray([_scored(name, gold, answered) for gold in (0, 1) for answered in (0, 1)])
    true = float(metric.aggregate(shares.ravel() @ rows, np.asarray(1.0)))
    rng = np.random.default_rng(7)
    found = [interval(metric, rows[rng.choice(4, p=shares.ravel(), size=units)]) for _ in range(300)]
    assert sum(one.low <= true <= one.high for one in found) / 300 >= 0.93
    assert all(one.low <= one.value <= one.high for one in found)


def _scored(name: str, gold: int, answered: int) -> tuple[float, ...]:
    example = Example(task="", input="", output="ab"[gold], choices=("a", "b"), gold=gold)
    responses = [Response(loglikelihood=-1.0 - (option != answered), tokens=1) for option in (0, 1)]
    return metrics.get(name).statistics(example, responses)


@pytest.mark.parametrize(("name", "classes"), [("mcc", 2), ("mcc", 3), ("macro_f1", 3), ("label_f1", 2)])
def test_outcomes_are_those_that_documents_have(name: str, classes: int) -> None:
    metric, letters = metrics.get(name), "abc"[:classes]
    had = set()
    for gold, answered in product(range(classes), repeat=2):
        example = Example(task="", input="", output=letters[gold], choices=tuple(letters), gold=gold)
        responses = [Response(loglikelihood=-1.0 - (option != answered), tokens=1) for option in range(classes)]
        had.add(metric.statistics(example, responses))
    outcomes = metric.outcomes(len(next(iter(had))))
    assert len(outcomes) == classes**2 and set(map(tuple, outcomes.tolist())) == had


def test_ignoring_clusters_claims_too_much() -> None:
    draws = [_scores("stories", np.random.default_rng(seed), 40) for seed in range(200)]
    found = [interval(ACC, rows) for rows, _ in draws]
    assert sum(one.low <= 0.5 <= one.high for one in found) / 200 < 0.88


def test_infinities() -> None:
    rows = np.linspace(-1.0, -1e4, 40)[:, None]
    huge = interval(PPL, rows)
    assert huge.value == math.inf and huge.method == "none"
    rows = np.linspace(-1.0, -40.0, 40)[:, None]
    rows[7] = -math.inf
    infinite = interval(PPL, rows)
    assert infinite.value == math.inf
    assert math.isnan(infinite.low) and math.isnan(infinite.high) and infinite.method == "none"


@QUICK
@given(st.data())
def test_holds_the_value_and_ignores_order(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 25))
    row = st.tuples(st.floats(-50, 0, width=32), st.integers(1, 40).map(float))
    rows = np.array(data.draw(st.lists(row, min_size=n, max_size=n)))
    names = data.draw(st.lists(st.sampled_from(["", "a", "b", "c", "d", "e"]), min_size=n, max_size=n))
    order = data.draw(st.permutations(range(n)))
    for metric, table in ((BITS, rows), (F1, rows[:, 1:] / 40.0), (ACC, (rows[:, 1:] > 20).astype(float))):
        found = interval(metric, table, names)
        shuffled = interval(metric, table[order], [names[i] for i in order])
        if found.method == "none":
            few = len(set(filter(None, names))) + names.count("") < 2
            assert math.isnan(found.low) and (few or metric is BITS)  # equal bits have no spread
            continue
        assert found.low <= found.value <= found.high
        assert found.value == pytest.approx(float(metric.aggregate(table.sum(axis=0), np.array(n))), rel=1e-9)
        assert shuffled == found


def test_level_widens() -> None:
    rows = np.random.default_rng(4).random((100, 1))
    found = [interval(F1, rows, level=level) for level in (0.5, 0.8, 0.95, 0.99)]
    assert all(wide.low < narrow.low and wide.high > narrow.high for narrow, wide in pairwise(found))


def test_bounds_stay_within_what_can_be() -> None:
    rng = np.random.default_rng(8)
    rare = interval(F1, (rng.random((30, 1)) < 0.1) * rng.random((30, 1)))
    assert 0 < rare.low < rare.value < rare.high < 1
    words = rng.integers(8, 40, 6)
    counts = np.column_stack([words, words, *(rng.binomial(words - k, 0.8 / (k + 1)) for k in range(4)),
                              *(words - k for k in range(4))])  # fmt: skip
    few = interval(BLEU, counts)
    assert 0 < few.low < few.value < few.high < 100


def test_a_score_of_nought_is_not_certain():
    """Forty documents without a single shared word do not prove that there never is one."""
    found = interval(metrics.get("f1"), np.zeros((40, 1)))
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(interval(metrics.get("acc"), np.zeros((40, 1))).high)
    assert found.high > 0.05
