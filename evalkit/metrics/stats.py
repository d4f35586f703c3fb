"""Intervals for any metric, from its statistics per document.

Documents that share a passage are not independent; whole clusters are resampled then. All values are in the
metric's own units (not multiplied by its scale).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.base import Array, Metric

Method = Literal["none", "wilson", "bootstrap", "cluster-bootstrap"]

# Counts held at once by the bootstrap: 2**20 of 8 bytes, with a few copies.
_CELLS = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A value with its interval; low and high are NaN (method "none") where n is too small for them."""

    value: float
    low: float
    high: float
    method: Method


def interval(
    metric: Metric,
    statistics: Array,
    clusters: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Score (n, k) statistics and give a two-sided interval at `level`.

    clusters: a name per document; documents of one name are resampled together; "" is a cluster of its own;
    None: all independent. Binary metrics of independent documents get Wilson's interval, and so does every mean of
    shares that is exactly 0 or 1, with the number of clusters as n: a bootstrap would claim certainty, and a share
    is never more than the 0/1 variable "above 0". Everything else gets the percentile bootstrap, widened where
    needed so that it holds the value. No document: all NaN; a single document or cluster: no bounds. The same
    statistics give the same result in whatever order they come.
    """
    statistics = np.asarray(statistics, dtype=np.float64)
    # Sorting before and after keeps the order of documents from changing a sum's rounding or a draw.
    order = _order(statistics)
    table, grouped = _clustered(statistics[order], clusters and [clusters[i] for i in order])
    table = table[_order(table)]
    if not len(table):
        return Interval(value=math.nan, low=math.nan, high=math.nan, method="none")
    value = float(_score(metric, table.sum(axis=0)))
    if len(table) == 1 or not np.isfinite(table).all():
        return Interval(value=value, low=math.nan, high=math.nan, method="none")
    if (metric.binary and not grouped) or (metric.share and value in (0.0, 1.0)):
        low, high = wilson(value, n=len(table), level=level)
        return Interval(value=value, low=low, high=high, method="wilson")
    values = np.sort(_resampled(metric, table, resamples=resamples, seed=seed))
    # Order statistics, not interpolation: an infinite perplexity must not turn a bound into NaN.
    tail = int((1.0 - level) / 2.0 * resamples + 1e-9)
    low, high = min(value, float(values[tail])), max(value, float(values[-1 - tail]))
    return Interval(value=value, low=low, high=high, method="cluster-bootstrap" if grouped else "bootstrap")


def bootstrap(
    metric: Metric,
    statistics: Array,
    clusters: Sequence[str] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Array:
    """Score resamples of the documents' clusters, each of as many clusters as there are -> (resamples,).

    The draws depend on the seed and on the number of clusters alone. So two systems scored on the same
    documents in the same order are resampled alike, and the difference of their values is a paired bootstrap.
    The caller sorts the documents by id. At least one document.
    """
    table, _ = _clustered(np.asarray(statistics, dtype=np.float64), clusters)
    assert len(table), "nothing to resample"
    return _resampled(metric, table, resamples=resamples, seed=seed)


def wilson(share: float, *, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval (1927) for a share of n independent trials."""
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    shrink = 1.0 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1.0 - share) / n + z * z / (4 * n * n))
    # The bounds are exact at the ends; the arithmetic may miss them by a rounding.
    return (0.0 if share == 0.0 else centre - half, 1.0 if share == 1.0 else centre + half)


def _order(rows: Array) -> NDArray[np.intp]:
    """Return the order that sorts rows by their first column, then by their second, and so on."""
    return np.lexsort(rows.T[::-1])


def _clustered(statistics: Array, clusters: Sequence[str] | None) -> tuple[Array, bool]:
    """Sum within clusters -> (m, k + 1) rows, the number of documents last; and if any cluster has two."""
    assert statistics.ndim == 2, f"statistics must be (n, k), got {statistics.shape}"
    table = np.column_stack([statistics, np.ones(len(statistics))])
    if clusters is None:
        return table, False
    assert len(clusters) == len(statistics), "one cluster name per document"
    places: dict[str | int, int] = {}
    index = [places.setdefault(name or i, len(places)) for i, name in enumerate(clusters)]
    if len(places) == len(statistics):
        return table, False
    summed = np.zeros((len(places), table.shape[1]))
    np.add.at(summed, index, table)
    return summed, True


def _score(metric: Metric, sums: Array) -> Array:
    """Score (..., k + 1) rows of summed statistics and document counts."""
    return metric.aggregate(sums[..., :-1], sums[..., -1])


def _resampled(metric: Metric, table: Array, *, resamples: int, seed: int) -> Array:
    """Score resamples of the rows of `table`: sums as a product of counts and rows."""
    return np.concatenate(
        [_score(metric, counts @ table) for counts in _draws(len(table), resamples=resamples, seed=seed)]
    )


def _draws(m: int, *, resamples: int, seed: int) -> Iterator[Array]:
    """Yield (chunk, m) arrays of how often each of m clusters is drawn in m draws with replacement."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // m)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(m, size=(rows, m)) + m * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * m).reshape(rows, m).astype(np.float64)
