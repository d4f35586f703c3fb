"""One metric of two systems on the same documents: the change, its interval, and the p of two hypotheses.

The hypotheses are that nothing changed (`p_value`) and that the change is at least as large as a margin
(`equivalence`). The unit of every test is what may be exchanged between the systems: a document, or all documents that
share a passage. Seeds of one document are summed first: shots are drawn per document, so a seed is a repeated
measurement of that document, not a further one (a random effect within it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.base import Array, Metric
from evalkit.stats import bounded
from evalkit.stats.bisection import crossing
from evalkit.stats.intervals import LEVEL, Noise, deviations, noise, score_sums, student
from evalkit.stats.mcnemar import mcnemar, tango
from evalkit.stats.resampling import monte_carlo_p, signed_sums

# With fewer units a change has neither p nor interval: Student's t on two is wrong too often.
LEAST_UNITS = 3
# With fewer units than this, Student's t takes the place of exchanges, of which there are too few for a small p:
# 2**(1 - m) is the smallest.
FEW_UNITS = 12

# Sums of floats in another order differ by about this share; a value that close to the observed one counts as equal.
_ROUNDING = 1e-9
_STEPS = 40  # of the bisection for bounds
# Resamples held at once, and the extreme ones after which no more are drawn: ten times as many as the smallest p that a
# comparison asks for rests on.
_AT_ONCE = 200_000
_EXTREME = 100


@dataclass(frozen=True, kw_only=True)
class Units:
    """What two systems scored on the same units: (m, k + 1) sums of statistics each, the number of scores last.

    single: every unit is one document with one seed. documents: of passages, their documents; None where the units are
    documents.
    """

    base: Array
    new: Array
    single: bool
    documents: Units | None = None

    def __len__(self) -> int:
        return len(self.base)

    @property
    def differing(self) -> int:
        """The number of units on which the systems have different statistics."""
        equal = (self.base == self.new) | (np.isnan(self.base) & np.isnan(self.new))
        return int((~equal).any(axis=1).sum())

    @property
    def gains(self) -> Array:
        """The changes of a sum of single scores -> (m,)."""
        return np.asarray(self.new[:, 0] - self.base[:, 0])

    @property
    def sizes(self) -> Array:
        """The number of scores of each unit -> (m,)."""
        return self.base[:, -1]

    def values(self, metric: Metric) -> tuple[float, float]:
        """Score both systems, in the metric's own units."""
        return float(score_sums(metric, self.base.sum(axis=0))), float(score_sums(metric, self.new.sum(axis=0)))


@dataclass(frozen=True, kw_only=True)
class Change:
    """new - base in the metric's own units, with its interval (NaN where n is too small) and two-sided p.

    differing: units on which the systems differ.
    """

    base: float
    new: float
    low: float
    high: float
    p: float
    method: str
    differing: int

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
    documents = Units(base=tables[0], new=tables[1], single=False)
    return Units(base=summed[0], new=summed[1], single=False, documents=documents)


def change(metric: Metric, units: Units, *, level: float = LEVEL, resamples: int = 10_000, seed: int = 0) -> Change:
    """Test a metric and give the interval of its change."""
    base, new = units.values(metric)
    p, method = p_value(metric, units, resamples=resamples, seed=seed)
    low = high = math.nan
    if math.isfinite(base) and math.isfinite(new):
        low, high = interval(metric, units, level=level)
    return Change(base=base, new=new, low=low, high=high, p=p, method=method, differing=units.differing)


def p_value(metric: Metric, units: Units, *, resamples: int = 10_000, seed: int = 0) -> tuple[float, str]:
    """Return the two-sided p of no change, and the test's name.

    McNemar's for 0/1 scores of documents, Student's t for fewer than FEW_UNITS units, else randomisation. NaN where a
    system's value is not finite, so that there is nothing to exchange, and for fewer than LEAST_UNITS units.
    """
    if not all(map(math.isfinite, units.values(metric))):
        return (1.0, "no difference") if not units.differing else (math.nan, "not finite")
    if len(units) < LEAST_UNITS:
        return math.nan, "too few"
    if not units.differing:
        return 1.0, "no difference"
    if metric.binary and units.single:
        return mcnemar(*_flipped(units)), "McNemar"
    if len(units) < FEW_UNITS:
        return _student_p(metric, units), "Student" if units.documents or not metric.share else "Student, documents"
    return randomisation(metric, units, resamples=resamples, seed=seed)


def interval(metric: Metric, units: Units, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of new - base, NaN for too few units or, without ends of the scores, no difference at all.

    Scores between 0 and 1: Tango's where they are right or wrong, else Gaffke's, both of which have a width where no
    document differs; over passages Student's t too, whichever is wider. All other metrics: the wider of the jackknife's
    and Gaffke's.
    """
    if len(units) < LEAST_UNITS:
        return math.nan, math.nan
    if metric.binary and units.single:
        return tango(*_flipped(units), n=len(units), level=level)
    gains = _gains(metric, units.documents or units if metric.share else units)
    if gains is None:
        return math.nan, math.nan
    low, high = bounded.interval(gains, level=level)
    if metric.share and units.documents is None:
        return low, high
    if metric.share:
        below, above = _passages_interval(units, level=level)
    else:
        below, above = jackknife_interval(metric, units, level=level)
    return min(low, below), max(high, above)


def equivalence(metric: Metric, units: Units, margin: float) -> float:
    """Return the p of a change of at least `margin`, to either side.

    margin: in the metric's own units. By Gaffke's bound over units, which allows for changes that none of them shows;
    for other metrics than scores between 0 and 1 by Student's t as well. 1.0 where nothing can be said.
    """
    base, new = units.values(metric)
    if len(units) < LEAST_UNITS or not (math.isfinite(base) and math.isfinite(new)):
        return 1.0
    gains = _gains(metric, units)
    if gains is None:
        return 1.0
    p = bounded.beyond(gains, margin)
    if metric.share:
        return p
    from scipy.special import stdtr

    spread = change_noise(metric, units)
    return max(p, float(stdtr(spread.freedom, (abs(new - base) - margin) / math.sqrt(spread.variance))))


def copies_needed(metric: Metric, units: Units, margin: float, *, level: float) -> float:
    """Return how many times these units, all alike, would show at `level` that the change keeps a margin.

    Arguments as for `equivalence`. Infinite where the observed change does not keep it.
    """
    base, new = units.values(metric)
    if not abs(new - base) < margin or len(units) < LEAST_UNITS:  # NaN too
        return math.inf
    gains = _gains(metric, units)
    return bounded.copies_needed(gains, margin, level=level) if gains else math.inf


def _gains(metric: Metric, units: Units) -> bounded.Gains | None:
    """Return what each unit adds to the change; None where a metric without ends shows no difference.

    Of a metric of sums: the jackknife's pseudo-values (Tukey 1958). No unit is taken to move the value further than the
    one that moves it most would with the largest weight.
    """
    if metric.share:
        return bounded.Gains(values=units.gains, sizes=units.sizes)
    base, new = units.values(metric)
    without = deviations(metric, units.new) - deviations(metric, units.base)
    moved = -(len(units) - 1.0) * (without - without.mean())
    weights = metric.weights(units.base[:, :-1], units.base[:, -1])
    most = int(np.abs(moved).argmax())
    reach = float(abs(moved[most]) * weights.max() / weights[most])
    if not 0 < reach < math.inf:
        return None
    change = new - base
    return bounded.Gains(values=change + moved, sizes=np.ones(len(units)), least=change - reach, most=change + reach)


def _student_p(metric: Metric, units: Units) -> float:
    """Return the two-sided p of Student's t over few units.

    Scores between 0 and 1: of the gains of passages, which may differ in size (Ibragimov and Müller 2010, Journal of
    Business & Economic Statistics 28). Gains of three passages can be alike by chance, so that p is at least that of
    their documents, and this at least the mid-p of exchanging documents that all change alike. Other metrics: of the
    jackknife's changes.
    """
    if metric.share:
        documents = units.documents or units
        return max(_gains_p(units), _gains_p(documents), 2.0**-documents.differing)
    base, new = units.values(metric)
    spread = change_noise(metric, units)
    return _two_sided(new - base, spread.variance, spread.freedom)


def _gains_p(units: Units) -> float:
    """Return the two-sided p of Student's t over the gains of units."""
    return _two_sided(float(units.gains.sum()), _variance(units, 0.0), len(units) - 1.0)


def _two_sided(change: float, variance: float, freedom: float) -> float:
    """Return the two-sided p of Student's t."""
    from scipy.special import stdtr

    if variance > 0:
        return float(2.0 * stdtr(freedom, -abs(change) / math.sqrt(variance)))
    return 0.0 if change and variance == 0 else 1.0


def _passages_interval(units: Units, *, level: float) -> tuple[float, float]:
    """Return the mean gains that Student's t over passages does not reject."""
    gain, size = float(units.gains.sum()), float(units.sizes.sum())
    value, reach = gain / size, student(len(units) - 1.0, level=level)

    def rejected(mean: float) -> bool:
        return bool((gain - mean * size) ** 2 > reach**2 * _variance(units, mean))

    low = crossing(rejected, -1.0, value, steps=_STEPS)
    return low, -crossing(lambda mean: rejected(-mean), -1.0, -value, steps=_STEPS)


def _variance(units: Units, mean: float) -> float:
    """Return the variance of the sum of the units' gains beyond a mean."""
    rest = units.gains - mean * units.sizes
    return len(rest) / (len(rest) - 1.0) * float(((rest - rest.mean()) ** 2).sum())


def _flipped(units: Units) -> tuple[int, int]:
    """Count the documents that are right in the new system alone, and in the base alone."""
    return int((units.gains > 0).sum()), int((units.gains < 0).sum())


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
    """Return Student's interval of new - base with the jackknife's error."""
    base, new = units.values(metric)
    spread = change_noise(metric, units)
    reach = student(spread.freedom, level=level) * math.sqrt(spread.variance)
    return new - base - reach, new - base + reach
