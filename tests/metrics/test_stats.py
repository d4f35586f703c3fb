from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import metrics
from evalkit.metrics.stats import bootstrap, interval, wilson

QUICK = settings(deadline=None, derandomize=True, max_examples=60)
ACC, F1, PPL, BITS = (metrics.get(name) for name in ("acc", "f1", "ppl", "bits_per_byte"))


@pytest.mark.parametrize(("right", "n"), [(0, 7), (7, 7), (1, 2), (193, 273), (3, 1000), (2595, 5153)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_is_scipys(right: int, n: int, level: float) -> None:
    theirs = scipy.stats.binomtest(right, n).proportion_ci(confidence_level=level, method="wilson")
    assert wilson(right / n, n=n, level=level) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    rows = np.repeat([[1.0], [0.0]], [right, n - right], axis=0)
    ours = interval(ACC, rows, [f"doc{i}" for i in range(n)], level=level)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (ours.value, ours.method) == (right / n, "wilson")


def test_too_little_to_resample() -> None:
    nothing = interval(ACC, np.empty((0, 1)))
    assert all(math.isnan(x) for x in (nothing.value, nothing.low, nothing.high))
    one = interval(F1, np.array([[0.25]]))
    assert one.value == 0.25
    assert math.isnan(one.low) and math.isnan(one.high)
    same = interval(F1, np.array([[0.25], [0.75]]), ["story", "story"])
    assert same.value == 0.5
    assert math.isnan(same.low) and same.method == "none"


def test_bootstrap_of_a_mean_is_scipys() -> None:
    rows = np.random.default_rng(1).beta(0.5, 0.7, size=(400, 1))
    ours = interval(F1, rows, resamples=4000)
    theirs = scipy.stats.bootstrap(
        (rows[:, 0],), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.method == "bootstrap"
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_bootstrap_resamples_whole_clusters() -> None:
    """Clusters of five copies of a document must give the documents' interval, not a narrower one."""
    scores = np.random.default_rng(3).random((60, 1))
    alone = interval(F1, scores)
    names = [f"story{i // 5}" for i in range(300)]
    copies = interval(F1, np.repeat(scores, 5, axis=0), names)
    blind = interval(F1, np.repeat(scores, 5, axis=0))
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high))
    assert copies.method == "cluster-bootstrap"
    assert (blind.high - blind.low) < 0.6 * (copies.high - copies.low)


def test_clusters_of_unlike_size_weigh_by_their_documents() -> None:
    rows = np.array([[1.0]] * 9 + [[0.0]])
    found = interval(F1, rows, ["big"] * 9 + ["small"])
    assert (found.value, found.low, found.high) == (0.9, 0.0, 1.0)


def test_unnamed_clusters_are_independent() -> None:
    rows = np.repeat([[1.0], [0.0]], [30, 20], axis=0)
    assert interval(ACC, rows, [""] * 50) == interval(ACC, rows)
    mixed = interval(ACC, rows, ["a", "a", *[""] * 48])
    assert mixed.method == "cluster-bootstrap"


def test_all_right_in_clusters_is_not_certainty() -> None:
    found = interval(ACC, np.ones((40, 1)), [f"story{i // 4}" for i in range(40)])
    assert (found.low, found.high) == wilson(1.0, n=10)
    assert found.low < 0.75


def _coverage(*, level: float, clustered: bool) -> float:
    """Share of simulated data sets (40 stories of 6, sharing a story effect) whose interval holds 0.5."""
    rng = np.random.default_rng(11)
    names = [f"story{i // 6}" for i in range(240)]
    hits = 0
    for _ in range(300):
        scores = 0.5 + 0.2 * np.repeat(rng.standard_normal(40), 6) + 0.2 * rng.standard_normal(240)
        found = interval(F1, scores[:, None], names if clustered else None, level=level, resamples=300)
        hits += found.low <= 0.5 <= found.high
    return hits / 300


def test_coverage() -> None:
    assert 0.91 <= _coverage(level=0.95, clustered=True) <= 0.98
    assert 0.75 <= _coverage(level=0.80, clustered=True) <= 0.85
    # What the clusters are for: ignoring them claims too much.
    assert _coverage(level=0.95, clustered=False) < 0.85


def test_seed_decides() -> None:
    rows = np.random.default_rng(0).random((50, 1))
    assert interval(F1, rows, seed=1) == interval(F1, rows, seed=1)
    assert interval(F1, rows, seed=1) != interval(F1, rows, seed=2)


def test_chunks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).integers(0, 9, size=(100, 1)).astype(float)
    whole = bootstrap(F1, rows, resamples=200)
    monkeypatch.setattr("evalkit.metrics.stats._CELLS", 700)
    assert bootstrap(F1, rows, resamples=200) == pytest.approx(whole, abs=0.0)


def test_bootstrap_is_paired_by_seed() -> None:
    base = np.random.default_rng(0).random((80, 1))
    difference = bootstrap(F1, base + 0.1) - bootstrap(F1, base)
    assert difference == pytest.approx(0.1)


def test_infinities() -> None:
    rows = np.linspace(-1.0, -1e4, 40)[:, None]
    huge = interval(PPL, rows)
    assert huge.value == huge.high == math.inf
    assert not math.isnan(huge.low)
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
    names = data.draw(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=n, max_size=n))
    order = data.draw(st.permutations(range(n)))
    for metric, table in ((BITS, rows), (F1, rows[:, 1:] / 40.0), (ACC, (rows[:, 1:] > 20).astype(float))):
        found = interval(metric, table, names, resamples=100)
        shuffled = interval(metric, table[order], [names[i] for i in order], resamples=100)
        if found.method == "none":  # all in one cluster
            assert len(set(names)) == 1 and math.isnan(found.low)
            continue
        assert found.low <= found.value <= found.high
        assert found.value == pytest.approx(float(metric.aggregate(table.sum(axis=0), np.array(n))), rel=1e-9)
        assert shuffled == found


def test_level_widens() -> None:
    rows = np.random.default_rng(4).random((100, 1))
    found = [interval(F1, rows, level=level) for level in (0.5, 0.8, 0.95, 0.99)]
    assert all(wide.low < narrow.low and wide.high > narrow.high for narrow, wide in pairwise(found))


def test_a_skewed_bootstrap_is_widened_to_hold_the_value() -> None:
    rows = np.sort(np.exp(2.0 * np.random.default_rng(6).standard_normal((20, 1))), axis=0)
    upper = float(np.sort(bootstrap(F1, rows))[-1 - 490])
    found = interval(F1, rows, level=0.02)
    assert upper < found.value == found.high


def test_a_score_of_nought_is_not_certain():
    """Forty documents without a single shared word do not prove that there never is one."""
    found = interval(metrics.get("f1"), np.zeros((40, 1)))
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(interval(metrics.get("acc"), np.zeros((40, 1))).high)
    assert found.high > 0.05
