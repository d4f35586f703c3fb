"""One metric of two systems: which test is taken, and that it gives the numbers of other implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import permutation_test

from evalkit import metrics
from evalkit.stats import paired
from evalkit.stats.paired import change, gather, jackknife_interval, p_value


def units(base, new, clusters=None, shared=None):
    base, new = (np.asarray(side, dtype=float) for side in (base, new))
    if base.ndim == 1:
        base, new = base[:, None], new[:, None]
    if base.ndim == 2:
        base, new = base[:, None], new[:, None]
    shared = np.ones(base.shape[:2], dtype=bool) if shared is None else shared
    return gather(base, new, shared, np.arange(len(base)) if clusters is None else np.asarray(clusters))


def counts(n, seed):
    rng = np.random.default_rng(seed)
    words = rng.integers(8, 30, size=n)
    totals = np.stack([words - order for order in range(4)], axis=1)
    return np.column_stack([words, words + 1, rng.binomial(totals, [0.6, 0.4, 0.3, 0.2]), totals]).astype(float)


def test_right_or_wrong_goes_to_mcnemar():
    base, new = np.array([1, 1, 1, 1, 1, 1, 0, 1, 0, 0] * 3), np.array([0, 0, 0, 0, 0, 0, 1, 1, 0, 0] * 3)
    found = change(metrics.get("acc"), units(base, new))
    assert (found.method, found.p) == ("McNemar", pytest.approx(0.00149, abs=1e-5))
    assert found.size == pytest.approx(-0.5) and found.low < -0.5 < found.high < 0


@pytest.mark.parametrize("n", [6, 12, 60])
def test_scores_go_to_sign_flips_as_in_scipy(n):
    rng = np.random.default_rng(n)
    base, new = rng.random(n), rng.random(n)
    p, method = p_value(metrics.get("f1"), units(base, new))
    theirs = permutation_test(
        (new, base), lambda a, b, axis: (a - b).mean(axis=axis), permutation_type="samples", n_resamples=9999, rng=0
    )
    assert method == ("exact permutation" if n <= 16 else "permutation")
    assert p == pytest.approx(theirs.pvalue, abs=1e-9 if n <= 12 else 0.02)


def test_a_monte_carlo_p_is_never_zero():
    p, _ = p_value(metrics.get("f1"), units(np.zeros(100), np.ones(100)), resamples=500)
    assert p == 1 / 501


def test_perplexity_per_word_is_tested_on_log_likelihood_alone():
    rng = np.random.default_rng(0)
    words = rng.integers(5, 50, size=80).astype(float)
    base = np.column_stack([-3 * words + rng.normal(0, 2, size=80), words])
    new = base + np.column_stack([rng.normal(-0.4, 1, size=80), np.zeros(80)])
    metric = metrics.get("ppl_word")
    found = change(metric, units(base, new))
    assert found.method == "permutation"
    assert found.p == p_value(metrics.get("ppl"), units(base[:, :1], new[:, :1]))[0]
    assert found.low < found.size < found.high and found.size > 0


def test_four_documents_that_are_alike_prove_no_equality():
    few = change(metrics.get("f1"), units([0.5] * 4, [0.5] * 4))
    assert few.method == "identical" and math.isnan(few.low)


def test_bleu_goes_to_randomisation_and_agrees_with_its_interval():
    base = counts(200, 1)
    worse = base.copy()
    worse[:, 2:6] = np.floor(worse[:, 2:6] * 0.8)
    found = change(metrics.get("bleu"), units(base, worse), resamples=2000)
    assert found.method == "randomisation" and found.p < 0.001 and found.high < 0
    same = change(metrics.get("bleu"), units(base, counts(200, 2)), resamples=2000)
    assert (same.p > 0.05) == (same.low < 0 < same.high)


@pytest.fixture
def drawn(monkeypatch):
    """Resamples come in parts of 500; the sizes of those that were drawn."""
    sizes, signed_sums = [], paired.signed_sums

    def counted(rows, *, resamples, seed):
        sizes.append(resamples)
        return signed_sums(rows, resamples=resamples, seed=seed)

    monkeypatch.setattr(paired, "_AT_ONCE", 500)
    monkeypatch.setattr(paired, "signed_sums", counted)
    return sizes


def test_very_many_resamples_end_when_p_is_seen_to_be_large(drawn):
    bleu = units(counts(40, 1), counts(40, 2))
    p, _ = p_value(metrics.get("bleu"), bleu, resamples=4_200)
    assert max(drawn) == 500 and sum(drawn) < 4_200
    assert p == pytest.approx(p_value(metrics.get("bleu"), bleu, resamples=500)[0], abs=0.1)


def test_very_many_resamples_are_all_drawn_for_a_small_p(drawn):
    scores = np.random.default_rng(3).random(40)
    p, _ = p_value(metrics.get("f1"), units(scores, scores + 1), resamples=4_200)
    assert drawn == [500] * 8 + [200] and p == pytest.approx(1 / 4_201)


def test_few_sentences_are_enumerated_for_bleu_too():
    base, new = counts(6, 1), counts(6, 2)
    p, method = p_value(metrics.get("bleu"), units(base, new))
    assert method == "exact randomisation" and (p * 64) == pytest.approx(round(p * 64))


def test_passages_are_exchanged_as_a_whole():
    """Twenty copies of six documents say no more than the six."""
    base, new = np.array([1, 1, 1, 0, 1.0, 1]), np.array([0, 0, 1, 0, 0.0, 1])
    apart = change(metrics.get("acc"), units(np.repeat(base, 20), np.repeat(new, 20)))
    together = change(metrics.get("acc"), units(np.repeat(base, 20), np.repeat(new, 20), np.repeat(range(6), 20)))
    assert apart.p < 1e-9 and together.p == 0.25 and together.method == "exact permutation"
    assert together.size == apart.size == -0.5
    assert together.high - together.low > apart.high - apart.low


def test_seeds_of_a_document_are_one_observation():
    rng = np.random.default_rng(0)
    base, new = (rng.random((30, 1, 1)) < 0.5).astype(float), (rng.random((30, 1, 1)) < 0.7).astype(float)
    one = change(metrics.get("f1"), units(base, new))
    thrice = change(metrics.get("f1"), units(np.repeat(base, 3, axis=1), np.repeat(new, 3, axis=1)))
    assert (one.p, one.size) == pytest.approx((thrice.p, thrice.size))
    assert (one.low, one.high) == pytest.approx((thrice.low, thrice.high))
    assert change(metrics.get("acc"), units(np.repeat(base, 3, axis=1), np.repeat(new, 3, axis=1))).method != "McNemar"


def test_only_shared_scores_count():
    base, new = np.array([[[1.0], [9.0]], [[0.5], [0.5]]]), np.array([[[0.0], [7.0]], [[1.0], [1.0]]])
    shared = np.array([[True, False], [False, False]])
    found = units(base, new, shared=shared)
    assert found.base.tolist() == [[1.0, 1.0]] and found.new.tolist() == [[0.0, 1.0]]


def test_identical_and_not_finite():
    assert change(metrics.get("f1"), units([0.5, 1], [0.5, 1])).method == "identical"
    broken = change(metrics.get("ppl"), units([-1.0, -2.0], [-1.0, -math.inf]))
    assert broken.method == "not finite" and math.isnan(broken.p) and broken.new == math.inf


@pytest.mark.parametrize("n", [5, 15])
def test_few_documents_are_covered(n):
    """With 15 documents a plain percentile bootstrap holds the truth in about 91% of all cases."""
    rng, metric = np.random.default_rng(0), metrics.get("f1")
    found = (jackknife_interval(metric, units(np.zeros(n), rng.normal(0.1, 0.1, size=n))) for _ in range(600))
    assert 0.93 <= sum(low <= 0.1 <= high for low, high in found) / 600 <= 0.975


@pytest.mark.parametrize("metric", ["acc", "f1"])
def test_four_units_have_no_interval(metric):
    few = change(metrics.get(metric), units([1, 1, 0, 0.0], [0, 0, 1, 0.0]))
    assert math.isnan(few.low) and math.isnan(few.high) and few.p > 0.5
    assert change(metrics.get(metric), units([1, 1, 0, 0, 1.0], [0, 0, 1, 0, 1.0])).low < 0
