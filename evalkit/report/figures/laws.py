"""Loss against N, D and C on log-log axes with the fitted laws and their residuals; and from loss to score."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from evalkit.report.figures import canvas
from evalkit.report.selection import Selection
from evalkit.report.trends.fits import TOO_FEW, FittedLaw
from evalkit.report.trends.twostep import TwoStep
from evalkit.stats.intervals import NORMAL

_NAMES = {"N": "parameters (N)", "D": "tokens (D)", "C": "training FLOPs (C)"}
_PANELS = 9
_TAKES = (
    "a law takes the held-out loss of at least 3 sizes of one ladder beside the one held out, or of 5 checkpoints of "
    "one training"
)


def figure(selection: Selection, laws: Sequence[FittedLaw]) -> canvas.Figure | str:
    """Return the figure of the loss, or why there is none."""
    single = [law for law in laws if law.law and law.symbol in _NAMES]
    if not single:
        reasons = [f"{law.of}: {law.reason}" for law in laws if law.reason != TOO_FEW]
        return "; ".join([_TAKES, *reasons])
    panels = [canvas.Panel(title=f"loss against {_title(law)}", draw=partial(_law, selection, law)) for law in single]
    for law in (law for law in laws if law.law and law.symbol in ("N", "N,D")):
        title = f"residuals: {_title(law)}" if law.several else f"residuals of the law in {law.symbol}"
        panels.append(canvas.Panel(title=title, draw=partial(_residuals, selection, law)))
    what = ", or ".join(dict.fromkeys(law.what for law in single))
    return canvas.Figure(
        name="laws",
        title="Laws of the loss",
        caption=(
            f"The loss is {what}. Filled points were fitted, hollow ones held out. The line is solid over "
            "the range of the fit and dashed beyond; the band is the 90% interval of the curve from refits. D: the "
            "checkpoints of one model, from a thirtieth of the training on. Bars: 95% intervals of the losses, where "
            "their standard errors are known."
        ),
        panels=panels,
    )


def _title(law: FittedLaw) -> str:
    """Name a law in a panel's narrow heading."""
    return f"{law.symbol}: {canvas.shorten(law.ladder, length=18)}" if law.several else law.symbol


def _law(selection: Selection, fitted: FittedLaw, axes: Any) -> None:
    assert fitted.law
    inside = [fitted.x(p)[0] for p in fitted.points if not p.held]
    every = [fitted.x(p)[0] for p in fitted.points]
    canvas.sizes_axis(axes, every, label=_NAMES[fitted.symbol])
    low_x, high_x = axes.get_xlim()
    grid = np.geomspace(low_x, high_x, 200)
    low, high = fitted.law.band(grid)
    axes.fill_between(grid, low, high, color=canvas.BLUE, alpha=0.15, lw=0)
    curve = fitted.law.predict(grid)
    within = (grid >= min(inside)) & (grid <= max(inside))
    axes.plot(grid, curve, color=canvas.BLUE, lw=1.0, ls=(0, (4, 3)))
    axes.plot(grid[within], curve[within], color=canvas.BLUE)
    ends = _points(
        axes, selection, [(fitted.x(p)[0], p.loss, NORMAL * p.stderr, p.held, p.facts.name) for p in fitted.points]
    )
    low_y, high_y = ([p.loss + sign * np.nan_to_num(NORMAL * p.stderr) for p in fitted.points] for sign in (-1, 1))
    axes.set_ylim(max(min(*low_y, *curve), min(low_y) / 2, 1e-9) * 0.94, max(high_y) * 1.06)
    axes.set_yscale("log")
    _plain_ticks(axes)
    axes.set_ylabel("loss (nats)")
    warning = "does not fall" if fitted.law.flat else "few sizes" if fitted.law.warning else ""
    corner = 0.16 if fitted.law.flat else 0.97  # points that fall leave the upper right free
    for text, colour, height in (
        (warning, canvas.VERMILION, corner), (f"α = {fitted.law['alpha']:.2f}", canvas.SOFT, corner - 0.09)
    ):  # fmt: skip
        axes.text(
            0.98, height, text, transform=axes.transAxes, ha="right", va="top", color=canvas.LETTERS.get(colour, colour)
        )
    canvas.label_ends(axes, ends)


_Point = tuple[float, float, float, bool, str]  # x, y, half of a bar or NaN, held out, model


def _points(axes: Any, selection: Selection, points: Sequence[_Point]) -> list[Any]:
    """Draw fitted points filled and held-out ones hollow; return labels of the held-out ones."""
    for held, colour, face in ((False, canvas.BLUE, canvas.BLUE), (True, canvas.VERMILION, "none")):
        bars = [(x, y, y - half, y + half) for x, y, half, out, _ in points if out == held]
        if bars:
            canvas.errorbars(axes, bars, colour, fmt="o", markerfacecolor=face, zorder=3)
    last = {n: (x, y, selection.labels.get(n, n), canvas.VERMILION) for x, y, _, held, n in points if held}
    return list(last.values())


def _plain_ticks(axes: Any) -> None:
    """Give a short logarithmic axis a few round ticks."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    low, high = axes.get_ylim()
    ticks = [tick for tick in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high]
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _residuals(selection: Selection, fitted: FittedLaw, axes: Any) -> None:
    points = [
        (fitted.x(p)[0], 100 * fitted.residual(p), 100 * NORMAL * p.stderr / p.loss, p.held, p.facts.name)
        for p in fitted.points
    ]
    canvas.sizes_axis(axes, [p[0] for p in points], label=_NAMES["N"])
    axes.axhline(0, color=canvas.SOFT, lw=0.8)
    ends = _points(axes, selection, points)
    reach = 1.15 * max(abs(p[1]) + (p[2] if p[2] == p[2] else 0.0) for p in points) or 1.0
    axes.set_ylim(-reach, reach)
    axes.set_ylabel("measured / fitted − 1 (%)")
    canvas.label_ends(axes, ends)


def task_figure(selection: Selection, two_steps: Sequence[TwoStep]) -> canvas.Figure | str:
    """Return the figure from loss to score, or why there is none."""
    if not two_steps:
        return "it takes a task scored as a share (such as accuracy) and 5 models or checkpoints whose loss is known"
    widest = sorted(two_steps, key=_range, reverse=True)
    shown = [two for two in two_steps if two in widest[:_PANELS]]
    selected = (
        f" The {len(shown)} of {len(two_steps)} tasks with the widest range." if len(shown) < len(two_steps) else ""
    )
    several = len({two.ladder for two in two_steps}) > 1
    panels = [canvas.Panel(title=_task_title(two, several), draw=partial(_task, selection, two)) for two in shown]
    return canvas.Figure(
        name="tasks",
        title="From loss to score",
        caption=(
            "Pale: checkpoints on the way; filled: the ends of the fitted trainings; hollow: models held out. Bars: "
            "95% intervals over documents, at the ends. The curve is a sigmoid from chance (dashed), or from 0 where "
            f"scores lie below chance, with its 90% band from refits.{selected}"
        ),
        panels=panels,
    )


def _task_title(two: TwoStep, several: bool) -> str:
    if several:
        return f"{canvas.shorten(two.task, length=16)}, {canvas.shorten(two.ladder, length=16)}"
    return f"{two.task}: {two.metric}"


def _range(two: TwoStep) -> float:
    values = [p.measurement.value for p in two.pairs]
    return max(values) - min(values)


def _task(selection: Selection, two: TwoStep, axes: Any) -> None:
    loss = np.array([p.loss for p in two.pairs])
    grid = np.linspace(loss.min(), loss.max(), 150)
    low, high = two.law.band(grid)
    axes.fill_between(grid, low, high, color=canvas.BLUE, alpha=0.15, lw=0)
    axes.plot(grid, two.law.predict(grid), color=canvas.BLUE, lw=1.3)
    on_the_way = [p for p in two.pairs if not p.last]
    values = [p.measurement.value for p in on_the_way]
    axes.plot([p.loss for p in on_the_way], values, ".", color=canvas.SOFT, alpha=0.3, ms=4, mew=0)
    ends = []
    for pair in (p for p in two.pairs if p.last):
        m = pair.measurement
        colour = canvas.VERMILION if pair.held else canvas.BLUE
        face = {"markerfacecolor": "none"} if pair.held else {}
        canvas.errorbars(axes, [(pair.loss, m.value, m.low, m.high)], colour, marker="o", zorder=3, **face)
        if pair.held:
            ends.append((pair.loss, m.value, selection.labels[m.model.name], colour))
    chance = two.pairs[0].measurement.chance
    if chance is not None:
        axes.axhline(chance, color=canvas.SOFT, lw=0.8, ls=(0, (4, 3)), zorder=1)
        ends.append((float(grid[0]), chance, "chance", canvas.SOFT))
    # The best models are on the right, next to their labels.
    pad = 0.04 * float(np.ptp(loss))
    axes.set_xlim(loss.max() + pad, loss.min() - pad)
    axes.set_xlabel(f"{canvas.shorten(two.what, length=30)}  (less to the right)")
    some = two.pairs[0].measurement
    axes.set_ylabel(canvas.axis_name(some.metric, unit=some.unit))
    canvas.label_ends(axes, ends)
