"""Correlations of answers with right answers: of options (Matthews) and of numbers (Pearson)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evalkit.metrics.base import Array, Metric
from evalkit.metrics.choice import Accuracy
from evalkit.types import Example, Response


class LabelMatthews(Metric):
    """Matthews correlation x 100 of the chosen option with the right one (CoLA, Warstadt et al. 2019).

    All documents have the same options, two or more. Unlike the metric `matthews` it needs no threshold: the most
    likely option is chosen. If the same option is always chosen: 0.
    """

    name = "mcc"
    scale = 100.0
    needs_choices = True
    least = -1.0

    def __init__(self) -> None:
        self._accuracy = Accuracy(self.name)

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return a count per pair of options, the last ones first: of two, last as last, first as last, and so on."""
        chosen = self._accuracy.choose(example, responses)
        options = range(len(example.choices))[::-1]
        return tuple(float((chosen, example.gold) == (answered, right)) for answered in options for right in options)

    def answer(self, example: Example, responses: Sequence[Response]) -> str | None:
        """Return the chosen option."""
        return self._accuracy.answer(example, responses)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return the correlation, -1 to 1."""
        options = math.isqrt(sums.shape[-1])
        table = sums.reshape(*sums.shape[:-1], options, options)  # ..., answered, right
        return matthews(np.trace(table, axis1=-2, axis2=-1), table.sum(-2), table.sum(-1), n)

    def outcomes(self, k: int) -> Array:
        """Return a count of each pair of options."""
        return np.eye(k)


def matthews(right: Array, golds: Array, answers: Array, n: Array) -> Array:
    """Compute Matthews' correlation of any number of classes (Gorodkin 2004), as scikit-learn does.

    right: (...) right answers out of n. golds, answers: (..., classes) how often each class is right, and is answered.
    0 where one side has only one class.
    """
    above = right * n - (golds * answers).sum(-1)
    below = np.sqrt((n**2 - (answers**2).sum(-1)) * (n**2 - (golds**2).sum(-1)))
    return np.asarray(np.divide(above, below, out=np.zeros_like(below), where=below > 0))


class Pearson(Metric):
    """Pearson's correlation x 100 of the number that the model answers with the right one (STS-B, Cer et al. 2017).

    An answer that is not a number counts as 0. If all answers are equal: 0.
    """

    name = "pearson"
    scale = 100.0
    least = -1.0
    fewest = 3  # two points always lie on a line

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return x, y, x squared, y squared and x y, where x is the answered number and y the right one."""
        answered, right = _number(responses[0].text), float(example.output)
        return answered, right, answered * answered, right * right, answered * right

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return the correlation, -1 to 1."""
        x, y, xx, yy, xy = (sums[..., i] for i in range(5))
        spread = np.maximum(n * xx - x * x, 0.0) * np.maximum(n * yy - y * y, 0.0)
        # A spread that is only rounding error counts as zero.
        varies = spread > 1e-18 * np.maximum(n * xx * n * yy, 1e-300)
        correlation = (n * xy - x * y) / np.sqrt(np.where(varies, spread, 1.0))
        return np.where(varies, np.clip(correlation, -1.0, 1.0), 0.0)

    def signature(self) -> str:
        """Name the value of an answer without a number."""
        return "no-number:0"


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and abs(value) < 1e6 else 0.0
