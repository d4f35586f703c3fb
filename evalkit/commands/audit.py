"""evalkit audit: which benchmark can tell models of a size apart."""

from __future__ import annotations

import argparse
import logging
import shlex
from pathlib import Path

from evalkit.commands import options
from evalkit.runs.remote import place

log = logging.getLogger(__name__)

SUMMARY = "Audit benchmarks by stored runs: which of them can tell models of a size apart."
EXAMPLES = """examples:
  evalkit audit runs                                  every run under a folder: sizes, seeds, checkpoints
  evalkit audit runs/ladder --levels --out reports/audit
  evalkit audit checkpoints/mine/eval --last 8        the curve of `train --eval-every` or `watch`
  evalkit audit pythia-evals --near 1B                results of lm-evaluation-harness, models of about 1B
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=place,
        metavar="RUN",
        help="run folders, folders of them, their URLs, others' results",
    )
    parser.add_argument("--out", type=Path, help="folder for audit.md, audit.csv and the figure")
    parser.add_argument("--title", default="Audit of benchmarks", help="heading of the page")
    parser.add_argument(
        "--last", type=int, default=5, metavar="K", help="how many last checkpoints of a training count (default: 5)"
    )
    parser.add_argument(
        "--near", metavar="N", help="only models with between a third and three times as many parameters, such as 1B"
    )
    parser.add_argument("--tasks", default="", metavar="TASK,...", help="only these tasks")
    parser.add_argument("--shots", metavar="K,...", help="only these numbers of shots")
    parser.add_argument("--levels", action="store_true", help="judge the levels of tasks too (in --out)")


def run(arguments: argparse.Namespace) -> None:
    """Read the runs, print the tables, write the page."""
    from evalkit.audits import page
    from evalkit.audits.audit import audit

    near = None if arguments.near is None else options.count(arguments.near, "--near")
    tasks = [name.strip() for name in arguments.tasks.split(",") if name.strip()]
    shots = options.integers(arguments.shots, "--shots") if arguments.shots else ()
    found = audit(
        arguments.runs, last=arguments.last, near=near, tasks=tasks, shots=shots, levels=arguments.levels
    )  # fmt: skip
    for problem in found.problems:
        log.warning("left out: %s", problem)
    page.show(found, options.console())
    if arguments.out:
        files = page.write(found, arguments.out, title=arguments.title, command=_command(arguments))
        print(f"wrote {', '.join(map(str, files))}")


def _command(arguments: argparse.Namespace) -> str:
    """Return the command line that was parsed."""
    parts = ["evalkit", "audit", *map(str, arguments.runs)]
    if arguments.last != 5:
        parts += ["--last", str(arguments.last)]
    for name in ("near", "tasks", "shots"):
        if getattr(arguments, name):
            parts += [f"--{name}", getattr(arguments, name)]
    parts += ["--levels"] * arguments.levels
    if arguments.out:
        parts += ["--out", str(arguments.out)]
    if arguments.title != "Audit of benchmarks":
        parts += ["--title", arguments.title]
    return shlex.join(parts)
