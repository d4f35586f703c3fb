"""Min-k% and AUCs against their definitions."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from evalkit.contamination import membership
from evalkit.engine.token_scores import TokenScores

LOGPROBS = np.array([-1.0, -9.0, -2.0, -0.5, -7.0, -3.0, -0.1, -4.0, -0.2, -5.0, -0.3])
SCORES = TokenScores(logprobs=LOGPROBS, means=np.full(11, -2.0), deviations=np.array([1.0, 7.0, *[2.0] * 9]))


def test_the_least_likely_tokens_are_averaged():
    values = membership.familiarity(SCORES)
    # a fifth of eleven tokens, rounded down, as the authors' programs do: two
    assert values["min_k"] == pytest.approx((-9 - 7) / 2)
    # (-9 + 2) / 7 = -1 is no longer among the lowest two: (-7 + 2) / 2 and (-5 + 2) / 2 are
    assert values["min_k_plus"] == pytest.approx((-2.5 - 1.5) / 2)
    assert values["loss"] == pytest.approx(LOGPROBS.mean())


def test_a_short_text_has_at_least_one_token_and_a_certain_one_is_no_surprise():
    short = TokenScores(logprobs=np.array([-2.0, 0.0]), means=np.array([-1.0, 0.0]), deviations=np.array([2.0, 0.0]))
    values = membership.familiarity(short)
    assert values["min_k"] == -2.0 and values["min_k_plus"] == -0.5


def test_the_auc_is_the_share_of_pairs():
    rng = np.random.default_rng(3)
    documents, unseen = rng.integers(0, 9, 40).astype(float), rng.integers(0, 7, 25).astype(float)
    pairs = documents[:, None] - unseen[None]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    auc = membership.compare(documents, unseen).auc
    assert auc.value == pytest.approx(expected) and 0 < auc.low < auc.value < auc.high < 1


@pytest.mark.parametrize(("shift", "size"), [(0.0, 30), (1.0, 30), (2.5, 12)])
def test_intervals_cover_the_true_auc(shift, size):
    rng = np.random.default_rng(11)
    true = 0.5 * (1 + math.erf(shift / 2))
    draws = [membership.compare(rng.normal(shift, 1, size), rng.normal(0, 1, size)).auc for _ in range(400)]
    assert 0.93 <= np.mean([auc.low <= true <= auc.high for auc in draws]) <= 0.995


def test_an_auc_of_one_has_an_interval_below_it():
    auc = membership.compare(np.arange(10.0, 20.0), np.arange(10.0)).auc
    assert auc.value == auc.high == 1 and 0.6 < auc.low < 0.9


def test_at_most_one_unseen_text_in_twenty_is_called_seen():
    documents = np.array([18.5, 17.0, 30.0, -1.0])
    assert membership.compare(documents, np.arange(19.0)).caught == 0.5  # above all 19
    assert math.isnan(membership.compare(documents, np.arange(18.0)).caught)
    rng = np.random.default_rng(0)
    caught = [membership.compare(rng.normal(size=50), rng.normal(size=40)).caught for _ in range(300)]
    assert np.mean(caught) <= 0.055


def texts(words, count, seed):
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=20)) for _ in range(count)]


def test_words_tell_texts_of_different_kinds_apart_and_no_others():
    common, other = "ash elm fir oak yew".split(), "ash elm fir oak gold".split()
    same = membership.words_auc(texts(common, 60, 1), texts(common, 60, 2))
    assert same.low < 0.5 < same.high
    assert membership.words_auc(texts(common, 60, 1), texts(other, 60, 2)).low > 0.9
