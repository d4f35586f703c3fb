"""Standard errors as lm-evaluation-harness 0.4.13 reports them, to compare with it; evalkit's own are intervals.

Means have s / sqrt(n). Some aggregations have a bootstrap, with exactly the draws of lm-evaluation-harness: chunks of
1000 resamples, chunk i drawn by random.Random(i). The others have none.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.base import Array
from evalkit.metrics.values import Listed, ValueMetric

_MEANS = ("mean", "share")
_BOOTSTRAPPED = ("median", "matthews_corrcoef", "f1", "perplexity", "bleu", "chrf", "chrf++", "ter", "nanmean")

# Metrics of these names, whatever their aggregation, have 100 resamples in all.
_SLOW = ("bleu", "chrf", "chrf++", "ter")

_CHUNK = 1000


def standard_error(
    metric: ValueMetric, table: Array, *, values: Sequence[Any] = (), iterations: int = 100_000
) -> float | None:
    """Return the standard error of a metric, in its own units (not multiplied by its scale), or None.

    table: (n, k) statistics in the order of the documents. values: what the statistics were made from, for metrics
    without sums. iterations: resamples, lm-evaluation-harness's --bootstrap_iters; 0 for none.
    """
    documents = len(values) if isinstance(metric, Listed) else len(table)
    if documents < 2 or not iterations:
        return None
    if metric.aggregation in _MEANS:
        return float(np.std(table[:, 0], ddof=1) / math.sqrt(documents))
    if metric.aggregation not in _BOOTSTRAPPED:
        return None
    resamples = min(iterations, 100) if metric.name.partition(",")[0] in _SLOW else iterations
    chunk = min(_CHUNK, resamples)
    replicates: list[float] = []
    for seed in range(resamples // chunk):
        drawn = _draws(seed, resamples=chunk, documents=documents)
        if isinstance(metric, Listed):
            replicates += [metric.score([values[i] for i in row]) for row in drawn]
        else:
            sums = np.stack([table[row].sum(axis=0) for row in drawn])
            replicates += metric.aggregate(sums, np.full(chunk, float(documents))).tolist()
    return float(np.std(replicates, ddof=1))


def of_group(errors: Sequence[float], sizes: Sequence[int], *, by_size: bool) -> float:
    """Return the standard error of a group's mean from its tasks' errors and numbers of documents.

    by_size: the mean is weighted by the sizes, and the error is that of the pooled variance; otherwise that of a plain
    mean of independent values.
    """
    if not by_size:
        return math.sqrt(sum(error**2 for error in errors)) / len(errors)
    total = sum(sizes)
    pooled = sum((size - 1) * size * error**2 for size, error in zip(sizes, errors, strict=True))
    return math.sqrt(pooled / (total - len(sizes)) / total)


def _draws(seed: int, *, resamples: int, documents: int) -> NDArray[np.intp]:
    """Return (resamples, documents) places, as random.Random(seed).choices draws them, one resample after another."""
    *key, position = random.Random(seed).getstate()[1]
    generator = np.random.RandomState()
    generator.set_state(("MT19937", np.asarray(key, dtype=np.uint32), position, 0, 0.0))
    return (generator.random_sample((resamples, documents)) * documents).astype(np.intp)
