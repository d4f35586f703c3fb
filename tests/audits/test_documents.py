"""What records say: who answers what, golds that look wrong, and the metric that tells soonest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evalkit import metrics
from evalkit.audits import items
from evalkit.audits.items import Answer, Answers
from evalkit.audits.telling import REACH, documents_needed, tells

ACC, BITS = metrics.get("acc"), metrics.get("answer_bits_per_byte")


def answers(rows, **more):
    """Answers from (answer, confidence) by document; the gold is "gold"."""
    documents = {
        name: Answer(
            level=more.get("level", ""), unit=name, gold="gold", answer=answer, confidence=confidence,
            right=answer == "gold", statistics={"acc": (float(answer == "gold"),)},
        )
        for name, (answer, confidence) in rows.items()
    }  # fmt: skip
    return Answers(documents=documents, metrics={"acc": ACC})


def scored(**columns):
    """Answers of right-or-wrong scores and other statistics by metric."""
    documents = {
        str(i): Answer(level="", unit=str(i), gold="", answer="", confidence=math.nan, right=None,
                       statistics={name: row if isinstance(row, tuple) else (float(row),)
                                   for name, row in zip(columns, rows, strict=True)})
        for i, rows in enumerate(zip(*columns.values(), strict=True))
    }  # fmt: skip
    return Answers(documents=documents, metrics={name: metrics.get(name) for name in columns})


def test_documents_that_some_none_and_every_model_answers():
    first = answers({"a": ("gold", 0.9), "b": ("gold", 0.9), "c": ("no", 0.9), "d": ("gold", 1.0)})
    second = answers({"a": ("gold", 0.9), "b": ("no", 0.9), "c": ("other", 0.9), "e": ("gold", 1.0)})
    found = items.answered([first, second])  # d and e were not asked of both
    assert (found.documents, found.some, found.none, found.every) == (3, 2, 1, 1)
    assert items.answered([first, second], level="hard").documents == 0
    assert items.answered([scored(acc=[1, 0])]).documents == 0  # nothing is right or wrong


def test_a_gold_is_doubtful_only_where_every_large_model_gives_the_same_confident_answer():
    first = {
        "same": ("x", 0.95),
        "unsure": ("x", 0.95),
        "other": ("x", 0.95),
        "gold": ("gold", 0.99),
        "mute": ("", 0.9),
    }
    second = {
        "same": ("x ", 0.85),
        "unsure": ("x", 0.6),
        "other": ("y", 0.95),
        "gold": ("gold", 0.9),
        "mute": ("", 0.9),
    }
    [found] = items.doubtful([answers(first), answers(second)])
    assert (found.document, found.gold, found.answer, found.confidence) == ("same", "gold", "x", 0.85)
    assert len(list(items.doubtful([answers(first), answers(second)], confident=0.5))) == 2
    assert list(items.doubtful([answers(first)])) == []  # one model agrees with itself


def test_models_that_are_mostly_wrong_are_no_judges():
    assert items.is_judge(answers({"a": ("gold", 0.9), "b": ("x", 0.9)}))
    assert not items.is_judge(answers({"a": ("gold", 0.9), "b": ("x", 0.9), "c": ("x", 0.9)}))
    assert not items.is_judge(answers({"a": ("gold", math.nan)}))
    assert not items.is_judge(scored(acc=[1, 1]))


def test_metrics_that_follow_from_likelihoods():
    options, likelihoods = ["red hat", "blue hat"], [math.log(0.3), math.log(0.1)]
    chances = items._probabilities(options, likelihoods)
    assert chances == pytest.approx([0.75, 0.25])
    derived = items._derived(options, likelihoods, chances, "blue hat")
    assert derived["gold_probability"] == pytest.approx((0.25,))
    assert derived["brier"] == pytest.approx((0.75**2 + 0.75**2,))
    assert derived["answer_bits_per_byte"] == pytest.approx((math.log(0.1), 8.0))
    # An option may be followed by the rest of a sentence; texts that are the same tell nothing.
    begun = items._derived(["egg and ran.", "eggs and ran."], likelihoods, chances, "egg")
    assert begun["gold_probability"] == pytest.approx((0.75,))
    assert items._derived(["was fast.", "was fast."], likelihoods, chances, "the dancer") == {}
    assert items._confidence(options, likelihoods, chances, "red hat") == pytest.approx(0.75)
    assert items._confidence([], [math.log(0.5)], [], "text") == pytest.approx(0.5)
    assert math.isnan(items._confidence(["one"], [math.log(0.5)], [], "one"))


def test_documents_needed_are_those_of_a_paired_test():
    worse = np.repeat([1.0, 0.0, 1.0, 0.0], [40, 40, 5, 15])[:, None]
    better = np.repeat([1.0, 0.0, 0.0, 1.0], [40, 40, 5, 15])[:, None]
    units = [str(i) for i in range(100)]
    changes = (better - worse)[:, 0]
    closed = REACH**2 * changes.var(ddof=1) / changes.mean() ** 2  # n such that mean / (s / sqrt n) = REACH
    assert documents_needed(ACC, worse, better, units) == pytest.approx(closed, rel=1e-6)
    assert math.isinf(documents_needed(ACC, better, worse, units))
    assert math.isinf(documents_needed(ACC, worse, worse, units))
    # Ten documents of a passage that change together are one observation: more are needed.
    passages = [str(i // 10) for i in range(100)]
    assert documents_needed(ACC, worse, better, passages) > closed


def test_the_likelihood_of_the_answer_tells_sooner_than_a_coin():
    rng = np.random.default_rng(0)
    ability = rng.normal(-6.0, 2.0, 300)
    lengths = np.full(300, 8.0)
    likelihoods = [ability + rng.normal(shift, 0.3, 300) for shift in (0.0, 0.5)]
    sides = [
        scored(acc=(rng.random(300) < share).tolist(), answer_bits_per_byte=list(zip(side, lengths, strict=True)))
        for side, share in zip(likelihoods, (0.50, 0.56), strict=True)
    ]
    first, second = tells([(sides[0], sides[1])])
    assert first.metric == "answer_bits_per_byte" and first.documents < second.documents
    assert (first.ordered, first.pairs) == (1, 1)
    assert tells([]) == []
