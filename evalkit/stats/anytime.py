"""Evidence on a change that is valid whenever one looks: e-processes, and the confidence sequences that they make.

An e-process against a hypothesis starts at 1 and is not expected to grow while the hypothesis holds, so that the chance
that it ever reaches 1 / alpha is at most alpha (Ville 1939), however often one looks, and whatever decides when to
stop.
Two kinds, both one-sided, each in logarithms:

- BoundedMean, for scores between 0 and 1: the capital of a gambler who bets a fixed share of it on each unit, averaged
  over a grid of shares (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting",
  sections 4 and 5). Exact at every number of units, whatever the distribution.
- StudentMixture, for everything that is scored from sums (perplexity, corpus BLEU): the likelihood ratio of a normal
  mixture of effects with an unknown spread, invariant to scale, exact for normal changes (Perez-Ortiz et al. 2024,
  "E-statistics, group invariance and anytime-valid testing"; the closed form is that of Gronau et al. 2020). The change
  and its error are the jackknife's, which linearises the metric by unit, so that this kind is asymptotic (Waudby-Smith
  et al. 2024, "Time-uniform central limit theory and asymptotic confidence sequences").

The unit is a document, or all documents of a passage. The units are a random sample, in random order, of those that
the benchmark stands for: this population's change is the target, as it is of the paired tests. With `population`,
BoundedMean's target is the change on that many units, of which those read were drawn without replacement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

from evalkit.metrics.base import Array
from evalkit.stats.bisection import crossing
from evalkit.stats.intervals import LEVEL

# The largest bet, as a share of the one that may lose all capital.
_LARGEST = 0.99
# The log of the evidence for which the smallest bet is made: what a small alpha asks for.
_WANTED = 5.0
_STEPS = 40  # of the bisection for the bounds
_FAR = 1e3  # in standard errors


class Evidence(Protocol):
    """What was observed of new - base, in the metric's own units."""

    @property
    def ends(self) -> tuple[float, float]:
        """Return the changes between which an interval lies."""
        ...

    def against_at_most(self, change: float) -> float:
        """Return the log of the e-value against a true change of at most this."""
        ...

    def against_at_least(self, change: float) -> float:
        """Return the log of the e-value against a true change of at least this."""
        ...


@dataclass(frozen=True, kw_only=True)
class BoundedMean:
    """The mean change of scores between 0 and 1.

    differences: (m,) sums of new - base over the scores of a unit, in the order of reading. sizes: (m,) how many scores
    those are. largest: the most scores that a unit of the benchmark has. longest: how many units may be read at most.
    population: the units in all where these are the target; None for those that the benchmark stands for.
    """

    differences: Array
    sizes: Array
    largest: float
    longest: int
    population: int | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Return the ends of a change of scores between 0 and 1."""
        return -1.0, 1.0

    def against_at_most(self, change: float) -> float:
        """Return the log of the capital won by betting that the true change is above this."""
        return self._capital(self.differences, change)

    def against_at_least(self, change: float) -> float:
        """Return the log of the capital won by betting that the true change is below this."""
        return self._capital(-self.differences, -change)

    def _capital(self, differences: Array, change: float) -> float:
        if change >= 1.0:
            return 0.0
        if change <= -1.0:  # no change is below that
            return math.inf if change < -1.0 else 0.0
        gains, most = differences - change * self.sizes, (1.0 + change) * self.largest
        shares = _LARGEST * scales(self.longest)
        if self.population is not None:
            return _log_mean(_without_replacement(gains, shares, most=most, population=self.population))
        gains, counts = np.unique(gains, return_counts=True)  # the order does not change the product
        return _log_mean(np.log1p(np.outer(shares / most, gains)) @ counts)


@dataclass(frozen=True, kw_only=True)
class StudentMixture:
    """A change with its standard error, from `size` units (their effective number), with these degrees of freedom.

    longest: how many units may be read at most.
    """

    change: float
    error: float
    size: float
    freedom: float
    longest: int

    @property
    def ends(self) -> tuple[float, float]:
        """Return changes so far away that they are always refuted."""
        return self.change - _FAR * self.error, self.change + _FAR * self.error

    def against_at_most(self, change: float) -> float:
        """Return the log of the likelihood ratio of effects above this."""
        return self._ratio((self.change - change) / self.error)

    def against_at_least(self, change: float) -> float:
        """Return the log of the likelihood ratio of effects below this."""
        return self._ratio((change - self.change) / self.error)

    def _ratio(self, t: float) -> float:
        from scipy.special import stdtr

        information = self.size * scales(self.longest) ** 2  # times the effect's variance, in spreads of a unit
        squared = t * t / self.freedom
        ratios = (self.freedom + 1.0) / 2.0 * (np.log1p(squared) - np.log1p(squared / (1.0 + information)))
        one_sided = 2.0 * stdtr(self.freedom, t * np.sqrt(information / (1.0 + information)))
        with np.errstate(divide="ignore"):
            return _log_mean(ratios - 0.5 * np.log1p(information) + np.log(one_sided))


def interval(evidence: Evidence, *, level: float = LEVEL) -> tuple[float, float]:
    """Return a confidence sequence's interval: the changes that no side has refuted.

    All intervals of one sequence, at whatever looks, cover the true change together with probability `level`.
    """
    needed = math.log(2.0 / (1.0 - level))
    least, most = evidence.ends
    middle = (least + most) / 2.0
    spread = most - middle

    def at(share: float) -> float:
        return middle + share * spread

    low = crossing(lambda share: evidence.against_at_most(at(share)) >= needed, -1.0, 1.0, steps=_STEPS)
    high = crossing(lambda share: evidence.against_at_least(at(share)) < needed, -1.0, 1.0, steps=_STEPS)
    return at(low), at(high)


@cache
def scales(longest: int) -> Array:
    """Return the shares that bets are of the largest one, and effects of a unit's spread: a grid of half octaves.

    It ends where so many units would yield just the evidence that is needed.
    """
    least = math.sqrt(min(1.0, 2.0 * _WANTED / max(1, longest)))
    return np.asarray(2.0 ** -(np.arange(math.floor(-2.0 * math.log2(least)) + 1) / 2.0))


def _without_replacement(gains: Array, shares: Array, *, most: float, population: int) -> Array:
    """Return the log capital of each bet where the hypothesis says that all units' gains sum to zero -> (bets,).

    Then the expected gain of each unit is what is left of the sum, divided by the units that are left, and what the bet
    wins is the distance from it (Waudby-Smith and Ramdas 2024, section 5).
    """
    sums, read = np.cumsum(gains), np.arange(len(gains))
    if (sums > most * (population - read - 1)).any():  # the units that are left could not make up for these
        return np.full(len(shares), math.inf)
    expected = (gains - sums) / (population - read)
    room = most + expected  # how far a gain may fall below what is expected
    bets = np.minimum(shares[:, None] / most, _LARGEST / np.maximum(room, np.finfo(float).tiny))
    return np.asarray(np.log1p(bets * (gains - expected)).sum(axis=1))


def _log_mean(logs: Array) -> float:
    """Return the log of the mean of what these are the logs of."""
    top = float(logs.max())
    return top if math.isinf(top) else top + math.log(float(np.exp(logs - top).mean()))
