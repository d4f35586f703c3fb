"""Correlations and F1 of labels, against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import f1_score, matthews_corrcoef

from evalkit import metrics
from evalkit.types import Example, Response


def labelled(gold):
    return Example(task="t", input="x", output=("no", "yes")[gold], choices=("no", "yes"), gold=gold)


def chosen(choice):
    return [Response(loglikelihood=-float(i != choice), tokens=1) for i in range(2)]


def scored(name, pairs):
    metric = metrics.get(name)
    table = np.asarray([metric.statistics(example, responses) for example, responses in pairs])
    return float(metric.aggregate(table.sum(axis=0), np.asarray(len(table))))


@pytest.mark.parametrize(("name", "theirs"), [("mcc", matthews_corrcoef), ("label_f1", f1_score)])
@pytest.mark.parametrize("seed", range(3))
def test_labels_as_in_scikit_learn(name, theirs, seed):
    rng = np.random.default_rng(seed)
    gold = rng.integers(2, size=60)
    told = np.where(rng.random(60) < 0.7, gold, rng.integers(2, size=60))
    pairs = [(labelled(g), chosen(t)) for g, t in zip(gold, told, strict=True)]
    assert scored(name, pairs) == pytest.approx(theirs(gold, told))


@pytest.mark.parametrize("options", [3, 20])
def test_matthews_of_several_options(options):
    rng = np.random.default_rng(options)
    gold = rng.integers(options, size=80)
    told = np.where(rng.random(80) < 0.5, gold, rng.integers(options, size=80))
    names = tuple(f"option {i}" for i in range(options))
    pairs = [
        (
            Example(task="t", input="x", output=names[g], choices=names, gold=int(g)),
            [Response(loglikelihood=-float(i != t), tokens=1) for i in range(options)],
        )
        for g, t in zip(gold, told, strict=True)
    ]
    assert scored("mcc", pairs) == pytest.approx(matthews_corrcoef(gold, told))


def test_one_answer_for_all_has_no_correlation():
    pairs = [(labelled(gold), chosen(1)) for gold in (0, 1, 1)]
    assert scored("mcc", pairs) == 0.0
    assert scored("label_f1", [(labelled(0), chosen(0))]) == 0.0


def test_pearson_as_in_scipy():
    rng = np.random.default_rng(1)
    gold = rng.uniform(0, 5, size=50)
    told = gold + rng.normal(size=50)

    def pairs(told):
        for right, answer in zip(gold, told, strict=True):
            yield Example(task="t", input="x", output=f"{right:.17g}"), [Response(text=f"{answer:.17g}")]

    assert scored("pearson", pairs(told)) == pytest.approx(pearsonr(gold, told).statistic)
    assert scored("pearson", pairs(np.full(50, 2.7))) == 0.0
    assert scored("pearson", pairs(1000 + told)) == pytest.approx(pearsonr(gold, told).statistic)


@pytest.mark.parametrize("text", ["", "about three", "nan", "inf", "1e300"])
def test_an_answer_that_is_no_number_counts_as_nought(text):
    example = Example(task="t", input="x", output="2.5")
    assert metrics.get("pearson").statistics(example, [Response(text=text)]) == (0.0, 2.5, 0.0, 6.25, 0.0)
