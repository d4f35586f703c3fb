"""evalkit baseline: save a run as a small file to commit; show the trend over many of them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from evalkit.commands import history
from evalkit.errors import UsageError
from evalkit.runs.remote import place

SUMMARY = "Save a run as a small file to commit; show the trend over many of them."
EXAMPLES = """examples:
  evalkit baseline save runs/main baselines/main.json
  evalkit baseline save runs/main scores/today.json --commit $GITHUB_SHA --date 2026-11-30
  evalkit baseline history baselines/*.json --csv trend.csv     the same as evalkit history
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the two actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="save|history")
    summary = "Write a baseline file from a run."
    save = actions.add_parser("save", help=summary, description=summary)
    save.add_argument("run", type=place, metavar="RUN", help="run folder")
    save.add_argument("file", type=Path, metavar="FILE", help="the baseline file, for example baselines/main.json")
    save.add_argument("--commit", default="", metavar="HASH", help="the commit to record, for a file kept outside git")
    save.add_argument("--date", default="", metavar="DAY", help="its day to record, for example 2026-11-30")
    history.configure(actions.add_parser("history", help=history.SUMMARY, description=history.SUMMARY))


def run(arguments: argparse.Namespace) -> None:
    """Save, or show the history."""
    from evalkit.comparison import baseline

    if arguments.action == "history":
        history.run(arguments)
        return
    if wrong := baseline.wrong_record(arguments.commit, arguments.date):
        raise UsageError(f"--{wrong}")
    evidence = replace(baseline.read(arguments.run), commit=arguments.commit, date=arguments.date)
    size = baseline.save(evidence, arguments.file)
    print(f"saved {arguments.run} as {arguments.file} ({size:,} bytes)")
