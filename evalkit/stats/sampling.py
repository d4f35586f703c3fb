"""The value of a whole test set from a sample of its documents: which to draw, and the estimate with its interval.

Documents are put into strata by the score that is expected of them, and more are drawn where the expectation is less
certain (Neyman 1934). What is expected is a control variate: the estimate of a sum is that of the expectation over all
documents, corrected by how far the drawn ones deviate from it (a difference estimator, Cochran 1977, section 7.1;
prediction-powered inference with predictions fixed beforehand, Angelopoulos et al. 2023). A mean is therefore unbiased
(until it is cut to its range), however wrong the expectation; a poor one only widens the interval. Other functions of
sums are linearised (Cochran 1977, section 6.4).

The interval is for the value that all these documents would give, not for documents of the same kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.base import Array, Metric
from evalkit.stats.intervals import LEVEL, Interval, Method, Noise, bounds, pooled, score_sums

# Strata at most, and documents drawn from each at least: more strata explain little more, fewer documents tell little
# of a stratum's spread.
MOST_STRATA = 8
LEAST_DRAWN = 5

# Documents that the spread of all strata, or the planned one where that is larger, counts for in the spread of each. A
# stratum whose few drawn documents are all as expected would otherwise claim to be without error.
_BORROWED = 2.0

# Drawn documents that have to contribute to each sum of a metric that is no mean. Linearised, BLEU with a few matches
# of four words would have an interval that covers in half of all samples.
_MAKING_A_SUM = 10

# Relative step of the numerical derivative of a metric.
_STEP = 1e-4


@dataclass(frozen=True, kw_only=True)
class Design:
    """Which documents are drawn. strata: (M,) the stratum of each document. drawn: (M,) whether it is scored."""

    strata: NDArray[np.int64]
    drawn: NDArray[np.bool_]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The documents drawn from each stratum, and all that it has."""
        return [
            (int(self.drawn[self.strata == h].sum()), int((self.strata == h).sum()))
            for h in range(int(self.strata.max()) + 1)
        ]

    @property
    def weights(self) -> Array:
        """The documents that each drawn one stands for -> (n,)."""
        return np.asarray([size / drawn for drawn, size in self.sizes])[self.strata[self.drawn]]


def design(expected: Array, spread: Array, *, count: int, order: NDArray[np.int64]) -> Design:
    """Choose `count` of M documents.

    expected: (M,) scores; documents of similar ones share a stratum. spread: (M,) standard deviations around them.
    order: (M,) ranks that do not depend on any score; of each stratum the first ones are drawn.
    """
    total = len(expected)
    assert 2 <= count <= total, f"{count} of {total} documents"
    # Ties are left in the documents' own order: broken by `order`, they would make the draw depend on the strata.
    place = np.argsort(expected, kind="stable")
    reached = np.cumsum(spread[place])
    number = max(1, min(MOST_STRATA, count // LEAST_DRAWN))
    # Strata of equal total spread: Neyman's allocation is then the same number of documents from each.
    cuts = np.searchsorted(reached, reached[-1] * np.arange(1, number) / number)
    strata = np.zeros(total, dtype=np.int64)
    strata[place] = np.searchsorted(cuts, np.arange(total), side="right")
    strata = np.unique(strata, return_inverse=True)[1]
    sizes = np.bincount(strata)
    drawn = np.zeros(total, dtype=np.bool_)
    total_spread = np.bincount(strata, weights=spread)
    for h, wanted in enumerate(_allocation(sizes, total_spread, count)):
        members = np.flatnonzero(strata == h)
        drawn[members[np.argsort(order[members])[:wanted]]] = True
    return Design(strata=strata, drawn=drawn)


def _allocation(sizes: NDArray[np.intp], spread: NDArray[Any], count: int) -> list[int]:
    """Divide `count` among strata by their summed spread; two from each at least, where it has as many."""
    numbers = np.minimum(sizes, 2)
    while numbers.sum() < count:
        # The next document goes where it lowers the variance most.
        gain = np.where(numbers < sizes, spread**2 / (numbers * (numbers + 1.0)), -1.0)
        numbers[int(gain.argmax())] += 1
    return [int(number) for number in numbers]


def estimate(
    metric: Metric, plan: Design, scored: Array, expected: Array, spread: Array, *, level: float = LEVEL
) -> Interval:
    """Estimate the value of all M documents, with a two-sided interval at `level`.

    scored: (n, k + 1) statistics of the drawn documents in their order, and how many records each has. expected:
    (M, k + 1) the same as predicted for every document before any was scored. spread: (M,) standard deviations of a
    document's score around its prediction, as planned.
    """
    residuals = scored - expected[plan.drawn]
    sums = expected.sum(axis=0) + plan.weights @ residuals
    value = float(score_sums(metric, sums))
    noise = _noise(residuals @ gradient(metric, sums), plan, spread / len(expected))
    if _is_bent(metric, scored):
        low = high = math.nan
    elif noise.variance > 0:
        low, high = bounds(value, noise, least=-math.inf, most=math.inf, level=level)
        low, high = max(low, metric.least), min(high, metric.most)
    else:  # everything is as expected, which proves no certainty
        low, high = bounds(value, noise, least=metric.least, most=metric.most, level=level)
    value = min(max(value, metric.least), metric.most)
    method: Method = "none" if math.isnan(low) else "stratified"
    return Interval(value=value, low=min(low, value), high=max(high, value), method=method, units=len(scored))


def gradient(metric: Metric, sums: Array) -> Array:
    """Return how a metric changes with each of its (k + 1) sums."""
    steps = np.maximum(np.abs(sums), 1.0) * _STEP
    moved = np.diag(steps)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((score_sums(metric, sums + moved) - score_sums(metric, sums - moved)) / (2.0 * steps))


def _is_bent(metric: Metric, scored: Array) -> bool:
    """Whether a metric is no mean, and one of its sums is made by too few documents for a straight line to do."""
    if type(metric).aggregate is Metric.aggregate:
        return False
    used = gradient(metric, scored.sum(axis=0)) != 0
    return bool((np.count_nonzero(scored[:, used], axis=0) < _MAKING_A_SUM).any())


def _noise(effects: Array, plan: Design, spread: Array) -> Noise:
    """Return the noise in the sum of a stratified sample's (n,) effects on the value."""
    strata = plan.strata[plan.drawn]
    deviations = effects - (np.bincount(strata, weights=effects) / np.bincount(strata))[strata]
    planned = spread**2
    common = float(deviations @ deviations) / max(1, len(effects) - len(plan.sizes))
    usual = float(planned[plan.drawn].mean())
    factor = max(1.0, common / usual) if usual else 0.0
    parts = []
    for h, (drawn, size) in enumerate(plan.sizes):
        if drawn == size:
            continue
        own, share = deviations[strata == h], drawn / size
        borrowed = (common + factor * float(planned[plan.strata == h].mean())) / 2 if usual else common
        freedom = drawn - 1.0 + _BORROWED
        variance = (float(own @ own) + _BORROWED * borrowed) / freedom
        third = size**3 * (1.0 - share) * (1.0 - 2.0 * share) * float((own**3).mean()) / drawn**2
        error = size**2 * (1.0 - share) * variance / drawn
        parts.append(Noise(variance=error, third=third, freedom=freedom, size=float(drawn)))
    return pooled(parts)
