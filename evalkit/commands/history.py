"""evalkit history: how scores changed over baselines and commits; a figure, a table and a badge of it."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.errors import CompareError, check_whole, unknown
from evalkit.runs.remote import place

if TYPE_CHECKING:
    from evalkit.comparison.badge import Badge
    from evalkit.comparison.evidence import Evidence
    from evalkit.comparison.history import Trend
    from evalkit.report.figures.history import Scores

SUMMARY = "Show how scores changed over baselines or commits: a table, a figure with bands, a badge."
EXAMPLES = """examples:
  evalkit history baselines/main.json                      every committed version of the file, from git
  evalkit history baselines/*.json --csv trend.csv         a file per release; runs too; the oldest first
  evalkit history baselines/main.json --out docs/scores    history.svg, .png and .csv, badge.svg and badge.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "files", type=place, nargs="+", metavar="FILE",
        help="baseline files and run folders, by their days or else in this order; of one file in git all versions",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write the figure, the table and the badge there")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line per metric and baseline")
    parser.add_argument("--tasks", default="", metavar="NAME,...", help="only these; the badge of one shows its score")
    parser.add_argument("--all-metrics", action="store_true", help="every metric, not only each task's first")
    parser.add_argument("--last", type=int, default=100, metavar="N", help="versions read from git (default: 100)")


def run(arguments: argparse.Namespace) -> None:
    """Show the history, and write what is asked for."""
    from evalkit.comparison import history, versions
    from evalkit.files import make_folder, write_atomic

    check_whole("--last", arguments.last)
    past = versions.follow(arguments.files, last=arguments.last)
    trends = _chosen(history.trends(past, all_metrics=arguments.all_metrics), arguments.tasks)
    history.show(past, trends, options.console())
    table = history.as_csv(past, trends)
    if arguments.csv:
        make_folder(arguments.csv.parent)
        write_atomic(arguments.csv, table)
    if arguments.out:
        make_folder(arguments.out)
        _write(arguments.out, past, trends, table)
        print(f"wrote history.svg, history.png, history.csv, badge.svg and badge.json into {arguments.out}")


def _chosen(trends: list[Trend], words: str) -> list[Trend]:
    tasks = [name for name in words.split(",") if name]
    known = list(dict.fromkeys(trend.task for trend in trends))
    for name in tasks:
        if name not in known:
            raise unknown("task", name, known, where="in the baselines")
    return [trend for trend in trends if trend.task in tasks or not tasks]


def _write(folder: Path, past: Sequence[Evidence], trends: Sequence[Trend], table: str) -> None:
    from evalkit.comparison import versions
    from evalkit.files import write_atomic
    from evalkit.report.figures import canvas
    from evalkit.report.figures import history as figures

    badge = _badge(past, trends)
    for name, content in (("history.csv", table), ("badge.svg", badge.svg()), ("badge.json", badge.endpoint())):
        write_atomic(folder / name, content)
    drawn = canvas.render(figures.figure(versions.names(past), _scores(past, trends)))
    write_atomic(folder / "history.svg", drawn.svg)
    write_atomic(folder / "history.png", drawn.png)


def _scores(past: Sequence[Evidence], trends: Sequence[Trend]) -> list[Scores]:
    """Return a panel per task and metric, with a line per number of shots."""
    from evalkit.comparison.history import higher_is_better, title
    from evalkit.report.figures.history import Point, Scores

    panels: dict[tuple[str, str], dict[str, list[Point]]] = {}
    better: dict[tuple[str, str], bool] = {}
    for trend in trends:
        panel = (title(trend, trends), trend.metric)
        better[panel] = higher_is_better(past, trend)
        panels.setdefault(panel, {})[f"{trend.shots}-shot"] = [
            Point(place=i, value=value.value, low=value.low, high=value.high, comparable=comparable)
            for i, (value, comparable) in ((i, point) for i, point in enumerate(trend.points) if point)
        ]
    return [
        Scores(title=name, metric=metric, higher_is_better=better[name, metric], lines=lines)
        for (name, metric), lines in panels.items()
    ]


def _badge(past: Sequence[Evidence], trends: Sequence[Trend]) -> Badge:
    """Return the badge: of a single score its value and interval; of several how the last baseline compares."""
    from evalkit.comparison import formatting
    from evalkit.comparison.badge import Badge

    message, colour = _verdict(past, {trend.key for trend in trends})
    if len(trends) > 1:
        return Badge(label="evalkit", message=message, colour=colour)
    [trend] = trends
    value = next(point[0] for point in reversed(trend.points) if point)
    score = formatting.figure(value.value)
    if not math.isnan(value.low):
        score += f" [{formatting.figure(value.low)}, {formatting.figure(value.high)}]"
    return Badge(label=f"{trend.task} {trend.metric}", message=score, colour="red" if colour == "red" else "blue")


def _verdict(past: Sequence[Evidence], keys: set[object]) -> tuple[str, str]:
    """Return in words, and a badge's colour, whether the last baseline is worse than the one before it."""
    from evalkit.comparison import comparison

    if len(past) < 2:
        return "first baseline", "blue"
    try:
        compared, _ = comparison.compare(past[-2], past[-1], comparison.Settings(allow=("tasks",)))
    except CompareError:
        return "not comparable with the last", "lightgrey"
    gating = [f for f in compared.gating if (f.task, f.protocol, f.shots, f.template) in keys]
    worse = sum(f.verdict == "worse" for f in gating)
    if worse:
        return f"{worse} of {len(gating)} worse", "red"
    better = sum(f.verdict == "better" for f in gating)
    return (f"{better} of {len(gating)} better" if better else f"no regression in {len(gating)}"), "brightgreen"
