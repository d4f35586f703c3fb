"""Loss against N, D and C on log-log axes with the fitted laws and their residuals; and from loss to score."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from evalkit.report.figures import canvas
from evalkit.report.fits import FittedLaw
from evalkit.report.selection import Selection
from evalkit.report.twostep import TwoStep

_NAMES = {"N": "parameters (N)", "D": "tokens (D)", "C": "training FLOPs (C)"}
_PANELS = 9


def figure(selection: Selection, found: Sequence[FittedLaw]) -> canvas.Figure | str:
    """Return the figure of the loss, or why there is none."""
    single = [law for law in found if law.law and law.symbol in _NAMES]
    if not single:
        return "; ".join(f"{law.symbol}: {law.reason}" for law in found) or "no model's loss or perplexity is known"
    panels = [
        canvas.Panel(title=f"loss against {law.symbol}", draw=partial(_law, selection, law)) for law in single
    ]  # fmt: skip
    both = [law for law in found if law.law and law.symbol in ("N", "N,D")]
    panels += [
        canvas.Panel(title=f"residuals of the law in {law.symbol}", draw=partial(_residuals, selection, law))
        for law in both
    ]
    return canvas.Figure(
        name="laws",
        title="Laws of the loss",
        caption=(
            f"The loss is {single[0].what}. Filled points were fitted, hollow ones held out. The line is solid over "
            "the range of the fit and dashed beyond; the band is the 90% interval of the curve from refits. D: the "
            "checkpoints of one model, from a thirtieth of the training on. The points have no bars of their own: the "
            "records of a loss carry none."
        ),
        panels=panels,
    )


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
    ends = _points(axes, selection, [(fitted.x(p)[0], p.loss, p.held, p.facts.name) for p in fitted.points])
    loss = [p.loss for p in fitted.points]
    axes.set_ylim(min(*loss, *curve) * 0.94, max(loss) * 1.06)
    axes.set_yscale("log")
    _plain_ticks(axes)
    axes.set_ylabel("loss (nats)")
    if fitted.law.warning:
        axes.text(0.98, 0.97, "few sizes", transform=axes.transAxes, ha="right", va="top", color=canvas.VERMILION)
    text = f"α = {fitted.law['alpha']:.2f}"
    axes.text(0.98, 0.88, text, transform=axes.transAxes, ha="right", va="top", color=canvas.SOFT)
    canvas.label_ends(axes, ends)


def _points(axes: Any, selection: Selection, points: Sequence[tuple[float, float, bool, str]]) -> list[Any]:
    """Draw fitted points filled and held-out ones hollow; return labels of the held-out ones."""
    kept = [p for p in points if not p[2]]
    axes.plot([p[0] for p in kept], [p[1] for p in kept], "o", color=canvas.BLUE, zorder=3)
    held = [p for p in points if p[2]]
    axes.plot([p[0] for p in held], [p[1] for p in held], "o", color=canvas.VERMILION, markerfacecolor="none", zorder=3)
    last = {name: (x, y, selection.labels.get(name, name), canvas.VERMILION) for x, y, _, name in held}
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
    points = [(fitted.x(p)[0], 100 * fitted.residual(p), p.held, p.facts.name) for p in fitted.points]
    canvas.sizes_axis(axes, [p[0] for p in points], label=_NAMES["N"])
    axes.axhline(0, color=canvas.SOFT, lw=0.8)
    ends = _points(axes, selection, points)
    reach = 1.15 * max(abs(p[1]) for p in points) or 1.0
    axes.set_ylim(-reach, reach)
    axes.set_ylabel("measured / fitted − 1 (%)")
    canvas.label_ends(axes, ends)


def task_figure(selection: Selection, found: Sequence[TwoStep]) -> canvas.Figure | str:
    """Return the figure from loss to score, or why there is none."""
    if not found:
        return "no task has a share as its metric and at least 5 fitted points with a loss"
    widest = sorted(found, key=_range, reverse=True)
    shown = [two for two in found if two in widest[:_PANELS]]
    rest = f" The {len(shown)} of {len(found)} tasks with the widest range." if len(shown) < len(found) else ""
    panels = [canvas.Panel(title=f"{two.task}: {two.metric}", draw=partial(_task, selection, two)) for two in shown]
    return canvas.Figure(
        name="tasks",
        title="From loss to score",
        caption=(
            "Pale: checkpoints on the way; filled: the ends of the fitted trainings; hollow: models held out. Bars: "
            "95% intervals over documents, at the ends. The curve is a sigmoid from chance (dashed), or from 0 where "
            f"scores lie below chance, with its 90% band from refits.{rest}"
        ),
        panels=panels,
    )


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
    # The best models stand at the right, next to their labels.
    pad = 0.04 * float(np.ptp(loss))
    axes.set_xlim(loss.max() + pad, loss.min() - pad)
    axes.set_xlabel(f"{canvas.shorten(two.what, length=30)}  (less to the right)")
    some = two.pairs[0].measurement
    axes.set_ylabel(canvas.axis_name(some.metric, unit=some.unit))
    canvas.label_ends(axes, ends)
