"""GPT-2's Figure 1: a panel per family of tasks, score against size, with chance, baselines and the papers' points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from evalkit.report.figures import canvas
from evalkit.report.measurements import Measurement, by_shots
from evalkit.report.selection import Selection, mean

# More lines than this in one panel are drawn thin, with their mean.
_MANY = 7

Point = tuple[float, float, float, float]  # parameters, value, low, high
Key = tuple[str, str]  # task, ladder


def figure(selection: Selection) -> canvas.Figure | str:
    """Return the trend figure, or why there is none."""
    sized = [m for m in selection.final if m.model.parameters]
    if not sized:
        return "no model's number of parameters is known"
    shots = min((m.shots for m in sized), key=by_shots)
    panels = []
    for family in selection.families:
        for metric in dict.fromkeys(m.metric for m in sized if m.family == family):
            group = [m for m in sized if (m.family, m.metric) == (family, metric)]
            undivided = [m for m in group if not m.level]
            fewest = {task: min(m.order for m in undivided if m.task == task) for task in {m.task for m in undivided}}
            group = [m for m in group if m.order == fewest.get(m.task)]
            if not group:
                continue
            panels.append(canvas.Panel(title=f"{family}: {metric}", draw=partial(_panel, selection, group)))
    if not panels:
        return "no task was measured as a whole, only levels"
    kind = {0: "zero-shot", None: "with an unknown number of shots"}.get(shots, f"with {shots} or more shots")
    return canvas.Figure(
        name="trend",
        title=f"How ability grows with size ({kind})"
        if len({m.model.parameters for m in sized}) > 1
        else f"Scores ({kind})",
        caption=(
            "Each point is a model at its last checkpoint; bars are 95% intervals over documents. Dashed: chance. "
            "Dotted: predictors without a model, and the model on a changed input. Thin lines: levels of a task. "
            "Light points: trainings with other seeds. Hollow points: values printed in the papers. "
            "↓: less is better."
        ),
        panels=panels,
    )


def _panel(selection: Selection, group: Sequence[Measurement], axes: Any) -> None:
    tasks = [task for task in selection.tasks if any(m.task == task for m in group)]
    ladders = sorted({m.model.family for m in group})
    line_of = {
        (task, ladder): _line([m for m in group if not m.level], task, ladder) for task in tasks for ladder in ladders
    }
    lines = {key: line for key, line in line_of.items() if line}
    shots = {m.task: m.shots for m in group}
    references = [r for r in selection.references if r.task in tasks and r.metric == group[0].metric and r.parameters]
    papers = [r for r in references if r.shots == shots[r.task]]
    sizes = [x for line in lines.values() for x, *_ in line] + [float(r.parameters or 0) for r in papers]
    canvas.sizes_axis(axes, sizes, label="parameters")
    axes.set_ylabel(
        canvas.axis_name(group[0].metric, unit=group[0].unit, higher_is_better=group[0].higher_is_better)
    )  # fmt: skip
    ends = _many(axes, lines) if len(lines) > _MANY else _few(axes, group, lines)
    values = [p[1] for line in lines.values() for p in line]
    if not group[0].higher_is_better and canvas.wide(values):
        canvas.log_scores(axes, values)
    for reference in papers:
        colour = canvas.SERIES[tasks.index(reference.task) % len(canvas.SERIES)]
        axes.plot(reference.parameters, reference.value, "o", color=colour, markerfacecolor="none", zorder=2.5)
        ends.append((float(reference.parameters or 0), reference.value, reference.paper, canvas.SOFT))
    beside = selection.beside(tasks[0]) if len(tasks) == 1 else []
    canvas.label_ends(axes, _last(ends) + _across(axes, group, beside))


def _few(axes: Any, group: Sequence[Measurement], lines: Mapping[Key, Sequence[Point]]) -> list[Any]:
    """Draw each task (or each ladder of one task) as a line of its own, its levels thin; return the labels."""
    ends = []
    several = len({ladder for _, ladder in lines}) > 1, len({task for task, _ in lines}) > 1
    for i, ((task, ladder), line) in enumerate(lines.items()):
        colour, marker = canvas.SERIES[i % len(canvas.SERIES)], canvas.MARKERS[i % len(canvas.MARKERS)]
        own = [m for m in group if (m.task, m.model.family) == (task, ladder)]
        levels = sorted({m.level for m in own} - {""})
        for level in levels:
            thin = _line([m for m in own if m.level == level], task, ladder)
            style = {"marker": "." if len(thin) == 1 else None, "lw": 0.7, "alpha": 0.4, "zorder": 1.5}
            axes.plot([p[0] for p in thin], [p[1] for p in thin], color=colour, **style)
            if len(lines) == 1 and len(levels) <= _MANY:
                ends.append((*thin[-1][:2], level, canvas.SOFT))
        seeds = [m for m in own if not m.level]
        if len(seeds) > len(line):
            x, y = [m.model.parameters for m in seeds], [m.value for m in seeds]
            axes.plot(x, y, marker, color=colour, alpha=0.3, ms=3, mew=0, zorder=2)
        canvas.errorbars(axes, line, colour, marker=marker, zorder=3)
        name = {(True, False): ladder, (True, True): f"{task} {ladder}"}.get(several, task)
        ends.append((*line[-1][:2], name, colour))
    return ends


def _many(axes: Any, lines: Mapping[Key, Sequence[Point]]) -> list[Any]:
    """Draw all tasks thin and grey, the extreme ones named, and their mean."""
    ends = []
    for (task, _), line in lines.items():
        axes.plot([p[0] for p in line], [p[1] for p in line], color=canvas.SOFT, lw=0.6, alpha=0.35)
        ends.append((*line[-1][:2], task, canvas.SOFT))
    ends.sort(key=lambda end: end[1])
    shared = sorted(set.intersection(*({p[0] for p in line} for line in lines.values())))
    average = [_average([p for line in lines.values() for p in line if p[0] == x]) for x in shared]
    if average:
        canvas.errorbars(axes, average, canvas.BLUE, marker="o", zorder=3)
        ends = [ends[0], ends[-1], (*average[-1][:2], f"mean of {len(lines)}", canvas.BLUE)]
    return ends


def _last(ends: Sequence[Any]) -> list[Any]:
    """Keep one label per name: the one furthest right."""
    labels: dict[str, Any] = {}
    for end in sorted(ends, key=lambda end: end[0]):
        labels[end[2]] = end
    return list(labels.values())


def _average(points: Sequence[Point]) -> Point:
    """Average tasks at one size, as independent samples of documents."""
    value = sum(p[1] for p in points) / len(points)
    half = math.sqrt(sum(((p[3] - p[2]) / 2) ** 2 for p in points)) / len(points)
    return points[0][0], value, value - half, value + half


def _line(group: Sequence[Measurement], task: str, ladder: str) -> list[Point]:
    """Return a point per recipe, by size; trainings that differ in their seed alone are averaged."""
    alike: dict[tuple[int, int, str], list[Measurement]] = {}
    for m in group:
        if (m.task, m.model.family) == (task, ladder):
            alike.setdefault((m.model.parameters or 0, m.model.tokens or 0, m.model.pool), []).append(m)
    return [(float(key[0]), *mean(alike[key])) for key in sorted(alike)]


def _across(axes: Any, group: Sequence[Measurement], beside: Sequence[Measurement]) -> list[Any]:
    """Draw chance (dashed), baselines and controls (dotted) across the panel; return their labels."""
    chances = {round(m.chance, 1): m.chance for m in group if m.chance is not None and not m.level}
    lines: list[tuple[float, str, Any]]
    lines = [(c, f"chance {c:.0f}" if len(chances) > 1 else "chance", (0, (4, 3))) for c in chances.values()]
    lines += [(m.value, m.source.partition(":")[2].replace("_", " "), ":") for m in beside]
    for value, _, dashes in lines:
        axes.axhline(value, color=canvas.SOFT, lw=0.8, ls=dashes, zorder=1)
    right = axes.get_xlim()[1]
    return [(right, value, name, canvas.SOFT) for value, name, _ in lines]
