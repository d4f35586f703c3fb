"""Figures: of clean and dirty scores, as in GPT-3's appendix (figure 4.2), and of what a model itself says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.contamination.evidence import Evidence
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


def evidence(tasks: Sequence[Evidence]) -> canvas.Figure | None:
    """Return the figure of the tests without a corpus; None where there is nothing to draw."""
    panels = []
    for task in tasks:
        if task.order:
            title = f"{task.task}: order"
            panels.append(canvas.Panel(title=title, draw=partial(_gains, task.order.gains), labels=False))
        if task.familiar:
            panels.append(canvas.Panel(title=f"{task.task}: min-k%", draw=partial(_familiar, task)))
    if not panels:
        return None
    return canvas.Figure(
        name="evidence", title="What the model knows", panels=panels,
        caption="Order: a point per shard, how much likelier its published order is than its shuffles; an order that "
        "the model does not know scatters around 0. Min-k%: the share of texts that are less familiar than a value.",
    )  # fmt: skip


def _gains(gains: NDArray[np.float64], axes: Any) -> None:
    axes.axhline(0, color=canvas.RULE, lw=0.8, zorder=0)
    axes.plot(range(1, len(gains) + 1), gains, ls="", marker="o", color=canvas.BLUE)
    axes.set_xlabel("shard")
    axes.set_ylabel("gain of the published order (nats)")


def _familiar(task: Evidence, axes: Any) -> None:
    ends = []
    for values, name, colour in (
        (task.familiar["min_k"], "documents", canvas.BLUE), (task.unseen["min_k"], "unseen", canvas.VERMILION),
    ):  # fmt: skip
        ordered = sorted(values)
        axes.step(ordered, [(i + 1) / len(ordered) for i in range(len(ordered))], where="post", color=colour)
        middle = len(ordered) // 2
        ends.append((ordered[middle], (middle + 1) / len(ordered), name, colour))
    axes.set_xlabel("mean log-probability of the least likely tokens")
    axes.set_ylabel("share of texts below")
    canvas.label_ends(axes, ends)
