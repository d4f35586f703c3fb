"""The figure of an audit: signal against noise, a point per task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from evalkit.audits.audit import Audit
from evalkit.audits.findings import Finding
from evalkit.audits.texts import at_shots, name
from evalkit.report.figures import canvas

# Lines of equal ratio that are drawn.
_RATIOS = (1, 10, 100)


def figure(audit: Audit) -> canvas.Figure | None:
    """Return the figure: a panel per number of shots; None where no task has both signal and noise."""
    panels = []
    for shots in sorted({f.key.shots for f in audit.main if f.key.shots is not None}):
        points = [f for f in audit.main if f.key.shots == shots and _noise(f) > 0 and f.signal > 0]
        if points:
            panels.append(canvas.Panel(title=at_shots(shots), draw=partial(_panel, points)))
    if not panels:
        return None
    return canvas.Figure(
        name="signal", title="Signal and noise", panels=panels,
        caption="The relative dispersion of the models' scores against the relative standard deviation of the last "
        "checkpoints, or of seeds (hollow). Lines: equal ratios; the upper left tells models apart best.",
    )  # fmt: skip


def _noise(finding: Finding) -> float:
    return finding.seed_noise if math.isnan(finding.noise) else finding.noise


def _logarithmic(axis: Any, values: Sequence[float]) -> tuple[float, float]:
    """Make an axis of percentages logarithmic, with ticks at 1, 2 and 5 times powers of ten -> its limits."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(values) / 1.6, max(values) * 1.6
    high = max(high, 4 * low)
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high < 60 * low else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))
    return low, high


def _panel(points: Sequence[Finding], axes: Any) -> None:
    noises, signals = [100 * _noise(f) for f in points], [100 * f.signal for f in points]
    left, right = _logarithmic(axes.xaxis, noises)
    bottom, top = _logarithmic(axes.yaxis, signals)
    for ratio in _RATIOS:
        axes.plot((left, right), (ratio * left, ratio * right), color=canvas.RULE, lw=0.8, zorder=0)
        x = min(right, top / ratio)
        if left * 1.2 < x and bottom * 1.2 < ratio * x:
            place = {"ha": "right", "va": "top", "xytext": (-3, -1), "textcoords": "offset points"}
            axes.annotate(f"SNR {ratio}", (x, ratio * x), color=canvas.SOFT, fontsize=6.5, **place)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    families = list(dict.fromkeys(f.family for f in points))
    ends = []
    for f, x, y in zip(points, noises, signals, strict=True):
        colour, marker = canvas.ordered(families.index(f.family), len(families))
        face = colour if not math.isnan(f.noise) else "white"
        axes.plot([x], [y], marker=marker, color=colour, markerfacecolor=face, ls="")
        ends.append((x, y, name(f.key.task, f.key.level, f.key.template), colour))
    axes.set_xlabel("noise")
    axes.set_ylabel("signal")
    canvas.label_ends(axes, ends)
