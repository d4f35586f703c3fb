"""GPT-3's Figures 1.2 and 1.3: score against the number of examples in context, per size; and the aggregate by size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from evalkit.harness.task import FINETUNED
from evalkit.report.figures import canvas
from evalkit.report.measurements import Measurement
from evalkit.report.selection import Selection, mean

Table = Mapping[tuple[str, int], Sequence[Measurement]]  # (model, shots) -> one measurement per task


def figure(selection: Selection) -> canvas.Figure | str:
    """Return the figure, or why there is none."""
    counts = selection.shots
    if len(counts) < 2:
        each = (
            f"every task was asked with {counts[0]} examples in the prompt" if counts else "no number of shots is known"
        )
        return f"{each}; the curve takes several numbers (evalkit run --shots 0,1,4)"
    panels, chosen = [], []
    for family in selection.families:
        for metric in dict.fromkeys(m.metric for m in selection.final if m.family == family):
            table = _table([m for m in selection.final if (m.family, m.metric) == (family, metric)], selection)
            if table:
                panels.append(canvas.Panel(title=f"{family}: {metric}", draw=partial(_curves, selection, table)))
                chosen += [m for group in table.values() for m in group if m.ceiling is not None]
    aggregate = _table(chosen, selection)
    if len({size for size, *_ in _sizes(aggregate)}) > 1:
        panels.insert(0, canvas.Panel(title="aggregate of all tasks", draw=partial(_aggregate, selection, aggregate)))
    if not panels:
        return "no task was run with several numbers of shots"
    tasks = len({m.task for group in aggregate.values() for m in group})
    return canvas.Figure(
        name="shots",
        title="In-context learning: score against examples in the prompt",
        caption=(
            f"Aggregate: the mean of the {tasks} tasks that have a share as their metric, at the numbers of shots that "
            "all of them have. Other panels: the mean of a family's tasks, a line per size (the mean of its "
            "trainings). Bars: 95% intervals over documents."
        ),
        panels=panels,
    )


def _table(measurements: Sequence[Measurement], selection: Selection) -> Table:
    """Group by model and shots: tasks with several numbers of shots, at the numbers that all of these tasks have."""
    plain = [m for m in measurements if not m.level and m.higher_is_better and m.protocol != FINETUNED]
    models = {m.model.name for m in plain} & set(selection.sizes)
    cells: dict[str, dict[int, set[str]]] = {}
    for m in plain:
        if m.shots is not None:
            cells.setdefault(m.task, {}).setdefault(m.shots, set()).add(m.model.name)
    complete = {task: {k for k, names in models_at.items() if names >= models} for task, models_at in cells.items()}
    several = {task: counts for task, counts in complete.items() if len(counts) > 1}
    common = set.intersection(*several.values()) if several else set()
    table: dict[tuple[str, int], list[Measurement]] = {}
    for m in plain if len(common) > 1 else ():
        if m.task in several and m.shots is not None and m.shots in common and m.model.name in models:
            table.setdefault((m.model.name, m.shots), []).append(m)
    return table


def _counts(table: Table) -> list[int]:
    return sorted({shots for _, shots in table})


def _curves(selection: Selection, table: Table, axes: Any) -> None:
    """Draw score against shots, a line per size; trainings that differ in their seed alone are averaged."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ends = []
    counts = _counts(table)
    sized = list(_sizes(table).values())
    trainings = [*sized, *([name] for name in selection.sizes if not any(name in names for names in sized))]
    lines = [names for names in trainings if (names[0], counts[0]) in table]
    some = next(iter(table.values()))[0]
    axes.set_xscale("symlog", linthresh=1, linscale=0.8)
    for i, names in enumerate(lines):
        colour, marker = canvas.ordered(i, len(lines))
        line = [(float(k), *mean([m for name in names for m in table[name, k]])) for k in counts]
        canvas.errorbars(axes, line, colour, marker=marker)
        ends.append((*line[-1][:2], min((selection.labels[name] for name in names), key=len), colour))
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.set_xlim(-0.25, counts[-1] * 1.25)
    axes.set_xlabel("examples in the prompt (K)")
    axes.set_ylabel(canvas.axis_name(some.metric, unit=some.unit, higher_is_better=some.higher_is_better))
    canvas.label_ends(axes, ends)


def _sizes(table: Table) -> dict[tuple[int, int, str], list[str]]:
    """Return the models by (parameters, tokens, pool): trainings that differ only in their seed share an entry."""
    names_of: dict[tuple[int, int, str], list[str]] = {}
    for (name, _), group in table.items():
        facts = group[0].model
        key = (facts.parameters or 0, facts.tokens or 0, facts.pool)
        if facts.parameters and name not in names_of.setdefault(key, []):
            names_of[key].append(name)
    return dict(sorted(names_of.items()))


def _aggregate(selection: Selection, table: Table, axes: Any) -> None:
    """Draw the mean of all tasks against size: zero-shot, one-shot, and the most shots."""
    sizes = _sizes(table)
    every = _counts(table)
    counts = sorted({every[0], *([1] if 1 in every else []), every[-1]})
    colours = (canvas.BLUE, canvas.GREEN, canvas.VERMILION)
    canvas.sizes_axis(axes, [float(size) for size, *_ in sizes], label="parameters")
    ends = []
    for marker, colour, shots in zip(canvas.MARKERS, colours, counts, strict=False):
        line = [
            (float(size), *mean([m for name in names for m in table[name, shots]]))
            for (size, *_), names in sizes.items()
        ]
        canvas.errorbars(axes, line, colour, marker=marker)
        ends.append((*line[-1][:2], f"{shots}-shot", colour))
    axes.set_ylabel("mean score (%)")
    canvas.label_ends(axes, ends)
