"""evalkit report-ladder: the page of a ladder on the generated world."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = (
    "Report on a ladder on the generated world: every level, with seeds, controls and the training text's overlap."
)
EXAMPLES = """examples:
  evalkit report-ladder runs/ladder/* runs/ladder-patterns/* --documents 75000 --out reports/ladder.md
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs on the world suite")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the page, as Markdown")
    parser.add_argument(
        "--documents",
        type=int,
        required=True,
        help="documents of the training text, which is searched for the items",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the page."""
    from evalkit.errors import check_whole
    from evalkit.files import write_atomic
    from evalkit.report.ladder import page as ladder_page
    from evalkit.report.ladder.scores import read

    check_whole("--documents", arguments.documents)
    rungs, lines, facts = read(arguments.runs)
    body = ladder_page.page(rungs, lines, facts, command="make report")
    write_atomic(arguments.out, f"{body}\n\n{ladder_page.separation(arguments.documents)}\n")
    print(f"wrote {arguments.out}")
