"""Learning curves: score against the tokens seen, a line per training, a panel per family of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from evalkit.report.figures import canvas
from evalkit.report.measurements import Measurement, by_shots
from evalkit.report.selection import Selection, training_points


def figure(selection: Selection) -> canvas.Figure | str:
    """Return the figure, or why there is none."""
    points = [m for m in selection.main if m.model.tokens is not None and not m.level]
    steps: dict[tuple[object, ...], set[int]] = {}
    for m in points:
        steps.setdefault(m.model.training, set()).add(m.model.tokens or 0)
    several = [m for m in points if len(steps[m.model.training]) > 1]
    if not several:
        return "they take several checkpoints of one training, each with the number of tokens it had read"
    shots = min((m.shots for m in several), key=by_shots)
    panels = []
    for family in selection.families:
        for metric in dict.fromkeys(m.metric for m in several if m.family == family):
            group = [m for m in several if (m.family, m.metric, m.shots) == (family, metric, shots)]
            if group:
                title = f"{family}: {metric}"
                panels.append(canvas.Panel(title=title, draw=partial(_panel, selection, group)))
    return canvas.Figure(
        name="curves",
        title="Learning curves" + ("" if shots is None else f" ({shots}-shot)"),
        caption=(
            "The mean of a family's tasks at each checkpoint, a line per training; bands are 95% intervals over "
            "documents. Dashed: chance, where the family's tasks share one."
        ),
        panels=panels,
    )


def _panel(selection: Selection, group: Sequence[Measurement], axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    names = [name for name in selection.sizes if any(m.model.name == name for m in group)]
    seen = sorted({m.model.tokens for m in group if m.model.tokens})
    axes.set_xscale("symlog", linthresh=seen[0], linscale=0.4)
    values: list[float] = []
    ends = []
    for i, name in enumerate(names):
        colour, _ = canvas.ordered(i, len(names))
        for seed in sorted({m.model.seed or 0 for m in group if m.model.name == name}):
            line = training_points([m for m in group if m.model.name == name and (m.model.seed or 0) == seed])
            x, y, low, high = zip(*line, strict=True)
            axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
            axes.plot(x, y, color=colour, lw=1.3, ls=canvas.DASHES[i % len(canvas.DASHES)])
            values += y
        ends.append((line[-1][0], line[-1][1], selection.labels[name], colour))
    axes.set_xlim(0, seen[-1] * 1.3)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: canvas.count(value)))
    axes.xaxis.set_major_locator(_ticks(seen))
    axes.set_xlabel("tokens seen")
    some = group[0]
    axes.set_ylabel(canvas.axis_name(some.metric, unit=some.unit, higher_is_better=some.higher_is_better))
    if not some.higher_is_better and canvas.wide(values):
        canvas.log_scores(axes, values)
    chances = {m.chance for m in group}
    if len(chances) == 1 and None not in chances:
        axes.axhline(chances.pop(), color=canvas.SOFT, lw=0.8, ls=(0, (4, 3)), zorder=1)
    canvas.label_ends(axes, ends)


def _ticks(seen: Sequence[int]) -> Any:
    """Return ticks at 0 and at about four powers of ten among the tokens."""
    import math

    from matplotlib.ticker import FixedLocator

    first, last = math.ceil(math.log10(seen[0])), math.floor(math.log10(seen[-1]))
    step = max(1, -(-(last - first) // 3))
    return FixedLocator([0, *(10**power for power in range(last, first - 1, -step))])
