"""One metric of one task at one number of shots, followed while its documents are read.

Two kinds of evidence make one p value for each claim. Looks before the end have a share of alpha, by e-processes that
are valid however often one looks (stats.anytime). The last look, at the whole benchmark, has the rest, for the test
that `evalkit compare` makes of it: a task that needs all of its documents is judged almost as if it had been read at
once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from evalkit.comparison.comparable import Pair
from evalkit.comparison.evidence import Key
from evalkit.gates.reading import Order, Part
from evalkit.metrics.base import Metric
from evalkit.stats import anytime
from evalkit.stats.anytime import BoundedMean, StudentMixture
from evalkit.stats.paired import Units, change_noise, equivalence, gather, interval, p_value

# Of alpha, for the looks before the end: of claims of a change, and of none. A comparison tests each side of the margin
# at half of alpha, although both have to be rejected, so that the other half is free for the looks.
SHARE, SHARE_OF_SAME = 0.2, 0.5
# Sums wait for so many units that differ: fewer may lack the few that change most, and then the error that they show is
# too small.
_DIFFERING = 100

Claim = Literal["better", "same", "worse"]


@dataclass(kw_only=True)
class Track:
    """What the looks at a task have shown up to now.

    margin: in points, or None. weight: the task's share of alpha, in any unit. order: of its documents. seeds: scores
    that each document has. p: of each claim, the least of all looks: a valid p value whenever one stops. alone: the
    claim that would have been made first with all of alpha for this task, and the documents that it took.
    """

    key: Key
    family: str
    metric: Metric
    margin: float | None
    weight: float
    order: Order
    seeds: int
    resamples: int = 10_000
    p: dict[Claim, float] = field(default_factory=lambda: {"better": 1.0, "same": 1.0, "worse": 1.0})
    alone: tuple[Claim, int] | None = None
    units: Units | None = None
    documents: int = 0
    read: int = 0
    method: str = ""
    _refuted: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("up", "down", "above", "below"), 0.0))

    @property
    def part(self) -> Part:
        """Return what is read for it."""
        return Part(self.key.task, self.key.shots)

    @property
    def whole(self) -> bool:
        """Whether all documents have been read."""
        return self.read == self.order.units

    @property
    def changed(self) -> float:
        """Return the p of a change in either direction."""
        return min(self.p["better"], self.p["worse"])

    def look(self, units: Units, *, read: int, documents: int, alpha: float, identical: bool = False) -> None:
        """Take in what the first `read` units of the order say.

        documents: how many of theirs both systems scored. identical: all of their responses are known to be the same.
        """
        self.units, self.read, self.documents = units, read, documents
        if not len(units):
            return
        base, new = units.values(self.metric)
        if not math.isfinite(base) or not math.isfinite(new):  # nothing to test, but the outcome may be clear
            self.method = "not finite"
            self.p["worse"] = 0.0 if math.isfinite(base) else 1.0
        else:
            self._weigh(units)
            if self.whole:
                self._test(units, identical=identical)
        if self.alone is None and (claim := self.claim(self.p["same"], self.changed, alpha=alpha)):
            self.alone = claim, self.order.documents(read)

    def claim(self, same: float, changed: float, *, alpha: float) -> Claim | None:
        """Return what may be claimed at these p values, which may be corrected for other tasks."""
        if same <= alpha:
            return "same"
        if changed <= alpha:
            return "worse" if self.p["worse"] <= self.p["better"] else "better"
        return None

    def settled(self, claim: Claim | None) -> bool:
        """Whether reading on could not matter: a change must also be estimated to be beyond the margin."""
        if claim is None or claim == "same" or self.margin is None:
            return claim is not None
        return abs(self.change) >= self.margin

    @property
    def change(self) -> float:
        """Return new - base, in points."""
        assert self.units is not None
        base, new = self.units.values(self.metric)
        return (new - base) * self.metric.scale

    def interval(self, *, population: bool = False) -> tuple[float, float]:
        """Return the interval of the change in points, NaN where there is none; those of all looks cover it together.

        population: of the change that all documents would show, where that can be said. A whole benchmark that is too
        small for the evidence of a sum has the interval of a comparison.
        """
        if self.units is None or (population and not self.metric.share):
            return math.nan, math.nan
        evidence = self._of_change(self.units, population=self.order.units if population else None)
        if evidence is not None:
            low, high = anytime.interval(evidence)
        else:
            low, high = interval(self.metric, self.units) if self.whole else (math.nan, math.nan)
        return low * self.metric.scale, high * self.metric.scale

    def _of_change(self, units: Units, *, population: int | None = None) -> BoundedMean | StudentMixture | None:
        """Return the evidence of a change; None where too little differs for any."""
        if self.metric.share:
            return BoundedMean(
                differences=units.gains, sizes=units.sizes, largest=self.order.largest * self.seeds,
                longest=self.order.units, population=population,
            )  # fmt: skip
        if units.differing < _DIFFERING:
            return None
        spread = change_noise(self.metric, units)
        if not 0 < spread.variance < math.inf:
            return None
        base, new = units.values(self.metric)
        return StudentMixture(
            change=new - base, error=math.sqrt(spread.variance), size=spread.size, freedom=spread.freedom,
            longest=self.order.units,
        )  # fmt: skip

    def _weigh(self, units: Units) -> None:
        """Lower the p values by the e-values of these units; a claim of no change needs two hypotheses refuted.

        That claim waits for the whole benchmark where scores have no bounds: a sample may lack the few units that
        change most, and then its spread is too small as well.
        """
        evidence = self._of_change(units)
        if evidence is None:
            return
        self.method = "betting" if isinstance(evidence, BoundedMean) else "Student mixture"
        logs = {"up": evidence.against_at_most(0.0), "down": evidence.against_at_least(0.0)}
        if self.margin is not None and isinstance(evidence, BoundedMean):
            margin = self.margin / self.metric.scale
            logs |= {"above": evidence.against_at_most(-margin), "below": evidence.against_at_least(margin)}
        for name, log in logs.items():
            self._refuted[name] = max(log, self._refuted[name])
        better, worse = ("up", "down") if self.metric.higher_is_better else ("down", "up")
        self._lower("better", 2.0 * math.exp(-self._refuted[better]) / SHARE)
        self._lower("worse", 2.0 * math.exp(-self._refuted[worse]) / SHARE)
        self._lower("same", math.exp(-min(self._refuted["above"], self._refuted["below"])) / SHARE_OF_SAME)

    def _test(self, units: Units, *, identical: bool) -> None:
        """Lower the p values by the tests of the whole benchmark."""
        if identical:
            self.method, self.p["same"] = "identical", 0.0
            return
        p, method = p_value(self.metric, units, resamples=self.resamples)
        self.method = f"{self.method}, {method}" if self.method else method
        gain = self.change if self.metric.higher_is_better else -self.change
        self._lower("better" if gain > 0 else "worse", p / (1.0 - SHARE))
        if self.margin is not None:
            beyond = equivalence(self.metric, units, self.margin / self.metric.scale)
            self._lower("same", beyond / (1.0 - SHARE_OF_SAME))

    def _lower(self, claim: Claim, p: float) -> None:
        self.p[claim] = min(self.p[claim], p)  # NaN, which is no test, stays out


def units_read(pair: Pair, metric: str, order: Order, *, read: int) -> tuple[Units, int]:
    """Return the first `read` units of a pair, in their order, and how many documents of theirs are compared."""
    ranks = order.ranks_of(pair.base.ids[pair.base_rows])
    rows = np.argsort(ranks, kind="stable")[: int((ranks < read).sum())]
    base, new = pair.statistics(metric)
    shared = pair.shared[rows]
    return gather(base[rows], new[rows], shared, ranks[rows]), int(shared.any(axis=1).sum())
