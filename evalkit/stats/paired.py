"""One metric of two systems on the same documents: the change, its interval and its p.

The unit of every test is what may be exchanged between the systems: a document, or all documents that share a
passage. Seeds of one document are summed first: shots are drawn per document, so a seed is a repeated measurement of
that document, not a further one (a random effect within it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.base import Array, Metric
from evalkit.stats.intervals import LEVEL, Noise, deviations, noise, score_sums, student
from evalkit.stats.mcnemar import mcnemar, tango
from evalkit.stats.resampling import monte_carlo_p, signed_sums

# With fewer units, the interval of a change covers the truth too rarely.
LEAST_UNITS = 5
# Sums of floats in another order differ by about this share; a value that close to the observed one counts as equal.
_ROUNDING = 1e-9
# Resamples held at once, and the extreme ones after which no more are drawn: ten times as many as the smallest p that a
# comparison asks for rests on.
_AT_ONCE = 200_000
_EXTREME = 100


@dataclass(frozen=True, kw_only=True)
class Units:
    """What two systems scored on the same units: (m, k + 1) sums of statistics each, the number of scores last.

    single: every unit is one document with one seed.
    """

    base: Array
    new: Array
    single: bool

    def __len__(self) -> int:
        return len(self.base)

    @property
    def identical(self) -> bool:
        """True if both systems have the same statistics on every unit."""
        return bool(np.array_equal(self.base, self.new, equal_nan=True))

    def values(self, metric: Metric) -> tuple[float, float]:
        """Score both systems, in the metric's own units."""
        return float(score_sums(metric, self.base.sum(axis=0))), float(score_sums(metric, self.new.sum(axis=0)))


@dataclass(frozen=True, kw_only=True)
class Change:
    """new - base in the metric's own units, with its interval (NaN where n is too small) and two-sided p."""

    base: float
    new: float
    low: float
    high: float
    p: float
    method: str

    @property
    def size(self) -> float:
        """Return new - base."""
        return self.new - self.base


def gather(base: Array, new: Array, shared: NDArray[np.bool_], clusters: NDArray[np.int64]) -> Units:
    """Sum (n, seeds, k) statistics of both systems over shared seeds and over clusters.

    shared: (n, seeds), which scores both systems have. clusters: a number per document; equal ones go together.
    """
    counts = shared.sum(axis=1)
    compared = counts > 0
    tables = [
        np.column_stack([np.where(shared[..., None], side, 0.0).sum(axis=1), counts])[compared] for side in (base, new)
    ]
    _, places = np.unique(clusters[compared], return_inverse=True)
    size = int(places.max()) + 1 if len(places) else 0
    if size == len(places):  # summing would only sort the documents by their cluster
        return Units(base=tables[0], new=tables[1], single=bool((counts[compared] == 1).all()))
    summed = [np.zeros((size, table.shape[1])) for table in tables]
    for sums, table in zip(summed, tables, strict=True):
        np.add.at(sums, places, table)
    return Units(base=summed[0], new=summed[1], single=False)


def change(metric: Metric, units: Units, *, level: float = LEVEL, resamples: int = 10_000, seed: int = 0) -> Change:
    """Test a metric and give the interval of its change."""
    base, new = units.values(metric)
    p, method = p_value(metric, units, resamples=resamples, seed=seed)
    if method == "not finite" or len(units) < LEAST_UNITS:
        low = high = math.nan
    elif method == "identical":
        low = high = 0.0
    elif method == "McNemar":
        low, high = tango(*_flipped(units), n=len(units), level=level)
    else:
        low, high = jackknife_interval(metric, units, level=level)
    return Change(base=base, new=new, low=low, high=high, p=p, method=method)


def p_value(metric: Metric, units: Units, *, resamples: int = 10_000, seed: int = 0) -> tuple[float, str]:
    """Return the two-sided p and the test's name: exact McNemar for 0/1 scores of documents, else randomisation.

    NaN where a system's value is not finite, so that there is nothing to exchange.
    """
    if units.identical:
        return 1.0, "identical"
    if not all(map(math.isfinite, units.values(metric))):
        return math.nan, "not finite"
    if metric.binary and units.single:
        return mcnemar(*_flipped(units)), "McNemar"
    return randomisation(metric, units, resamples=resamples, seed=seed)


def _flipped(units: Units) -> tuple[int, int]:
    """Count the documents that are right in the new system alone, and in the base alone."""
    step = units.new[:, 0] - units.base[:, 0]
    return int((step > 0).sum()), int((step < 0).sum())


def randomisation(metric: Metric, units: Units, *, resamples: int = 10_000, seed: int = 0) -> tuple[float, str]:
    """Return the two-sided p of exchanging the systems' statistics unit by unit, and what the test is called.

    Where only one statistic differs (F1, log-likelihood, a perplexity per word) the test is on its sum, a sign-flip
    permutation test; otherwise the metric is scored anew after each exchange (approximate randomisation, Noreen 1989).
    Exact when few units differ, otherwise Monte Carlo: of very many resamples, as a very small p needs them, no more
    are drawn than it takes to see that p is not small (Besag and Clifford 1991).
    """
    difference = units.new - units.base
    columns = np.flatnonzero((difference != 0).any(axis=0))
    method = "permutation" if len(columns) == 1 else "randomisation"
    extreme = drawn = 0
    while drawn < resamples and extreme < _EXTREME:
        count = min(_AT_ONCE, resamples - drawn)
        signed, exact = signed_sums(difference[:, columns], resamples=count, seed=seed + drawn // _AT_ONCE)
        extreme += _extreme(metric, units, signed, columns)
        drawn += len(signed)
        if exact:
            return extreme / drawn, f"exact {method}"
    return monte_carlo_p(extreme, resamples=drawn), method


def _extreme(metric: Metric, units: Units, signed: Array, columns: NDArray[np.intp]) -> int:
    """Count the exchanges that change the metric at least as much as was observed. signed: (exchanges, columns)."""
    if len(columns) == 1:
        resampled, observed = np.abs(signed[:, 0]), abs(float((units.new - units.base)[:, columns[0]].sum()))
    else:
        middle = np.repeat(((units.base + units.new).sum(axis=0) / 2.0)[None], len(signed), axis=0)
        step = np.zeros_like(middle)
        step[:, columns] = signed / 2.0
        resampled = np.abs(score_sums(metric, middle + step) - score_sums(metric, middle - step))
        base, new = units.values(metric)
        observed = abs(new - base)
    return int((resampled >= observed * (1.0 - _ROUNDING)).sum())


def change_noise(metric: Metric, units: Units) -> Noise:
    """Return the noise of new - base, each unit being left out of both systems at once."""
    weights = metric.weights(units.base[:, :-1], units.base[:, -1])
    return noise(deviations(metric, units.new) - deviations(metric, units.base), weights)


def jackknife_interval(metric: Metric, units: Units, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of new - base, by the rule for single values (stats.intervals)."""
    base, new = units.values(metric)
    spread = change_noise(metric, units)
    reach = student(spread.freedom, level=level) * math.sqrt(spread.variance)
    return new - base - reach, new - base + reach
