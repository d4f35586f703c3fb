"""The formulas, on numbers that were worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evalkit.audits import signal
from evalkit.stats.intervals import binomial


def test_signal_is_the_range_over_the_mean():
    assert signal.signal([10.0, 30.0, 20.0]) == pytest.approx(20 / 20)
    assert signal.signal([-1.0, -3.0]) == pytest.approx(1.0)  # of log-likelihoods too
    assert math.isnan(signal.signal([5.0]))
    assert math.isnan(signal.signal([1.0, -1.0]))


def test_noise_is_the_spread_of_the_last_checkpoints_over_their_mean():
    scores = [1.0, 5.0, 9.0, 10.0, 11.0, 10.0, 10.0]
    assert signal.noise(scores, last=5) == pytest.approx(math.sqrt(2 / 5) / 10)
    assert signal.noise(scores, last=3) == pytest.approx(math.sqrt(2 / 9) / (31 / 3))
    assert signal.noise(scores[:3], last=5) == pytest.approx(np.std([1, 5, 9]) / 5)
    assert math.isnan(signal.noise(scores[:2], last=5))


def test_their_ratio_is_that_of_the_authors_code():
    models, checkpoints = np.array([41.0, 52.5, 47.25]), np.array([51.0, 52.0, 52.5, 51.75, 52.5])
    dispersion = np.max([np.abs(a - b) for a in models for b in models])  # as in snr/metrics.py
    theirs = (dispersion / np.mean(models)) / (np.std(checkpoints) / np.mean(checkpoints))
    ours = signal.signal(models.tolist()) / signal.noise(checkpoints.tolist(), last=5)
    assert ours == pytest.approx(theirs)


def test_the_noise_of_seeds_is_of_a_sample():
    assert signal.seed_noise([9.0, 11.0]) == pytest.approx(math.sqrt(2) / 10)
    assert math.isnan(signal.seed_noise([9.0]))


def test_decision_accuracy_counts_pairs_that_rank_alike():
    found = signal.decision_accuracy({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 10.0, "b": 30.0, "c": 20.0, "d": 1.0})
    assert found.share == pytest.approx(2 / 3)
    assert found.pairs == 3
    assert (found.low, found.high) == pytest.approx(binomial(2 / 3, size=2))
    tied = signal.decision_accuracy({"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 1.0})
    assert tied.share == 0.5
    assert signal.decision_accuracy({"a": 1.0}, {"a": 2.0}) == signal.NO_AGREEMENT


def test_seeds_agree_where_single_trainings_rank_as_the_others_do():
    apart = signal.seed_agreement([[1.0, 2.0], [5.0, 6.0, 7.0]])
    assert (apart.share, apart.pairs, apart.comparisons) == (1.0, 6, 2.0)
    # Seeds 1 and 9 of a size: one of them is above 5 and the other below, whichever is left out.
    mixed = signal.seed_agreement([[5.0, 5.1], [1.0, 9.0]])
    assert mixed.share == 0.0
    assert signal.seed_agreement([[1.0], [2.0, 3.0]]) == signal.NO_AGREEMENT


def test_averaging_checkpoints_ranks_more_steadily():
    small, large = [10.0] * 6, [9.0, 12.0, 12.0, 9.5, 12.0, 12.0]
    one, half = signal.checkpoint_agreement([small, large], last=6)
    assert one.share == pytest.approx(4 / 6)  # the first and the fourth rank the other way
    assert half.share == 1.0
    assert signal.checkpoint_agreement([small[:3], large[:3]], last=6) == (signal.NO_AGREEMENT, signal.NO_AGREEMENT)


def test_agreements_are_pooled_by_their_pairs():
    of_three = signal.decision_accuracy({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 1.0, "b": 3.0, "c": 2.0})
    of_two = signal.decision_accuracy({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0})
    both = signal.pooled([of_three, of_two, signal.NO_AGREEMENT])
    assert both.share == pytest.approx(3 / 4)
    assert (both.pairs, both.comparisons) == (4, 2.0)
    assert signal.pooled([]) == signal.NO_AGREEMENT
