"""The figure of GPT-3's appendix (figure 4.2): how clean a task is, and how its score changes on clean documents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from evalkit.contamination.scores import Split
from evalkit.papers.contamination import contaminations
from evalkit.report.figures import canvas

# Points that get a name: those that change most.
_NAMED = 8

_Point = tuple[float, float, str]  # percent clean, change in percent, task


def figure(splits: Sequence[Split]) -> canvas.Figure | None:
    """Return the figure: a panel per model and number of shots, and one of GPT-3's table; None without a point."""
    panels = []
    for model, shots in dict.fromkeys((split.model, split.shots) for split in splits):
        rows = [s for s in splits if (s.model, s.shots) == (model, shots) and not math.isnan(s.change)]
        points = [(100 * s.clean / (s.clean + s.dirty), 100 * s.change, s.task) for s in rows]
        if points:
            title = f"{model}, {shots} shot{'s' * (shots != 1)}"
            panels.append(canvas.Panel(title=title, draw=partial(_panel, points)))
    if not panels:
        return None
    paper = [(row.clean_percent, row.change, task) for task, row in contaminations().items()]
    panels.append(canvas.Panel(title="GPT-3 175B (Brown et al. 2020)", draw=partial(_panel, paper)))
    return canvas.Figure(
        name="clean", title="Scores of clean documents", panels=panels,
        caption="Each point is a task: the percentage of its documents that are clean, and how the score of these "
        "differs from that of all, in percent of it. Few clean documents differ by chance. The last panel: the paper's "
        "table, few-shot, with its own training text.",
    )  # fmt: skip


def _panel(points: Sequence[_Point], axes: Any) -> None:
    axes.axhline(0, color=canvas.RULE, lw=0.8, zorder=0)
    x, y, _ = zip(*points, strict=True)
    axes.plot(x, y, ls="", marker="o", color=canvas.BLUE)
    reach = max(1.0, 1.2 * max(map(abs, y)))
    axes.set_xlim(-3, 103)
    axes.set_ylim(-reach, reach)
    axes.set_xlabel("clean documents (%)")
    axes.set_ylabel("change of score on clean ones (%)")
    named = sorted(points, key=lambda point: -abs(point[1]))[:_NAMED]
    canvas.label_ends(axes, [(a, b, name, canvas.INK) for a, b, name in named])
