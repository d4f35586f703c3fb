"""The history of scores: a panel per task, a line per number of shots, a band for its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from evalkit.report.figures import canvas

_ROOM = 0.3  # of the axis, for a name below it


@dataclass(frozen=True, kw_only=True)
class Point:
    """A score at one place of the history. comparable: it is of the same documents and rules as the last one."""

    place: int
    value: float
    low: float
    high: float
    comparable: bool


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The history of one metric of one task. lines: name ("0-shot") -> its points."""

    title: str
    metric: str
    higher_is_better: bool
    lines: Mapping[str, Sequence[Point]]


def figure(names: Sequence[str], scores: Sequence[Scores]) -> canvas.Figure:
    """Return the figure. names: of the places of the history, such as commits, the oldest first."""
    return canvas.Figure(
        name="history",
        title="Scores over time",
        caption=(
            "A panel per task; bands are 95% intervals over documents. Hollow points: other documents or rules than "
            "the last one's, not comparable."
        ),
        panels=[canvas.Panel(title=one.title, draw=partial(_panel, names, one)) for one in scores],
    )


def _panel(names: Sequence[str], scores: Scores, axes: Any) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter

    ends = []
    for i, (name, points) in enumerate(scores.lines.items()):
        colour, marker = canvas.ordered(i, len(scores.lines))
        line = [point for point in points if point.comparable and math.isfinite(point.value)]
        x, y = [point.place for point in line], [point.value for point in line]
        axes.fill_between(x, [p.low for p in line], [p.high for p in line], color=colour, alpha=0.15, lw=0)
        axes.plot(x, y, color=colour, marker=marker)
        for other in points:
            if not other.comparable and math.isfinite(other.value):
                axes.plot([other.place], [other.value], color=colour, marker=marker, mfc="none", ls="none")
        if line:
            ends.append((x[-1], y[-1], name, colour))
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.xaxis.set_major_locator(FixedLocator([*range(len(names) - 1, -1, -math.ceil(_ROOM * len(names)))]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: canvas.shorten(names[round(place)], length=9)))
    axes.set_ylabel(canvas.axis_name(scores.metric, higher_is_better=scores.higher_is_better))
    canvas.label_ends(axes, ends)
