"""What a panel shows, in words, for those who do not see it; read from what was drawn, so that the two agree."""

from __future__ import annotations

import math
from typing import Any

# Lines that are described one by one: those with a name, and those without.
_NAMED, _UNNAMED = 8, 3

_Points = list[tuple[float, float]]


def of(axes: Any) -> str:
    """Return the axes, then each line (or group of points) from its first to its last point, and what is written."""
    across, along = _title(axes.get_xlabel()), _title(axes.get_ylabel())
    sentences = [f"{along} against {across}" if across and along else across or along]
    unnamed = [(line, points) for line in axes.get_lines() if len(points := _points(axes, line)) > 1]
    named = []
    for label in (text for text in axes.texts if hasattr(text, "xy")):
        end = (float(label.xy[0]), float(label.xy[1]))
        ending = [pair for pair in unnamed if end in pair[1]]
        line, points = max(ending, key=lambda pair: len(pair[1]), default=(None, [end]))
        unnamed = [pair for pair in unnamed if pair[0] is not line]
        named.append(_described(axes, label.get_text(), points))
    sentences += named[:_NAMED]
    sentences += [_described(axes, _kind(line), points) for line, points in unnamed[:_UNNAMED]]
    if others := max(len(named) - _NAMED, 0) + max(len(unnamed) - _UNNAMED, 0):
        sentences.append(f"{others} more line{'s' * (others > 1)}")
    written = [text.get_text() for text in axes.texts if not hasattr(text, "xy")]
    return ". ".join(filter(None, [*sentences, *written])) + "."


def _title(label: str) -> str:
    """Return an axis's label on one line, its arrow in words."""
    return "; ".join(" ".join(line.replace("↓", "(less is better)").split()) for line in label.splitlines())


def _points(axes: Any, line: Any) -> _Points:
    """Return the finite points of a line; none for one that runs across the whole panel, at a height or a place."""
    if not line.get_transform().contains_branch(axes.transData) or list(line.get_xdata()) == [0, 1]:
        return []
    pairs = zip(map(float, line.get_xdata()), map(float, line.get_ydata()), strict=True)
    return [pair for pair in pairs if all(map(math.isfinite, pair))]


def _kind(line: Any) -> str:
    return "points" if line.get_linestyle() == "None" else "a line"


def _described(axes: Any, name: str, points: _Points) -> str:
    if len(points) < 2:
        return f"{name}: {points[-1][1]:.3g}"
    (first, begin), (last, end) = points[0], points[-1]
    return f"{name}: {begin:.3g} at {_place(axes, first)}, {end:.3g} at {_place(axes, last)}"


def _place(axes: Any, x: float) -> str:
    """Return a place on the x axis: as our own function names ticks there, if one does."""
    from matplotlib.ticker import FuncFormatter

    named = axes.xaxis.get_major_formatter()
    return str(named(x, 0)) if isinstance(named, FuncFormatter) else f"{x:.3g}"
