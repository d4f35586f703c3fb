"""What a panel shows, in words, for those who do not see it; read from what was drawn, so that the two agree."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

# Lines that are described one by one.
_MOST = 8


def of(axes: Any) -> str:
    """Return the axes with their ranges, then each labelled line from its first to its last point."""
    across, along = _name(axes.get_xlabel()), _name(axes.get_ylabel())
    labelled = list(_labelled(axes))
    sentences = [f"{along} against {across}" if across and along else across or along]
    sentences += [_line(axes, name, points) for name, points in labelled[:_MOST]]
    unnamed = sum(_drawn(line) for line in axes.get_lines()) - sum(len(points) > 1 for _, points in labelled)
    others = max(len(labelled) - _MOST, 0) + max(unnamed, 0)
    if others:
        sentences.append(
            "one more line or group of points" if others == 1 else f"{others} more lines or groups of points"
        )
    return ". ".join(filter(None, sentences)) + "."


def _name(label: str) -> str:
    return " ".join(label.replace("↓", "(less is better)").split())


def _drawn(line: Any) -> bool:
    """Whether a line has points of its own; one across the whole panel, or the end of an error bar, has not."""
    return len(line.get_xdata()) > 0 and line.get_transform().contains_branch(line.axes.transData) and not _level(line)


def _level(line: Any) -> bool:
    return list(line.get_xdata()) == [0, 1] and len(set(line.get_ydata())) == 1


def _labelled(axes: Any) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield each label and the points of the line that ends where it points; a height alone where none does."""
    lines = [list(zip(map(float, line.get_xdata()), map(float, line.get_ydata()), strict=True))
             for line in axes.get_lines() if _drawn(line)]  # fmt: skip
    for label in axes.texts:
        if hasattr(label, "xy"):
            end = (float(label.xy[0]), float(label.xy[1]))
            ending = max((line for line in lines if end in line), key=len, default=[end])
            yield label.get_text(), ending


def _line(axes: Any, name: str, points: list[tuple[float, float]]) -> str:
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(finite) < 2:
        return f"{name}: {points[-1][1]:.3g}"
    (first, low), (last, high) = finite[0], finite[-1]
    return f"{name}: {low:.3g} at {_place(axes, first)}, {high:.3g} at {_place(axes, last)}"


def _place(axes: Any, x: float) -> str:
    """Return a place on the x axis as its ticks name it, if they do so in words or counts."""
    text = str(axes.xaxis.get_major_formatter()(x, 0))
    return text if text and "$" not in text else f"{x:.3g}"
