"""Metrics of values against scikit-learn, sacrebleu and plain formulas; the rule that makes them again."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from evalkit import metrics
from evalkit.errors import DataError
from evalkit.lm_eval import stderr
from evalkit.metrics.values import AGGREGATIONS, Listed, ValueMetric, from_rule, make
from evalkit.runs.signature import Signature


def value(metric: ValueMetric, values) -> float:
    if isinstance(metric, Listed):
        return metric.score(values)
    table = np.asarray([metric.of(v) for v in values])
    return float(metric.aggregate(table.sum(0), np.asarray(float(len(table)))))


PAIRS = [(0, 1), (1, 1), (2, 2), (2, 0), (1, 1), (0, 0), (2, 2), (1, 2)]
TEXTS = [("the cat sat on the mat", "the cat sat on a mat"), ("it rains", "it is raining today"), ("no", "yes")]


def test_matthews_and_f1_are_those_of_scikit_learn():
    from sklearn.metrics import f1_score, matthews_corrcoef

    golds, said = zip(*PAIRS, strict=True)
    for classes in (None, 3, 40):
        metric = make("m", aggregation="matthews_corrcoef", classes=classes)
        assert value(metric, PAIRS) == pytest.approx(matthews_corrcoef(golds, said))
        assert value(metric, [(1, 1)] * 3) == 0.0
    two = [(int(a > 0), int(b > 0)) for a, b in PAIRS]
    assert value(make("m", aggregation="f1"), two) == pytest.approx(f1_score(*zip(*two, strict=True)))
    assert value(make("m", aggregation="f1"), [(0, 0)] * 3) == 0.0
    with pytest.raises(ValueError, match="f1 is of the classes 0 and 1, not 2"):
        make("m", aggregation="f1").of((2, 1))


@pytest.mark.parametrize(
    ("golds", "said", "right"),
    [
        ([16, 17, 18, 0, 1, 2], [1, 1, 2, 0, 1, 2], 0.4671),
        ([-1, 1, 0, 1], [0, 1, 0, 1], 0.6708),
        ([0, 17], [17, 0], -1.0),
        (["yes", "no", "no", "maybe"], ["yes", "no", "perhaps", "no"], None),
        (list(range(200)) * 2, [i // 2 for i in range(200)] * 2, None),
    ],
)
def test_matthews_of_any_classes(golds, said, right):
    from sklearn.metrics import matthews_corrcoef

    theirs = matthews_corrcoef(golds, said)
    if right is not None:
        assert theirs == pytest.approx(right, abs=5e-5)
    pairs = list(zip(golds, said, strict=True))
    assert value(make("m", aggregation="matthews_corrcoef"), pairs) == pytest.approx(theirs)
    if all(isinstance(label, int) and label >= 0 for label in golds):
        summed = make("m", aggregation="matthews_corrcoef", classes=max(*golds, *said) + 1)
        assert value(summed, pairs) == pytest.approx(theirs)
        again = from_rule("m", summed.signature())
        assert value(again, pairs) == pytest.approx(theirs) and again.signature() == summed.signature()
    for wrong in ((-1, 0), (0, 3), (0, 0.5)):
        with pytest.raises((ValueError, TypeError)):
            make("m", aggregation="matthews_corrcoef", classes=3).of(wrong)


@pytest.mark.parametrize("name", ["bleu", "chrf", "chrf++", "ter"])
def test_corpus_metrics_are_those_of_sacrebleu(name):
    import sacrebleu

    said, references = [s for _, s in TEXTS], [[r for r, _ in TEXTS]]
    wanted = {
        "bleu": lambda: sacrebleu.corpus_bleu(said, references),
        "chrf": lambda: sacrebleu.corpus_chrf(said, references),
        "chrf++": lambda: sacrebleu.corpus_chrf(said, references, word_order=2),
        "ter": lambda: sacrebleu.corpus_ter(said, references),
    }[name]()
    assert value(make(name, aggregation=name), TEXTS) == pytest.approx(wanted.score)


def test_likelihoods_means_and_medians():
    weighted = [(-10.0, 4), (-2.0, 2)]
    assert value(make("m", aggregation="perplexity"), [-1.0, -3.0]) == pytest.approx(math.exp(2))
    assert value(make("m", aggregation="weighted_perplexity"), weighted) == pytest.approx(math.exp(2))
    assert value(make("m", aggregation="bits_per_byte"), weighted) == pytest.approx(2 / math.log(2))
    assert value(make("m", aggregation="brier_score"), [(0, [0.5, 0.5]), (1, [0.0, 1.0])]) == 0.25
    assert value(make("m", aggregation="nanmean"), [1.0, math.nan, 3.0]) == 2.0
    assert math.isnan(value(make("m", aggregation="nanmean"), [math.nan]))
    assert value(make("m", aggregation="median"), [5, 1, 3, 4]) == 4
    assert value(make("m", aggregation="bypass"), [None]) == 999.0


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("share", [False, True])
def test_a_metric_is_made_again_from_its_signature(aggregation, share):
    metric = make("odd name", aggregation=aggregation, higher_is_better=False, share=share)
    again = from_rule("odd name", metric.signature())
    assert (type(again), again.name, again.signature()) == (type(metric), "odd name", metric.signature())
    line = f"task:t.v1|model:a@b|evalkit:0.1|{metric.signature()}"
    assert metrics.get("odd name", Signature.parse(line).rule).scale == metric.scale


def test_a_function_of_the_tasks_own_is_not_known_again():
    metric = make("spread", aggregation=lambda values: max(values))
    assert metric.score([1, 4]) == 4.0
    assert math.isnan(from_rule("spread", metric.signature()).score([1, 4]))
    assert from_rule("acc", "per:total|ties:first") is None
    with pytest.raises(DataError, match=r"aggregation own.<lambda> of spread fails: ZeroDivisionError"):
        make("spread", aggregation=lambda values: 1 / 0).score([1])


def test_errors_of_means_are_those_of_the_sample():
    rows = [0.0, 1.0, 1.0, 0.0, 1.0]
    table = np.asarray(rows)[:, None]
    mean = sum(rows) / 5
    wanted = math.sqrt(sum((x - mean) ** 2 for x in rows) / 4) / math.sqrt(5)
    assert stderr.standard_error(make("acc", aggregation="mean", share=True), table) == pytest.approx(wanted)
    assert stderr.standard_error(make("b", aggregation="brier_score"), table) is None
    assert stderr.standard_error(make("acc", aggregation="mean"), table[:1]) is None
    assert stderr.standard_error(make("acc", aggregation="mean"), table, iterations=0) is None


def test_the_bootstrap_draws_as_the_standard_library_does():
    rows = [-0.5, -2.0, -1.0, -4.0]
    replicates = []
    for seed in range(2):
        rng = random.Random(seed)
        for _ in range(1000):
            replicates.append(math.exp(-sum(rng.choices(rows, k=4)) / 4))
    metric = make("perplexity", aggregation="perplexity")
    found = stderr.standard_error(metric, np.asarray(rows)[:, None], iterations=2500)  # whole chunks only
    assert found == pytest.approx(float(np.std(replicates, ddof=1)), rel=1e-12)


def test_errors_of_groups():
    assert stderr.of_group([0.3, 0.4], [7, 9], by_size=False) == pytest.approx(0.25)
    assert stderr.of_group([0.1, 0.1], [50, 50], by_size=True) == pytest.approx(0.1 / math.sqrt(2))
