"""From tests to verdicts: Holm's correction, margins of equivalence, and how many documents would decide."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Literal

from evalkit.errors import UsageError, unknown

Verdict = Literal["better", "same", "worse", "undecided"]

# The power that planned documents must have.
POWER = 0.8


def holm(ps: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """Adjust p values for multiple tests (Holm 1979); those up to alpha keep the familywise error at alpha.

    weights: how much of alpha each test starts with, in any unit (section 4 of the same paper); None: equal ones.
    """
    weights = [1.0] * len(ps) if weights is None else weights
    order = sorted(range(len(ps)), key=lambda i: ps[i] / weights[i])
    adjusted, least, left = [1.0] * len(ps), 0.0, math.fsum(weights)
    for i in order:
        least = max(least, min(1.0, left / weights[i] * ps[i]))
        adjusted[i] = least
        left -= weights[i]
    return adjusted


def verdict(*, gain: float, adjusted: float, equivalence: float, alpha: float, identical: bool) -> Verdict:
    """Judge a change. gain: its size, positive for an improvement. adjusted, equivalence: the p values, after Holm's
    correction, of no change and of a change beyond the margin (NaN without a margin).

    A change that is surely within the margin is "same", even if it is significant: that is what the margin means. Each
    side of the margin is tested at half of alpha. Otherwise significant changes are better or worse. The rest is
    undecided: the lack of a significant difference does not prove equality. Only identical responses do.
    """
    if identical or equivalence <= alpha / 2.0:
        return "same"
    if adjusted <= alpha:
        return "better" if gain > 0 else "worse"
    return "undecided"


def documents_needed(n: int, *, score: float, alpha: float, power: float = POWER) -> float:
    """Return how many documents reach alpha (two-sided) with probability `power`.

    score: by how many standard errors n documents were away from the hypothesis. Standard errors are assumed to fall
    with the square root of the documents.
    """
    if not score > 0:
        return math.inf
    normal = NormalDist()
    return math.ceil(n * ((normal.inv_cdf(1.0 - alpha / 2.0) + normal.inv_cdf(power)) / score) ** 2)


def fewest_differing(method: str, alpha: float) -> int:
    """Return with how many differing units a test can reach alpha, if they all change alike; 0 where that is no limit.

    A fair coin for each: p is at least 2**(1 - units), of tests that count as the mid-p does half of that.
    """
    halved = method in ("McNemar", "Student, documents")
    if not halved and not method.endswith(("permutation", "randomisation")):
        return 0
    return math.ceil(math.log2((1.0 if halved else 2.0) / alpha))


def parse_margins(words: Sequence[str]) -> dict[str, float]:
    """Read `lambada=0.5` and `1.0` into task -> points; "" is the margin of all other tasks. Raises UsageError."""
    margins: dict[str, float] = {}
    for word in words:
        task, _, number = word.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value < math.inf:
            raise UsageError(f"--margin {word!r}: expected points such as 1.0, or TASK=0.5, not below 0")
        margins[task] = value
    return margins


def check_margins(margins: Mapping[str, float], tasks: Sequence[str]) -> None:
    """Raise UsageError for a margin of a task that is not compared, or that is no number of points from 0 up."""
    for name, points in margins.items():
        if not (isinstance(points, numbers.Real) and 0 <= points < math.inf):
            raise UsageError(f"margin {points!r:.60}: expected points such as 1.0, not below 0")
        if name and name not in tasks:
            raise unknown("task", name, tasks, where="in --margin")
