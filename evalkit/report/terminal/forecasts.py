"""Forecasts, and how they turned out, as text of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from evalkit import sinks
from evalkit.forecasts.observations import Forecast, Target
from evalkit.forecasts.scoring import BOTH, FORECASTS, NONE, Scored, Summary, summaries
from evalkit.forecasts.sealed import Sealed
from evalkit.report.forecasting import short, target_name
from evalkit.report.run_table import figure

WIDTH = 80


def forecasts(content: Sealed, tasks: Sequence[str]) -> str:
    """Return a table per target of the tasks given, then those without a forecast by reason."""
    lines: list[str] = []
    for target in content.targets:
        own = [f for series in content.series for f in series.forecasts if f.target == target and f.task in tasks]
        if not own:
            continue
        lines += [*wrapped(_heading(target, own, content)), ""]
        rows = [
            (_name(f), f"{figure(f.value)} {_band(f)}", figure(f.same), f"{100 * _probability(content, f):.0f}%")
            for f in own
            if f.reason is None
        ]
        lines += table(("task, metric, shots", f"forecast, {100 * own[0].level:.0f}% band", "same", "better"), rows)
        lines += _without(own)
        hidden = sum(f.target == target for series in content.series for f in series.forecasts) - len(own)
        lines += [f"({hidden} more series, parts of these tasks, are in the file)"] if hidden else []
        lines.append("")
    lines += wrapped(
        "same: the value of the largest model observed. better: the probability that the new model beats it by more "
        "than the noise of measuring both."
    )
    return "\n".join(map(sinks.terminal, lines))


def outcome(scored: Sequence[Scored], tasks: Sequence[str]) -> str:
    """Return a table per model that was measured, of the tasks given, and the mean scores of all forecasts."""
    lines: list[str] = []
    for target in dict.fromkeys(s.forecast.target for s in scored):
        own = [s for s in scored if s.forecast.target == target and s.series.key.task in tasks]
        if not own:
            continue
        lines += [*wrapped(f"{target_name(target)}: measured {own[0].actual.model}"), ""]
        rows = [
            (
                _name(s.forecast) + ("" if s.forecast.reason is None else " *"),
                f"{figure(s.forecast.value)} {_band(s.forecast)}", figure(s.actual.value),
                ("" if s.inside else "! ") + _signed(s.error), _signed(s.same_error),
            )
            for s in own
        ]  # fmt: skip
        lines += [*table(("task, metric, shots", "forecast, band", "actual", "error", "same's"), rows), ""]
    lines += [line for summary in summaries(scored) for line in wrapped(sentence(summary))]
    marks = {"!": any(not s.inside for s in scored), "*": any(s.forecast.reason is not None for s in scored)}
    notes = [
        text for mark, text in (("!", "! outside its band."), ("*", "* no forecast: the best guess.")) if marks[mark]
    ]
    return "\n".join(map(sinks.terminal, [*lines, *([" ".join(notes)] if notes else [])]))


def sentence(s: Summary) -> str:
    """Return the means of a summary in words."""
    unit = " points" if s.points else "% of the value"
    forecasts = f"{s.count} forecast{'s' * (s.count != 1)}"
    which = {FORECASTS: "", NONE: " withheld (scored by their best guesses)", BOTH: " of both kinds"}[s.of]
    return (
        f"{forecasts}{which}: mean |error| {s.error:.2f}{unit} ('same': {s.same_error:.2f}); {100 * s.coverage:.0f}% "
        f"in their {100 * s.level:.0f}% bands, half width {s.half_width:.2f} on average; CRPS {s.crps:.2f} ('same': "
        f'{s.same_error:.2f}); Brier score of "better than same" {s.brier:.3f} (a coin: 0.250).'
    )


def _heading(target: Target, own: Sequence[Forecast], content: Sealed) -> str:
    points = [p for series in content.series for p in series.points if series.key == own[0].series]
    sizes = sorted(p.parameters for p in points)
    family = f" of {own[0].family}" if own[0].family else ""
    return f"{target_name(target)}{family}, from {len(set(sizes))} sizes of {short(sizes[0])} to {short(sizes[-1])}"


def _probability(content: Sealed, forecast: Forecast) -> float:
    [series] = [series for series in content.series if series.key == forecast.series]
    return series.questions[list(series.forecasts).index(forecast)].probability


def _name(f: Forecast) -> str:
    return f"{f.task} {f.metric}" + ("" if f.shots is None else f" {f.shots}")


def _band(f: Forecast) -> str:
    return f"[{figure(f.low)}, {figure(f.high)}]"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{figure(abs(value))}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of at most WIDTH; a name that leaves too little room has a line of its own."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(1, len(header))]
    room = WIDTH - sum(widths) - 2 * len(widths)
    name_width = min(room, max(len(row[0]) for row in (header, *rows)))
    lines = []
    for name, *cells in (header, *rows):
        if len(name) > name_width:
            lines += wrapped(name)
            name = ""
        texts = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append("  ".join([f"{name:<{name_width}}", *texts]).rstrip())
    return lines


def _without(own: Sequence[Forecast]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for f in own:
        if f.reason is not None:
            reasons.setdefault(f.reason, []).append(f"{_name(f)} (same: {figure(f.same)})")
    for reason, names in reasons.items():
        yield from wrapped(f"no forecast: {', '.join(names)}: {reason}")


def wrapped(text: str) -> list[str]:
    """Return a text as lines of at most WIDTH."""
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=True)
