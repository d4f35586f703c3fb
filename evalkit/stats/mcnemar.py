"""Two systems that are right or wrong on the same documents: the mid-p test and an interval that goes with it.

Only documents on which the systems differ carry information: `gained` are right in the new system alone, `lost` in
the old one alone.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from evalkit.stats.bisection import crossing

_STEPS = 60  # of the bisection for the bounds


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided mid-p of McNemar's test (1947): a fair coin for every document that differs.

    Half the chance of exactly what was observed counts, so that the size comes close to the level without exceeding it
    (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13). Integers until the last division, so that
    every machine gives the same bits.
    """
    n, least = gained + lost, min(gained, lost)
    ways = total = 1
    for i in range(least):
        ways = ways * (n - i) // (i + 1)
        total += ways
    return (2 * total - ways) / (1 << n)


def tango(gained: int, lost: int, *, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of (gained - lost) / n, n documents in all (Tango 1998, Statistics in Medicine 17).

    Unlike Wald's or a bootstrap interval it has a width even where no document differs.
    """
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    effect = (gained - lost) / n
    # The score falls as the hypothesis rises; each bound is where it crosses z.
    low = crossing(lambda delta: _score(delta, gained, lost, n) > z, -1.0, effect, steps=_STEPS)
    high = crossing(lambda delta: _score(delta, gained, lost, n) > -z, effect, 1.0, steps=_STEPS)
    return low, high


def _score(delta: float, gained: int, lost: int, n: int) -> float:
    """Standardise gained - lost under a true difference `delta`, the rate of losses being its likeliest value."""
    a = 2.0 * n
    b = -gained - lost + (2.0 * n - gained + lost) * delta
    c = -lost * delta * (1.0 - delta)
    rate = (math.sqrt(max(0.0, b * b - 4.0 * a * c)) - b) / (2.0 * a)
    variance = n * (2.0 * rate + delta * (1.0 - delta))
    distance = gained - lost - n * delta
    if variance <= 0.0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)
