"""Whether a model knows what it knows: accuracy by the probability that it gave its own answer.

Radford et al. 2019 (section 3.8) report that GPT-2 answers 4.1% of Natural Questions, but 63.1% of the 1% that it is
most confident in. Confidence is the probability of the generated text, including the newline or end of text after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalkit.errors import UsageError
from evalkit.extras import require
from evalkit.types import Record

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One question: the probability of the model's own answer, and whether it is right."""

    doc_id: str
    confidence: float
    right: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The most confident share of all answers: how many, the least confidence among them, and their accuracy (0-1)."""

    share: float
    n: int
    least: float
    accuracy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """selections: accuracy of the most confident shares, small to large.

    curve: (mean confidence, accuracy) of groups of about equal size, low to high. brier: mean squared difference of
    confidence and rightness, 0 to 1.
    """

    n: int
    selections: Sequence[Selection]
    curve: Sequence[tuple[float, float]]
    brier: float


def answers(records: Iterable[Record], metric: str) -> list[Answer]:
    """Take the generated answers of a run, without controls and failed items.

    Raises UsageError for records without the metric, with scores other than 0 and 1, or of multiple choice.
    """
    usable = []
    for record in records:
        if record.error or record.cell.variant:
            continue
        statistics = record.scores.get(metric)
        if statistics is None:
            raise UsageError(f"{record.cell.task} has no metric {metric!r} (it has: {', '.join(record.scores)})")
        if len(statistics) != 1 or statistics[0] not in (0.0, 1.0):
            raise UsageError(f"calibration needs a metric that is right or wrong, which {metric!r} is not")
        if len(record.responses) != 1 or record.continuations:
            raise UsageError(f"calibration needs generated answers; {record.cell.task} chooses or scores given texts")
        # Rounded: the last bits depend on the batch that a text was generated in, and must not decide an order.
        confidence = min(1.0, math.exp(round(record.responses[0].loglikelihood, 4)))
        usable.append(Answer(doc_id=record.doc_id, confidence=confidence, right=bool(statistics[0])))
    return usable


def most_confident(answered: Sequence[Answer], share: float) -> Selection:
    """Select the most confident share of the answers, at least one; ties are broken by id."""
    ordered = sorted(answered, key=lambda answer: (-answer.confidence, answer.doc_id))
    top = ordered[: max(1, round(share * len(ordered)))]
    right = sum(answer.right for answer in top)
    return Selection(share=share, n=len(top), least=top[-1].confidence, accuracy=right / len(top))


def calibrate(answered: Sequence[Answer], *, shares: Sequence[float] = SHARES, groups: int = 10) -> Calibration:
    """Compare confidence with accuracy. Raises UsageError when there is no answer."""
    if not answered:
        raise UsageError("no answer to calibrate")
    calibration_curve = require("sklearn.calibration", "calibration curves").calibration_curve
    brier_score_loss = require("sklearn.metrics", "calibration curves").brier_score_loss

    right = [answer.right for answer in answered]
    confidences = [answer.confidence for answer in answered]
    accuracy, mean = calibration_curve(right, confidences, n_bins=groups, strategy="quantile", pos_label=True)
    return Calibration(
        n=len(answered),
        selections=[most_confident(answered, share) for share in shares],
        curve=list(zip(mean.tolist(), accuracy.tolist(), strict=True)),
        brier=float(brier_score_loss(right, confidences, pos_label=True)),
    )


def markdown(calibration: Calibration) -> str:
    """Show the accuracy of the most confident answers and the curve as two Markdown tables."""
    lines = ["| most confident | n | least confidence | accuracy |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {s.share:.0%} | {s.n:,} | {s.least:.3f} | {s.accuracy:.1%} |" for s in calibration.selections]
    lines += ["", "| mean confidence | accuracy |", "| ---: | ---: |"]
    lines += [f"| {mean:.3f} | {accuracy:.1%} |" for mean, accuracy in calibration.curve]
    lines += ["", f"{calibration.n:,} answers, Brier score {calibration.brier:.3f}"]
    return "\n".join(lines) + "\n"
