"""evalkit records: the records of a run as a table."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from evalkit.errors import UsageError, unknown

SUMMARY = "Write the records of a run, or some of them, as CSV, JSON lines or parquet."
EXAMPLES = """examples:
  evalkit records runs/mine --where task=coqa --to parquet --out coqa.parquet
  evalkit records runs/mine --where task=arc_easy --where 'acc<50' --columns doc_id,gold,prediction
  evalkit records runs/mine --columns all --to jsonl > records.jsonl
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("run", metavar="RUN", help="folder of a run, or its URL")
    parser.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE",
        help="only records that meet this; also !=, <, <=, > and >=. Given several times, all must hold",
    )  # fmt: skip
    parser.add_argument(
        "--columns", default="", metavar="NAMES",
        help="columns, with commas between them; a name that has one itself in double quotes (default: all without "
        "texts; all: with gold, prediction, contexts, continuations, loglikelihoods and answers)",
    )  # fmt: skip
    parser.add_argument(
        "--to", default=None, metavar="FORMAT", help="csv, jsonl or parquet (default: FILE's ending, or csv)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write (default: standard output)")


def run(arguments: argparse.Namespace) -> None:
    """Write the table; print how many rows if it went to a file."""
    from evalkit.report.record_files import FORMATS, TEXT_FORMATS, write
    from evalkit.report.records import Table
    from evalkit.runs.remote import fetch, place
    from evalkit.runs.store import open_run

    ending = arguments.out.suffix[1:].lower() if arguments.out else ""
    to = arguments.to or ending or "csv"
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    if to == "parquet" and not arguments.out:
        raise UsageError("--to parquet writes a file: give --out FILE")
    try:
        [names] = csv.reader([arguments.columns or ","], skipinitialspace=True)
    except csv.Error as error:
        raise UsageError(f"--columns {arguments.columns!r}: {error}") from None
    columns = [name.strip() for name in names if name.strip()]
    table = Table(open_run(fetch(place(arguments.run)), unfinished=True), where=arguments.where, columns=columns)
    table.check_cells()
    if not arguments.out:
        TEXT_FORMATS[to](table, sys.stdout)
    else:
        print(f"{write(table, arguments.out, to):,} records in {arguments.out}")
