"""Forecasts against compute: the models observed, the band that widens to the target, what was measured, "same"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from evalkit.forecasts.observations import Forecast, Observation, Target
from evalkit.forecasts.scoring import Scored
from evalkit.forecasts.sealed import Sealed, SealedSeries
from evalkit.report.figures import canvas
from evalkit.report.measurements import by_shots
from evalkit.report.run_table import figure as figure_of
from evalkit.stats.intervals import NORMAL

MOST = 12  # panels of one figure


def figure(
    content: Sealed, scored: Sequence[Scored], tasks: Sequence[str], *, name: str = "forecasts",
    title: str = "Forecasts and what was measured",
) -> canvas.Figure:  # fmt: skip
    """Return a figure with a panel per task, at its fewest shots. tasks: those to show, in this order."""
    chosen: dict[tuple[str, str], SealedSeries] = {}
    for series in sorted(content.series, key=lambda series: by_shots(series.key.shots)):
        if series.key.task in tasks:
            chosen.setdefault((series.key.task, series.key.family), series)
    ordered = sorted(chosen.values(), key=lambda series: tasks.index(series.key.task))
    several = len({series.key.family for series in ordered}) > 1
    left_out = f" {len(ordered) - MOST} more tasks are in the table." if len(ordered) > MOST else ""
    return canvas.Figure(
        name=name,
        title=title,
        caption=(
            "Filled: the models that the forecast was made from, with 95% intervals over documents. Line and band: the "
            "forecast and its band. Hollow: what was measured of models that the forecast did not see. Dotted: the "
            "same as the largest seen. Grey: no forecast, the best guess. Dashed: chance. x: training compute."
            + left_out
        ),
        panels=[
            canvas.Panel(
                title=_title(series, several=several),
                draw=partial(_panel, series, [s for s in scored if s.series.key == series.key]),
            )
            for series in ordered[:MOST]
        ],
    )


def _title(series: SealedSeries, *, several: bool) -> str:
    shots = "" if series.key.shots in (0, None) else f", {series.key.shots} shots"
    family = f" ({series.key.family})" if several else ""
    return canvas.shorten(f"{series.key.task}{family}{shots}", length=30)


def _panel(series: SealedSeries, scored: Sequence[Scored], axes: Any) -> None:
    at = {series.forecasts[i].target: x for i, x in enumerate(_places(series))}
    points = [(_x(p), p) for p in series.points]
    actual = [(at[s.forecast.target], s.actual) for s in scored]
    compute = _by_compute(series)
    _axes(axes, series, [x for x, _ in points] + list(at.values()), compute=compute)
    largest = points[-1]
    ends = []
    colour = canvas.BLUE if any(f.reason is None for f in series.forecasts) else canvas.SOFT
    line = [(*largest[:1], *_noise(largest[1])), *((at[f.target], f.value, f.low, f.high) for f in _sorted(series, at))]
    x, value, low, high = zip(*line, strict=True)
    axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0, zorder=1)
    axes.plot(x, value, color=colour, lw=1.3, zorder=2)
    canvas.errorbars(axes, [(x, *_interval(p)) for x, p in points], canvas.INK, marker="o", ls="none", zorder=3)
    if actual:
        canvas.errorbars(
            axes, [(x, *_interval(o)) for x, o in actual], canvas.VERMILION, marker="o", markerfacecolor="white",
            ls="none", zorder=4,
        )  # fmt: skip
        ends.append((*_place(actual[-1]), "measured", canvas.VERMILION))
    same = series.forecasts[0].same
    axes.plot([largest[0], max(x)], [same, same], color=canvas.SOFT, lw=1.0, ls=":", zorder=2)
    ends.append((x[-1], same, "same", canvas.SOFT))
    ends.append((x[-1], value[-1], "forecast" if colour == canvas.BLUE else "no forecast", colour))
    if series.points[0].chance is not None and _near_chance(series):
        axes.axhline(series.points[0].chance, color=canvas.SOFT, lw=0.8, ls=(0, (4, 3)), zorder=1)
    if not series.higher_is_better and canvas.wide([p.value for p in series.points]):
        canvas.log_scores(axes, [*(p.value for p in series.points), *value])
    canvas.label_ends(axes, ends)
    axes.set_xlabel(f"{axes.get_xlabel()}\n{verdict(series, scored)}", labelpad=0.0, loc="left", fontsize=7.5)


def verdict(series: SealedSeries, scored: Sequence[Scored]) -> str:
    """Return in words how the farthest forecast turned out, or what it says before anything was measured."""
    if scored:
        last = max(scored, key=lambda s: s.forecast.target.flops or s.forecast.target.parameters)
        guess = (
            "no forecast" if last.forecast.reason is not None else "in its band" if last.inside else "outside its band"
        )
        return f"{guess}: off by {figure_of(abs(last.error))}, same by {figure_of(abs(last.same_error))}"
    if all(f.reason is not None for f in series.forecasts):
        return "no forecast"
    return f"better than same: {100 * series.questions[-1].probability:.0f}%"


def _by_compute(series: SealedSeries) -> bool:
    return all(p.flops for p in series.points)


def _axes(axes: Any, series: SealedSeries, places: Sequence[float], *, compute: bool) -> None:
    first = series.points[0]
    unit = "%" if first.ceiling == 100 else ""
    if compute:
        axes.set_xscale("log")
        axes.set_xlabel("training FLOPs")
        low, high = min(places), max(places)
        axes.set_xlim(low / 1.4, high * 1.4)
    else:
        canvas.sizes_axis(axes, list(places), label="parameters")
    axes.set_ylabel(canvas.axis_name(first.metric, unit=unit, higher_is_better=first.higher_is_better))


def _x(point: Observation | Target) -> float:
    return float(point.flops or point.parameters)


def _places(series: SealedSeries) -> list[float]:
    """Return where each forecast's target lies on the x axis; unknown tokens are those of the largest model."""
    if not _by_compute(series):
        return [float(f.target.parameters) for f in series.forecasts]
    largest = series.points[-1]
    per_parameter = (largest.flops or 1.0) / largest.parameters
    return [float(f.target.flops or per_parameter * f.target.parameters) for f in series.forecasts]


def _sorted(series: SealedSeries, at: dict[Target, float]) -> list[Forecast]:
    return sorted(series.forecasts, key=lambda f: at[f.target])


def _noise(point: Observation) -> tuple[float, float, float]:
    """Return the value with a 90% interval of its noise, where the band begins."""
    reach = 1.645 * (point.stderr or 0.0)
    return point.value, point.value - reach, point.value + reach


def _interval(point: Observation) -> tuple[float, float, float]:
    reach = math.nan if point.stderr is None else NORMAL * point.stderr
    return point.value, point.value - reach, point.value + reach


def _place(point: tuple[float, Observation]) -> tuple[float, float]:
    return point[0], point[1].value


def _near_chance(series: SealedSeries) -> bool:
    """Whether chance lies close enough to the values to be drawn without squeezing them."""
    chance, values = series.points[0].chance or 0.0, [p.value for p in series.points]
    spread = max(values) - min(values) or 1.0
    return min(values) - chance < spread
