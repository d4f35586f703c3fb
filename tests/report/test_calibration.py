"""Calibration: the most confident answers first, and a curve from stored records."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from evalkit.errors import UsageError
from evalkit.report.calibration import Answer, answers, calibrate, markdown, most_confident
from evalkit.types import Cell, Prompt, Record, Response


def record(name: str, probability: float, right: bool) -> Record:
    return Record(
        cell=Cell(task="nq_open", protocol="gpt2", shots=0, seed=1),
        doc_id=name,
        cluster="",
        level="",
        prompt=Prompt(contexts=("Q: who?",)),
        continuations=(),
        responses=(Response(loglikelihood=math.log(probability), text="x", tokens=2),),
        gold="y",
        prediction="x",
        scores={"nq_exact_match": (float(right),), "f1": (0.5,)},
    )


def test_the_most_confident_come_first() -> None:
    found = [
        Answer(doc_id=str(i), confidence=c, right=r)
        for i, (c, r) in enumerate([(0.1, False), (0.9, True), (0.5, True), (0.9, False)])
    ]
    assert most_confident(found, 0.01).n == 1
    top = most_confident(found, 0.01)
    assert (top.accuracy, top.least) == (1.0, 0.9)  # of the two at 0.9 the first by its id
    half = most_confident(found, 0.5)
    assert (half.n, half.accuracy, half.least) == (2, 0.5, 0.9)
    assert most_confident(found, 1.0).accuracy == 0.5


def test_one_percent_of_the_questions() -> None:
    rng = random.Random(0)
    records = [
        record(f"{i:04}", probability := rng.uniform(0.001, 0.999), rng.random() < probability) for i in range(3000)
    ]
    failed = replace(records[0], doc_id="failed", scores={}, error="too long")
    control = replace(records[0], cell=replace(records[0].cell, variant="no_passage"))
    calibration = calibrate(answers([*records, failed, control], "nq_exact_match"))
    assert calibration.n == 3000
    assert [s.n for s in calibration.selections] == [30, 60, 150, 300, 600, 1500, 3000]
    assert calibration.selections[0].accuracy > 0.85 > 0.6 > calibration.selections[-1].accuracy
    # These answers are right as often as their confidence says.
    assert len(calibration.curve) == 10
    assert all(abs(mean - accuracy) < 0.1 for mean, accuracy in calibration.curve)
    assert 0.1 < calibration.brier < 0.25
    shown = markdown(calibration)
    assert "| 1% | 30 |" in shown and shown.count("\n") == 9 + 3 + 10 + 2


def test_all_answers_may_be_wrong() -> None:
    calibration = calibrate(
        [Answer(doc_id="0", confidence=0.2, right=False), Answer(doc_id="1", confidence=0.4, right=False)]
    )
    assert {accuracy for _, accuracy in calibration.curve} == {0.0}
    assert calibration.brier == pytest.approx((0.04 + 0.16) / 2)


def test_what_cannot_be_calibrated_is_an_error() -> None:
    item = record("0", 0.5, True)
    with pytest.raises(UsageError, match=r"nq_open has no metric 'acc' \(it has: nq_exact_match, f1\)"):
        answers([item], "acc")
    with pytest.raises(UsageError, match="needs a metric that is right or wrong, which 'f1' is not"):
        answers([item], "f1")
    with pytest.raises(UsageError, match="needs generated answers; nq_open chooses"):
        answers([replace(item, continuations=(" a", " b"), responses=(Response(), Response()))], "nq_exact_match")
    with pytest.raises(UsageError, match="no answer to calibrate"):
        calibrate([])
