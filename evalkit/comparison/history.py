"""The trend of each metric over many baselines."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evalkit import metrics, tables
from evalkit.comparison import formatting
from evalkit.comparison.evidence import Evidence, Key, Sheet, Value, label
from evalkit.comparison.versions import names
from evalkit.sinks import csv_cell

_UNLIMITED = 1_000_000  # characters of a line, to measure a table that is not cut


@dataclass(frozen=True, kw_only=True)
class Trend:
    """One metric of one task by one protocol and wording at one number of shots.

    points: (value, comparable) per baseline, None for one without the metric. comparable: documents and versions are
    those of the last baseline that has the metric.
    """

    task: str
    protocol: str
    shots: int
    template: str
    metric: str
    points: Sequence[tuple[Value, bool] | None]

    @property
    def key(self) -> Key:
        """The identity of its sheets."""
        return Key(self.task, self.protocol, self.shots, self.template)

    @property
    def change(self) -> float:
        """Return last - first of the comparable values; NaN with fewer than two."""
        values = [point[0].value for point in self.points if point and point[1]]
        return values[-1] - values[0] if len(values) > 1 else math.nan


def trends(history: Sequence[Evidence], *, all_metrics: bool = False) -> list[Trend]:
    """Follow each metric (of each task the first one, or all) through baselines, oldest first."""
    keys: dict[tuple[Key, str], None] = {}
    for evidence in history:
        for key, sheet in evidence.sheets.items():
            keys |= {(key, name): None for name in list(sheet.statistics)[: None if all_metrics else 1]}
    return [_trend(history, *key) for key in keys]


def _trend(history: Sequence[Evidence], key: Key, metric: str) -> Trend:
    sheets = [evidence.sheets.get(key) for evidence in history]
    measured = [sheet if sheet and metric in sheet.statistics else None for sheet in sheets]
    last = next(_rules(sheet, metric) for sheet in reversed(measured) if sheet)
    points = [(sheet.values[metric], _rules(sheet, metric) == last) if sheet else None for sheet in measured]
    return Trend(**key._asdict(), metric=metric, points=points)


def _rules(sheet: Sheet, metric: str) -> tuple[object, ...]:
    """Return what must be equal for two values to be comparable."""
    return dict(sheet.signature), sheet.rules[metric], sheet.seeds, sheet.ids.tolist()


def higher_is_better(history: Sequence[Evidence], trend: Trend) -> bool:
    """Return whether more is better, of the rule that the last baseline with the metric has."""
    last = next(
        e.sheets[trend.key] for e, point in zip(reversed(history), reversed(trend.points), strict=True) if point
    )
    return metrics.get(trend.metric, last.rules[trend.metric]).higher_is_better


def show(history: Sequence[Evidence], lines: Sequence[Trend], console: Console) -> None:
    """Print a row per metric and a column per baseline, the last ones that fit."""
    hidden, table = 0, _table(history, lines, 0)
    unlimited = console.options.update(width=_UNLIMITED)
    while console.measure(table, options=unlimited).maximum > console.width and hidden < len(history) - 2:
        hidden += 1
        table = _table(history, lines, hidden)
    tables.show(table, console)
    if hidden:
        console.print(Text(f"{hidden} older not shown; --out draws all, --csv lists them", style="dim"))
    if any(point and not point[1] for trend in lines for point in trend.points):
        console.print(Text("* documents or version differ from the last: not comparable", style="yellow"))


def _table(history: Sequence[Evidence], lines: Sequence[Trend], hidden: int) -> Table:
    """Return the table without the first columns of values. hidden: how many."""
    return tables.table(
        ("task", "shots", "metric", *names(history)[hidden:], "last - first"),
        [
            (title(trend, lines), str(trend.shots), trend.metric, *map(_point, trend.points[hidden:]),
             formatting.signed(trend.change))
            for trend in lines
        ],
    )  # fmt: skip


def title(trend: Trend, lines: Sequence[Trend]) -> str:
    """Return the task with its wording, and with its protocol where it was run under several."""

    def alike(other: Trend) -> bool:
        return (other.task, other.shots, other.template) == (trend.task, trend.shots, trend.template)

    name = label(trend.task, trend.template)
    return f"{name} by {trend.protocol}" if len({other.protocol for other in lines if alike(other)}) > 1 else name


def _point(point: tuple[Value, bool] | None) -> str:
    if point is None:
        return ""
    return formatting.figure(point[0].value) + ("" if point[1] else "*")


def as_csv(history: Sequence[Evidence], lines: Sequence[Trend]) -> str:
    """Return a line per metric and baseline."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    figures_of = ("value", "low", "high", "documents", "comparable")
    about = ("commit", "date", "protocol", "template")
    writer.writerow(["file", "model", "hash", "task", "shots", "metric", *figures_of, *about])
    for trend in lines:
        for evidence, point in zip(history, trend.points, strict=True):
            if point:
                value, comparable = point
                origin = [evidence.path.name, evidence.model["model"], evidence.model["hash"]]
                figures = [f"{x:.9g}" if math.isfinite(x) else "" for x in (value.value, value.low, value.high)]
                documents = int(evidence.sheets[trend.key].scored.any(axis=1).sum())
                row = [*origin, trend.task, trend.shots, trend.metric, *figures, documents, int(comparable)]
                about = (evidence.commit, evidence.date, trend.protocol, trend.template)
                writer.writerow(map(csv_cell, map(str, [*row, *about])))
    return out.getvalue()
