"""evalkit baseline: save a run as a small file to commit; show the trend over many of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from evalkit.commands import options

SUMMARY = "Save a run as a small file to commit; show the trend over many of them."
EXAMPLES = """examples:
  evalkit baseline save runs/main baselines/main.json
  evalkit baseline history baselines/*.json --csv trend.csv     in the order given, the oldest first
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the two actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="save|history")
    save = actions.add_parser("save", help="write a baseline file from a run")
    save.add_argument("run", type=Path, metavar="RUN", help="run folder")
    save.add_argument("file", type=Path, metavar="FILE", help="the baseline file, for example baselines/main.json")
    history = actions.add_parser("history", help="the trend of each metric over baselines and runs")
    history.add_argument("files", type=Path, nargs="+", metavar="FILE", help="baseline files or run folders, in order")
    history.add_argument("--csv", type=Path, metavar="FILE", help="also write a line per metric and baseline")
    history.add_argument("--all-metrics", action="store_true", help="every metric, not only each task's first")


def run(arguments: argparse.Namespace) -> None:
    """Save, or show the history."""
    from evalkit.comparison import baseline, history
    from evalkit.files import write_atomic

    if arguments.action == "save":
        size = baseline.save(baseline.read(arguments.run), arguments.file)
        print(f"saved {arguments.run} as {arguments.file} ({size:,} bytes)")
        return
    past = [baseline.read(path) for path in arguments.files]
    trends = history.trends(past, all_metrics=arguments.all_metrics)
    history.show(past, trends, options.console())
    if arguments.csv:
        write_atomic(arguments.csv, history.as_csv(past, trends))
