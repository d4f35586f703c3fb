"""One metric of two systems: which test is taken, and that it gives the numbers of other implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, permutation_test, ttest_1samp

from evalkit import metrics
from evalkit.stats import paired
from evalkit.stats.mcnemar import mcnemar
from evalkit.stats.paired import change, copies_needed, equivalence, gather, jackknife_interval, p_value


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
    assert (found.method, found.p, found.differing) == ("McNemar", pytest.approx(mcnemar(3, 18)), 21)
    assert found.size == pytest.approx(-0.5) and found.low < -0.5 < found.high < 0


@pytest.mark.parametrize("n", [12, 15, 60])
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


@pytest.mark.parametrize("metric", ["acc", "f1"])
def test_documents_that_are_alike_prove_no_equality(metric):
    """Of twenty alike, the interval reaches to what twenty cannot exclude, and no small margin is shown to be kept."""
    about, alike = metrics.get(metric), units([0.0] * 20, [0.0] * 20)
    found = change(about, alike)
    assert (found.method, found.p, found.differing) == ("no difference", 1.0, 0)
    assert -found.low == pytest.approx(found.high) and 0.15 < found.high < 0.18
    assert equivalence(about, alike, 0.05) > 0.3 and equivalence(about, alike, 0.2) < 0.02


def test_texts_that_are_alike_say_nothing_of_a_perplexity():
    found = change(metrics.get("ppl"), units([-1.0] * 20, [-1.0] * 20))
    assert (
        found.p == 1.0
        and math.isnan(found.low)
        and equivalence(metrics.get("ppl"), units([-1.0] * 20, [-1.0] * 20), 5) == 1.0
    )


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
    base, new = counts(12, 1), counts(12, 2)
    p, method = p_value(metrics.get("bleu"), units(base, new))
    assert method == "exact randomisation" and (p * 4096) == pytest.approx(round(p * 4096))


def test_passages_are_exchanged_as_a_whole():
    """Ten copies of twelve documents say no more than the twelve."""
    base, new = np.array([1, 1, 1, 0, 1.0, 1] * 2), np.array([0, 0, 1, 0, 0.0, 1] * 2)
    copies = np.repeat(base, 10), np.repeat(new, 10)
    apart = change(metrics.get("acc"), units(*copies))
    together = change(metrics.get("acc"), units(*copies, np.repeat(range(12), 10)))
    assert apart.p < 1e-9 and together.p == 2 / 2**6 and together.method == "exact permutation"
    assert together.size == apart.size == -0.5 and together.differing == 6
    assert together.high - together.low > 2 * (apart.high - apart.low)


def passages(m, seed, *, change, within=0.3):
    """Ten questions on each of m passages that change the answers by themselves: (base, new, clusters)."""
    rng = np.random.default_rng(seed)
    lost = rng.beta(0.2 / within, 0.8 / within, size=m).repeat(10)
    gained = rng.beta(0.2 / within, 0.8 / within, size=m).repeat(10)
    outcome = rng.random(10 * m)
    new = np.where(outcome < lost, 0.0, np.where(outcome > 1 - np.maximum(0.0, gained + change), 1.0, 0.5))
    return np.full(10 * m, 0.5), new, np.arange(m).repeat(10)


def test_students_t_over_few_passages_is_the_textbooks():
    base, new, clusters = passages(5, 0, change=0.3, within=0.9)
    gains = (new - base).reshape(5, 10)
    p, method = p_value(metrics.get("f1"), units(base, new, clusters))
    assert method == "Student" and p == pytest.approx(ttest_1samp(gains.sum(axis=1), 0.0).pvalue)
    found = change(metrics.get("f1"), units(base, new, clusters))
    theirs = ttest_1samp(gains.mean(axis=1), 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_passages_that_are_alike_by_chance_have_the_spread_of_their_documents():
    """Three of ten questions lost on each of three passages: t over passages alone would be infinite."""
    base, new = np.ones(30), np.tile([0.0] * 3 + [1.0] * 7, 3)
    found = change(metrics.get("acc"), units(base, new, np.repeat(range(3), 10)))
    assert found.method == "Student" and found.p == 2**-9 > ttest_1samp(new - base, 0.0).pvalue
    assert found.low < -0.49 and found.high > -0.16


def test_three_documents_that_lose_alike_are_no_proof():
    """Their variance is zero; a fair coin each falls alike in one of four samples, half of which the mid-p counts."""
    assert p_value(metrics.get("f1"), units([1.0] * 3, [0.5] * 3)) == (0.125, "Student, documents")
    assert p_value(metrics.get("f1"), units([1.0] * 9, [0.5] * 9))[0] == 2**-9


@pytest.mark.parametrize("m", [3, 5, 8])
def test_the_size_and_cover_of_few_passages(m):
    rejected = inside = 0
    for seed in range(400):
        found = change(metrics.get("f1"), units(*passages(m, seed, change=0.0)))
        rejected += found.p <= 0.05
        inside += found.low <= 0 <= found.high
    assert rejected <= 0.05 * 400 + 2 * np.sqrt(0.05 * 0.95 * 400) and inside >= 0.93 * 400


def test_one_or_two_passages_have_no_test():
    base, new, clusters = passages(2, 0, change=0.5)
    few = change(metrics.get("f1"), units(base, new, clusters))
    assert few.method == "too few" and math.isnan(few.p) and math.isnan(few.low)
    assert equivalence(metrics.get("f1"), units(base, new, clusters), 0.9) == 1.0


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


def test_not_finite():
    broken = change(metrics.get("ppl"), units([-1.0, -2.0, -1.0], [-1.0, -math.inf, -1.0]))
    assert change(metrics.get("ppl"), units([-math.inf] * 3, [-math.inf] * 3)).method == "no difference"
    assert broken.method == "not finite" and math.isnan(broken.p) and broken.new == math.inf


@pytest.mark.parametrize("n", [5, 15])
def test_few_documents_are_covered(n):
    """With 15 documents a plain percentile bootstrap holds the truth in about 91% of all cases."""
    rng, metric = np.random.default_rng(0), metrics.get("f1")
    found = (jackknife_interval(metric, units(np.zeros(n), rng.normal(0.1, 0.1, size=n))) for _ in range(600))
    assert 0.93 <= sum(low <= 0.1 <= high for low, high in found) / 600 <= 0.975


@pytest.mark.parametrize("tasks", [1, 20])
@pytest.mark.parametrize("n", [10, 100, 400])
def test_systems_at_the_margin_are_hardly_ever_called_the_same(n, tasks):
    """Of right or wrong documents, 5% of which are lost: the sum over all numbers of losses, for 1 and for 20 tasks."""
    losses = np.arange(n + 1)
    called = [
        equivalence(metrics.get("acc"), units(np.ones(n), (np.arange(n) >= lost).astype(float)), 0.05) <= 0.025 / tasks
        for lost in losses.tolist()
    ]
    assert binom.pmf(losses, n, 0.05) @ called <= 0.025 / tasks


@pytest.mark.parametrize("n", [10, 30])
def test_a_rare_loss_is_not_called_equivalent(n):
    """3% of documents lose everything, on average 1.2 points; the margin is just below that."""
    rng, metric, same = np.random.default_rng(0), metrics.get("f1"), 0
    for _ in range(300):
        base = rng.beta(0.4, 0.6, size=n)
        same += equivalence(metric, units(base, np.where(rng.random(n) < 0.03, 0.0, base)), 0.0119) <= 0.025
    assert same <= 0.025 * 300


def test_a_kept_margin_is_shown_by_enough_documents():
    rng, metric = np.random.default_rng(0), metrics.get("f1")
    base = rng.random(1000)
    new = (base + rng.normal(0, 0.1, size=1000)).clip(0, 1)
    assert equivalence(metric, units(base, new), 0.03) < 0.001 < equivalence(metric, units(base, new), 0.005)
    words = rng.integers(5, 50, size=200).astype(float)
    base = np.column_stack([-3 * words + rng.normal(0, 2, size=200), words])
    new = base + np.column_stack([rng.normal(0, 0.5, size=200), np.zeros(200)])
    assert equivalence(metrics.get("ppl_word"), units(base, new), 1.0) < 0.001
    assert equivalence(metrics.get("ppl_word"), units(base, new), 0.01) > 0.025


@pytest.mark.parametrize("name", ["acc", "f1", "ppl"])
def test_copies_of_the_documents_that_show_a_margin(name):
    """As many copies as it asks for show the margin, and a tenth fewer do not."""
    rng, metric = np.random.default_rng(0), metrics.get(name)
    base = (rng.random(60) < 0.5).astype(float) if name == "acc" else rng.random(60)
    new = np.where(rng.random(60) < 0.1, 1.0 - base, base)
    found = change(metric, units(base, new))
    margin = abs(found.size) + 0.01 * abs(found.base)
    copies = copies_needed(metric, units(base, new), margin, level=0.025)
    ps = [
        equivalence(metric, units(*(np.tile(side, m) for side in (base, new))), margin)
        for m in (int(0.9 * copies), int(1.1 * copies))
    ]
    assert ps[1] < 0.025 < ps[0]
    assert copies_needed(metric, units(base, new), abs(found.size), level=0.025) == math.inf
