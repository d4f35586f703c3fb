"""How figures are drawn: panels of one size and font, direct labels, and reproducible files.

A panel is 3.6 x 2.8 inches with 9-point text, so a phone shows one at full size. Colours are those of
Okabe and Ito (2008), distinguishable with every common colour blindness; yellow, too pale on white, is left out.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.extras import require
from evalkit.report.figures import alternative_text

INK, SOFT, RULE = "#20242b", "#666b75", "#dddfe3"
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DASHES: tuple[Any, ...] = (
    "-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (9, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (2, 3))
)  # fmt: skip
# Letters need more contrast than lines: these are the colours in which a line's name is written on white.
LETTERS = {
    ORANGE: "#8a5f00", GREEN: "#00755a", PURPLE: "#a1497a", SKY: "#21719f", VERMILION: "#b34e00",
}  # fmt: skip

WIDTH, HEIGHT = 3.6, 2.8  # inches of one panel
_LEAST, _ROWS = 3.0, 3  # on paper: inches of the narrowest panel, and the rows of panels that a page holds
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.56, 0.14, 0.50, 0.36  # inches around its axes
_LABELS = 1.14  # inches kept free at the right for direct labels
_TEXT = 8.5

STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": _TEXT,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.labelsize": _TEXT,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "text.color": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.0,
    "figure.facecolor": "white",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # fonts are embedded as TrueType; journals refuse Type 3
}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One set of axes: its title and the function that draws it. labels: whether direct labels are at its right."""

    title: str
    draw: Callable[[Any], None]
    labels: bool = True


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure: its name (in files and links), heading, caption, and its panels."""

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure as files: the whole as SVG and PNG, and each panel as an SVG of its own for the page.

    alternatives: what each panel shows, in words.
    """

    figure: Figure
    svg: str
    png: bytes
    panels: Sequence[str]
    alternatives: Sequence[str]

    @property
    def alternative(self) -> str:
        """What the figure shows, in words."""
        titled = zip(self.figure.panels, self.alternatives, strict=True)
        return " ".join([f"{self.figure.title}.", *(f"{panel.title}: {text}" for panel, text in titled)])


def render(figure: Figure) -> Drawn:
    """Draw a figure. The same panels give the same bytes (no dates, fixed ids)."""
    matplotlib = require("matplotlib", "figures")
    # The Agg canvas is requested by name below, so nothing depends on a display or changes the user's backend.
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, "svg.hashsalt": figure.name}):
        figure_canvas = _compose(figure.panels)
        png, svg = _png(figure_canvas), _svg(figure_canvas)
        alternatives = [alternative_text.of(axes) for axes in figure_canvas.axes]
        single = [_svg(_compose([panel])) if len(figure.panels) > 1 else svg for panel in figure.panels]
    named = [inline(text, f"{figure.name}-{i}") for i, text in enumerate(single)]
    return Drawn(figure=figure, svg=svg, png=png, panels=named, alternatives=alternatives)


def pdf(figure: Figure, *, width: float) -> list[bytes]:
    """Draw a figure `width` inches wide as PDF with embedded fonts: a file for every three rows of panels."""
    matplotlib = require("matplotlib", "figures")
    columns = max(1, min(int(width / _LEAST), len(figure.panels)))
    most = columns * _ROWS
    files = []
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
        for start in range(0, len(figure.panels), most):
            out = io.BytesIO()
            drawn = _compose(figure.panels[start : start + most], columns=columns, panel=width / columns)
            drawn.savefig(out, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
            files.append(out.getvalue())
    return files


def _compose(panels: Sequence[Panel], *, columns: int | None = None, panel: float = WIDTH) -> Any:
    """Lay panels out in rows of `columns` (at most three), all of one size. panel: the width of one, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    columns = columns or (2 if len(panels) in (2, 4) else min(3, len(panels)))
    rows = -(-len(panels) // columns)
    width, height = columns * panel, rows * HEIGHT
    canvas = Canvas(figsize=(width, height))
    FigureCanvasAgg(canvas)
    for i, content in enumerate(panels):
        row, column = divmod(i, columns)
        right = _LABELS if content.labels else _RIGHT
        left, bottom = column * panel + _LEFT, (rows - 1 - row) * HEIGHT + _BOTTOM
        box = (left / width, bottom / height, (panel - _LEFT - right) / width, (HEIGHT - _BOTTOM - _TOP) / height)
        axes = canvas.add_axes(box)
        axes.set_title(content.title, x=-0.4 / (panel - _LEFT - right))
        content.draw(axes)
    return canvas


def _png(canvas: Any) -> bytes:
    out = io.BytesIO()
    canvas.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()


def _svg(canvas: Any) -> str:
    out = io.StringIO()
    canvas.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"[ \t]+\n", "\n", out.getvalue())


# In the page the greys follow the theme, as do colours that would be lost on a dark background.
_THEMED = {
    INK: "var(--ink)", SOFT: "var(--soft)", RULE: "var(--rule)", BLUE: "var(--blue)", GREEN: "var(--green)",
    VERMILION: "var(--vermilion)", PURPLE: "var(--purple)", ORANGE: "var(--orange)", SKY: "var(--sky)",
    LETTERS[GREEN]: "var(--green-letters)", LETTERS[VERMILION]: "var(--vermilion-letters)",
    LETTERS[PURPLE]: "var(--purple-letters)", LETTERS[ORANGE]: "var(--orange-letters)",
    LETTERS[SKY]: "var(--sky-letters)",
}  # fmt: skip


def inline(svg: str, name: str) -> str:
    """Make an SVG file a part of a page: no prologue, unique ids, a transparent background, the page's colours."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r'(<g id="[^"]*patch_1">\s*<path [^>]*style=")fill: #ffffff', r"\1fill: none", body, count=1)
    for colour, variable in _THEMED.items():
        body = body.replace(colour, variable)
    return body.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1).strip()


def count(value: float) -> str:
    """Write a count in at most three digits and a unit.

    >>> count(70_426_624), count(308480), count(3e11), count(1.25e13)
    ('70M', '308k', '300B', '1.2e13')
    """
    for size, unit in ((1e12, None), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            if unit is None:
                return f"{value:.1e}".replace("+", "")
            scaled = value / size
            return (f"{scaled:.0f}" if scaled >= 9.95 else f"{scaled:.1f}".removesuffix(".0")) + unit
    return f"{value:.0f}"


def sizes_axis(axes: Any, values: Sequence[float], *, label: str) -> None:
    """Make x logarithmic with a tick at each value, leaving out those that would touch their neighbour."""
    axes.set_xscale("log")
    low, high = min(values), max(values)
    pad = (high / low) ** 0.06 if high > low else 2.0
    axes.set_xlim(low / pad, high * pad)
    axes.set_xlabel(label)
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.xaxis.set_minor_locator(NullLocator())
    room = 0.03 + 0.04 * max(len(count(value)) for value in values)  # of the axis, for a label
    axes.xaxis.set_major_locator(FixedLocator(_apart(sorted(set(values)), (high / low) ** room)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))


def _apart(values: Sequence[float], ratio: float) -> list[float]:
    """Keep the first and the last value, and each other value that is `ratio` away from all of these."""
    chosen = [values[0], values[-1]] if values[-1] / values[0] >= ratio else [values[-1]]
    for value in values[-2:0:-1]:
        if all(max(value / other, other / value) >= ratio for other in chosen):
            chosen.append(value)
    return sorted(chosen)


def errorbars(axes: Any, points: Sequence[tuple[float, float, float, float]], colour: str, **style: Any) -> None:
    """Draw (x, value, low, high) with bars from low to high; a bound that is NaN has no bar."""
    import numpy as np

    x, value, low, high = np.asarray(points, dtype=float).T
    below, above = np.nan_to_num(value - low), np.nan_to_num(high - value)
    bars = np.clip(np.vstack([below, above]), 0.0, None)
    axes.errorbar(x, value, yerr=bars, color=colour, elinewidth=0.9, capsize=0, **style)


def label_ends(axes: Any, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write (x, y, text, colour) at the right of the axes, each near its point, without overlaps.

    Call it last: the limits must be final.
    """
    if not ends:
        return
    axes.get_xlim(), axes.get_ylim()  # matplotlib computes the limits lazily
    transform, inverse = axes.transData, axes.transAxes.inverted()
    heights = [float(inverse.transform(transform.transform((x, y)))[1]) for x, y, _, _ in ends]
    gap = (_TEXT + 2.5) / 72 / (HEIGHT - _BOTTOM - _TOP)
    placed = _spread(heights, gap=gap)
    for (x, y, text, colour), level in zip(ends, placed, strict=True):
        axes.annotate(
            shorten(text), xy=(x, y), xycoords="data", xytext=(1.035, level), textcoords="axes fraction",
            color=LETTERS.get(colour, colour), va="center", ha="left", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "alpha": 0.5, "shrinkA": 1, "shrinkB": 4},
        )  # fmt: skip


def _spread(heights: Sequence[float], *, gap: float) -> list[float]:
    """Move heights apart until each is at least `gap` from the next, within 0..1 if there is room.

    Groups that touch are merged and centred on their mean.
    """
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    blocks: list[tuple[float, list[int]]] = []  # lowest height, members from below

    def settle(members: list[int]) -> float:
        centre = sum(heights[i] for i in members) / len(members)
        span = gap * (len(members) - 1)
        return min(max(centre - span / 2, 0.0), max(1.0 - span, 0.0))

    for i in order:
        members = [i]
        low = settle(members)
        while blocks and blocks[-1][0] + gap * len(blocks[-1][1]) > low:
            members = blocks.pop()[1] + members
            low = settle(members)
        blocks.append((low, members))
    placed = [0.0] * len(heights)
    for low, members in blocks:
        for position, i in enumerate(members):
            placed[i] = low + gap * position
    return placed


def ordered(position: int, total: int) -> tuple[str, str]:
    """Return the colour and marker of one of `total` ordered items, such as sizes."""
    if total <= len(SERIES):
        return SERIES[position], MARKERS[position]
    return (*SERIES, SOFT)[position % (len(SERIES) + 1)], MARKERS[position % len(MARKERS)]


def axis_name(metric: str, *, unit: str = "", higher_is_better: bool = True) -> str:
    """Name a score's axis: the metric, its unit, and an arrow down where less is better."""
    return shorten(metric, length=22) + (f" ({unit})" if unit else "") + ("" if higher_is_better else "  ↓")


def log_scores(axes: Any, values: Sequence[float]) -> None:
    """Make y logarithmic, with ticks at 1, 2 and 5 of each decade, or at about four powers of ten."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_yscale("log")
    low, high = math.log10(min(values)), math.log10(max(values))
    decades = range(math.floor(low), math.ceil(high) + 1)
    step = max(1, -(-len(decades) // 5))
    ticks = [10.0**d for d in decades[::step]] if high - low > 2 else [m * 10.0**d for d in decades for m in (1, 2, 5)]
    bottom, top = axes.get_ylim()
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if bottom <= tick <= top]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value < 1e4 else count(value)))


def wide(values: Sequence[float]) -> bool:
    """Whether positive values span so much that a logarithmic axis shows them better."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > 4


def shorten(text: str, *, length: int = 14) -> str:
    """Cut a label that is too long for its margin, leaving out its middle.

    >>> shorten("world_pronouns"), shorten("crows_pairs_english_age")
    ('world_pronouns', 'crows_p…sh_age')
    """
    return text if len(text) <= length else f"{text[: length // 2]}…{text[-(length - length // 2 - 1) :]}"
