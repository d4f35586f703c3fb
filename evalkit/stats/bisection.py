"""Where a condition stops holding, by bisection."""

from __future__ import annotations

from collections.abc import Callable


def crossing(holds: Callable[[float], bool], left: float, right: float, *, steps: int) -> float:
    """Return where `holds` turns from true to false between two points, to 2**-(steps + 1) of their distance."""
    for _ in range(steps):
        middle = (left + right) / 2.0
        if holds(middle):
            left = middle
        else:
            right = middle
    return (left + right) / 2.0
