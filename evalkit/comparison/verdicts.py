"""From tests to verdicts: Holm's correction, margins of non-inferiority, and how many documents would decide."""

from __future__ import annotations

import math
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


def verdict(
    *, gain: float, low: float, high: float, adjusted: float, alpha: float, margin: float | None, identical: bool
) -> Verdict:
    """Judge a change. gain, low, high: its size and interval, positive for an improvement; margin: None for none.

    An interval within the margin on both sides is "same", even if the change is significant: that is what the margin
    means. Otherwise significant changes are better or worse. The rest is undecided: the lack of a significant
    difference does not prove equality.
    """
    if identical or (margin is not None and -margin <= low and high <= margin):
        return "same"
    if adjusted <= alpha:
        return "better" if gain > 0 else "worse"
    return "undecided"


def documents_needed(
    n: int, *, effect: float, error: float, alpha: float, power: float = POWER, margin: float | None = None
) -> float:
    """Return how many documents would decide, given the standard error that n of them left.

    Decided means that a change of the observed size is significant with probability `power`, or, with a margin, that an
    interval around the observed size fits into it. Errors are assumed to fall with the square root of n.
    """
    normal = NormalDist()
    z = normal.inv_cdf(1.0 - alpha / 2.0)
    ways = []
    if effect:
        ways.append(n * ((z + normal.inv_cdf(power)) * error / effect) ** 2)
    if margin is not None and abs(effect) < margin:
        ways.append(n * (normal.inv_cdf(0.975) * error / (margin - abs(effect))) ** 2)
    return math.ceil(min(ways)) if ways else math.inf


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
    """Raise UsageError for a margin of a task that is not compared."""
    for name in margins:
        if name and name not in tasks:
            raise unknown("task in --margin", name, tasks)
