"""Metrics of values that a task computes itself, one per document, as lm-evaluation-harness's tasks do.

A value is what its `process_results` returns: a number, or a tuple that an aggregation turns into one. Here each
becomes statistics that can be summed, so that such metrics have intervals and paired tests like all others. Where that
is impossible (an aggregation function of the task itself) the values are stored, and there is no interval.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from operator import index
from typing import Any

import numpy as np

from evalkit.errors import DataError
from evalkit.metrics.answers import blank
from evalkit.metrics.base import Array, Metric
from evalkit.metrics.bleu import bleu, bleu_counts, chrf, chrf_counts
from evalkit.metrics.correlation import matthews
from evalkit.metrics.labels import BINARY_OUTCOMES
from evalkit.metrics.likelihood import perplexity
from evalkit.types import Example, Response

# The first field of these metrics' signatures, from which `from_rule` makes them again.
RULE = "values"

# Metrics that are shares of documents when lm-evaluation-harness itself computes them; shown in percent.
SHARES = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match")


class ValueMetric(Metric):
    """A metric of values.

    aggregation: its name in the signature. normalizer: applied to texts before they are compared, if known.
    """

    aggregation: str
    least, most = -math.inf, math.inf

    def __init__(self, name: str, *, scale: float = 1.0, higher_is_better: bool = True) -> None:
        self.name, self.scale, self.higher_is_better = name, scale, higher_is_better
        self.normalizer: Callable[[str], str] | None = None

    @abstractmethod
    def of(self, value: Any) -> tuple[float, ...]:
        """Return one document's statistics. Raises TypeError, ValueError or IndexError for an unsuitable value."""

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Not used: the task computes the value from its document, which an example does not hold."""
        raise AssertionError(f"{self.name} is scored from values")

    def concern(self, example: Example) -> str:
        """Describe that an empty answer is right."""
        try:
            return blank(example.answers, self.normalizer) if self.normalizer else ""
        except Exception:  # options of a file that its metric does not accept; scoring reports them
            return ""

    def signature(self) -> str:
        """Return everything that `from_rule` needs."""
        better = "higher" if self.higher_is_better else "lower"
        return f"{RULE}:{self.aggregation}|scale:{self.scale:g}|better:{better}"


class MeanValue(ValueMetric):
    """The mean of numbers."""

    aggregation = "mean"

    def of(self, value: Any) -> tuple[float, ...]:
        """Return (value,)."""
        return (float(value),)


class Share(MeanValue):
    """The mean of numbers that are 0 or 1."""

    aggregation = "share"
    least, most = 0.0, 1.0
    share = binary = True

    def chance(self, example: Example) -> float | None:
        """Return 1 / options, or None without options."""
        return 1 / len(example.choices) if example.choices else None


class NanMean(ValueMetric):
    """The mean of the numbers that are not NaN."""

    aggregation = "nanmean"

    def of(self, value: Any) -> tuple[float, ...]:
        """Return (value, 1.0), or zeros for NaN."""
        number = float(value)
        return (0.0, 0.0) if math.isnan(number) else (number, 1.0)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return the mean; NaN where all are."""
        return np.divide(sums[..., 0], sums[..., 1], out=np.full_like(sums[..., 0], np.nan), where=sums[..., 1] > 0)

    def weights(self, sums: Array, n: Array) -> Array:
        """Return the numbers that are not NaN."""
        return np.asarray(sums[..., 1])


class PerplexityOfMean(MeanValue):
    """exp(-mean) of log-likelihoods."""

    aggregation = "perplexity"
    least = 0.0

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return exp(-sum / n)."""
        return perplexity(sums[..., 0], n)


class WeightedPerplexity(ValueMetric):
    """exp(-sum of log-likelihoods / sum of units) of (log-likelihood, units)."""

    aggregation = "weighted_perplexity"
    least = 0.0

    def of(self, value: Any) -> tuple[float, ...]:
        """Return (log-likelihood, units)."""
        likelihood, units = value
        return (float(likelihood), float(units))

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return the perplexity; NaN without units."""
        return perplexity(sums[..., 0], sums[..., 1])

    def weights(self, sums: Array, n: Array) -> Array:
        """Return the units."""
        return np.asarray(sums[..., 1])


class BitsOfBytes(WeightedPerplexity):
    """-sum of log-likelihoods / sum of units / ln 2."""

    aggregation = "bits_per_byte"

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return bits per unit; NaN without units."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(-(sums[..., 0] / sums[..., 1]) / math.log(2))


class Brier(ValueMetric):
    """Mean squared distance of the probabilities of the options from the right answer, of (gold, probabilities)."""

    aggregation = "brier_score"
    least, most = 0.0, 2.0

    def of(self, value: Any) -> tuple[float, ...]:
        """Return (squared distance,)."""
        gold, probabilities = value
        right = np.zeros(len(probabilities))
        right[gold] = 1.0
        return (float(((np.asarray(probabilities) - right) ** 2).sum()),)


class BinaryF1(ValueMetric):
    """F1 of the class 1, of (gold, prediction)."""

    aggregation = "f1"
    least, most = 0.0, 1.0

    def of(self, value: Any) -> tuple[float, ...]:
        """Return (both are 1, prediction is 1, gold is 1)."""
        gold, predicted = (int(part) for part in value)
        if not {gold, predicted} <= {0, 1}:
            raise ValueError(f"f1 is of the classes 0 and 1, not {max(gold, predicted)}")
        return (float(gold and predicted), float(predicted), float(gold))

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return F1; 0 where the class neither occurs nor is predicted."""
        either = sums[..., 1] + sums[..., 2]
        return np.asarray(np.divide(2 * sums[..., 0], either, out=np.zeros_like(either), where=either > 0))

    def outcomes(self, k: int) -> Array:
        """Return the statistics of each pair of a class and a prediction."""
        return BINARY_OUTCOMES

    def weights(self, sums: Array, n: Array) -> Array:
        """Return the predictions and golds that are 1."""
        return np.asarray(sums[..., 1] + sums[..., 2])


class Correlation(ValueMetric):
    """Matthews correlation of (gold, prediction), the indices of classes.

    The number of classes has to be known, since the statistics of all documents have one length; for a choice it is.
    """

    aggregation = "matthews_corrcoef"
    least, most = -1.0, 1.0

    def __init__(self, name: str, *, classes: int, higher_is_better: bool = True) -> None:
        super().__init__(name, higher_is_better=higher_is_better)
        self.classes = classes

    def of(self, value: Any) -> tuple[float, ...]:
        """Return (right, 1 for the class of gold, 1 for the predicted class)."""
        gold, predicted = (index(part) for part in value)
        if not (0 <= gold < self.classes and 0 <= predicted < self.classes):
            raise ValueError(f"{self.aggregation} is of the classes 0 to {self.classes - 1}")
        marks = [0.0] * (1 + 2 * self.classes)
        marks[0] = float(gold == predicted)
        marks[1 + gold] = marks[1 + self.classes + predicted] = 1.0
        return tuple(marks)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return the correlation; 0 where one side has one class only."""
        return matthews(sums[..., 0], sums[..., 1 : 1 + self.classes], sums[..., 1 + self.classes :], n)

    def outcomes(self, k: int) -> Array:
        """Return the statistics of each pair of a class and a prediction."""
        classes = range(self.classes)
        return np.asarray([self.of((gold, predicted)) for gold in classes for predicted in classes])

    def signature(self) -> str:
        """Return everything that `from_rule` needs."""
        return f"{super().signature()}|classes:{self.classes}"


class BleuOfTexts(ValueMetric):
    """Corpus BLEU, 0 to 100, of (reference, prediction) as sacrebleu computes it."""

    aggregation = "bleu"
    least, most = 0.0, 100.0

    def of(self, value: Any) -> tuple[float, ...]:
        """Return the ten counts of metrics.bleu.bleu."""
        references, prediction = _texts(value)
        return bleu_counts(prediction, references)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return BLEU."""
        return bleu(sums)

    def weights(self, sums: Array, n: Array) -> Array:
        """Return the lengths of the references."""
        return np.asarray(sums[..., 1])


class ChrfOfTexts(ValueMetric):
    """Corpus chrF2, 0 to 100, of (reference, prediction) as sacrebleu computes it."""

    aggregation = "chrf"
    least, most = 0.0, 100.0

    def of(self, value: Any) -> tuple[float, ...]:
        """Return the 18 counts of metrics.bleu.chrf."""
        references, prediction = _texts(value)
        return chrf_counts(prediction, references)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return chrF2."""
        return chrf(sums)


class TerOfTexts(ValueMetric):
    """Translation edit rate (Snover et al. 2006), in percent, of (reference, prediction) as sacrebleu computes it."""

    aggregation = "ter"
    least = 0.0

    def of(self, value: Any) -> tuple[float, ...]:
        """Return (edits, words of the reference)."""
        from sacrebleu.metrics.ter import TER

        references, prediction = _texts(value)
        score = TER().corpus_score([prediction], [[reference] for reference in references])
        return (float(score.num_edits), float(score.ref_length))

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return 100 edits / words; without words 100 where there are edits, else 0."""
        edits, words = sums[..., 0], sums[..., 1]
        return np.asarray(np.where(words > 0, 100 * edits / np.where(words > 0, words, 1), 100.0 * (edits > 0)))

    def weights(self, sums: Array, n: Array) -> Array:
        """Return the words of the references."""
        return np.asarray(sums[..., 1])


class Listed(ValueMetric):
    """A function of the list of all values, in the order of the documents: nothing to sum, hence no interval.

    function: one of _FUNCTIONS, or the task's own.
    """

    def __init__(
        self, name: str, *, function: Callable[[list[Any]], Any], aggregation: str, higher_is_better: bool = True
    ) -> None:
        super().__init__(name, higher_is_better=higher_is_better)
        self.function, self.aggregation = function, aggregation

    def of(self, value: Any) -> tuple[float, ...]:
        """Return no statistics."""
        return ()

    def score(self, values: list[Any]) -> float:
        """Aggregate. Raises DataError when the function fails or does not return a number."""
        if not values:
            return math.nan
        try:
            return float(self.function(values))
        except Exception as error:  # a task's own function may fail in any way
            raise DataError(
                f"aggregation {self.aggregation} of {self.name} fails: {type(error).__name__}: {error}"
            ) from error


def _texts(value: Any) -> tuple[list[str], str]:
    references, prediction = value
    return ([references] if isinstance(references, str) else list(references)), _text(prediction)


def _text(value: Any) -> str:
    text = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    if not isinstance(text, str):
        raise TypeError(f"expected a text, found {type(text).__name__}")
    return text


def _chrf_plus(values: list[Any]) -> float:
    """Compute chrF++ of (reference, prediction) by sacrebleu."""
    from sacrebleu.metrics.chrf import CHRF

    pairs = [_texts(value) for value in values]
    streams = [list(stream) for stream in zip(*(references for references, _ in pairs), strict=True)]
    return float(CHRF(word_order=2).corpus_score([prediction for _, prediction in pairs], streams).score)


def _median(values: list[Any]) -> float:
    """The upper median, as lm-evaluation-harness takes it."""
    return float(sorted(values)[len(values) // 2])


def _bypass(values: list[Any]) -> float:
    """What lm-evaluation-harness reports for a task that only collects answers."""
    return 999.0


def _matthews(values: list[Any]) -> float:
    """Compute Matthews correlation of (gold, prediction), for class labels of any type."""
    places: dict[Any, int] = {}
    golds, answers = ([places.setdefault(label, len(places)) for label in side] for side in zip(*values, strict=True))
    expected, answered = (np.bincount(side, minlength=len(places)).astype(np.float64) for side in (golds, answers))
    hits = np.asarray(float(np.equal(golds, answers).sum()))
    return float(matthews(hits, expected, answered, np.asarray(float(len(values)))))


_SUMMED: Mapping[str, type[ValueMetric]] = {
    metric.aggregation: metric
    for metric in (
        MeanValue, NanMean, PerplexityOfMean, WeightedPerplexity, BitsOfBytes, Brier, BinaryF1, BleuOfTexts,
        ChrfOfTexts, TerOfTexts,
    )
}  # fmt: skip
_FUNCTIONS: Mapping[str, Callable[[list[Any]], float]] = {
    "chrf++": _chrf_plus, "median": _median, "bypass": _bypass, Correlation.aggregation: _matthews,
}  # fmt: skip

# The aggregations that a task may name.
AGGREGATIONS = (*_SUMMED, *_FUNCTIONS)


def make(
    name: str, *, aggregation: Any, higher_is_better: bool = True, share: bool = False, classes: int | None = None
) -> ValueMetric:
    """Make a metric. aggregation: one of AGGREGATIONS, or a function of the list of values. share: of 0s and 1s.

    classes: their number, if known; without it a correlation has no statistics to sum.
    """
    if aggregation == Correlation.aggregation and classes is not None:
        return Correlation(name, classes=classes, higher_is_better=higher_is_better)
    if share and aggregation == "mean":
        return Share(name, scale=100.0, higher_is_better=higher_is_better)
    if aggregation in _SUMMED:
        return _SUMMED[aggregation](name, higher_is_better=higher_is_better)
    function = _FUNCTIONS.get(aggregation, aggregation)
    label = aggregation if isinstance(aggregation, str) else f"own.{aggregation.__name__}"
    return Listed(name, function=function, aggregation=label, higher_is_better=higher_is_better)


def from_rule(name: str, rule: str) -> Metric | None:
    """Make a metric again from its part of a result's signature; None for another kind of metric's.

    A task's own function is no longer available: its metric has no value but the one in the results.
    """
    parts = dict(part.partition(":")[::2] for part in rule.split("|"))
    if RULE not in parts:
        return None
    aggregation, better = parts[RULE], parts.get("better") == "higher"
    if aggregation == Share.aggregation:
        return Share(name, scale=100.0, higher_is_better=better)
    if aggregation.startswith("own."):
        return make(name, aggregation=_unknown, higher_is_better=better)
    classes = int(parts["classes"]) if "classes" in parts else None
    return make(name, aggregation=aggregation, higher_is_better=better, classes=classes)


def _unknown(values: list[Any]) -> float:
    """Stand in for a task's own function, which a stored run does not hold."""
    return math.nan
