"""evalkit import: results of anyone as one checked long table."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.errors import DataError, UsageError
from evalkit.runs.remote import Url, place

if TYPE_CHECKING:
    from evalkit.report.imports.layout import Layout
    from evalkit.report.measurements import Measurement

log = logging.getLogger(__name__)

_LISTED = 50  # faults that are printed
SUMMARY = "Check results of any source and write them as one long table, or lm-eval's samples as a run folder."
EXAMPLES = """examples:
  evalkit import results.csv --out table.csv                          a long table: names and cells are checked
  evalkit import theirs.csv --map model=run_name --map value=score --set family=mine --out table.csv
  evalkit import wandb.csv --wide 'eval/{task}/{metric}' --map model=Name --map tokens=train/tokens --out table.csv
  evalkit import lm-eval-results/ --models models.csv --out table.parquet   their sizes, tokens, FLOPs, seeds
  evalkit import runs/ reports/mine/results.csv --out table.csv       evalkit's own runs and reports
  evalkit import lm-eval-results/MODEL --run runs/theirs   its samples too, for compare, records, baseline
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "files", nargs="+", type=place, metavar="FILE",
        help="tables (.csv, .tsv, .parquet), lm-evaluation-harness results, run folders, folders of these two",
    )  # fmt: skip
    written = parser.add_mutually_exclusive_group(required=True)
    written.add_argument("--out", type=Path, metavar="TABLE", help="the table: .csv, .tsv or .parquet")
    written.add_argument(
        "--run", type=Path, metavar="FOLDER",
        help="instead of a table a run folder, of one model's results of lm-evaluation-harness and their samples "
        "(--log_samples); a folder of evalkit's own is read back",
    )  # fmt: skip
    parser.add_argument(
        "--map", action="append", default=[], metavar="COLUMN=HEADER", help="the header of one of the table's columns"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="COLUMN=TEXT", help="what all rows have in one column"
    )
    parser.add_argument(
        "--wide", action="append", default=[], metavar="PATTERN",
        help="headers of a column per task, such as eval/{task}/{metric}; METRIC_stderr is its standard error",
    )  # fmt: skip
    parser.add_argument(
        "--models", type=Path, metavar="FILE",
        help="CSV of a row per model: model, parameters, tokens, compute, step, seed, family, loss",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Read, check, write; every wrong cell is listed before anything is written."""
    from evalkit.report.identity import tell_apart
    from evalkit.report.imports import model_facts, tables

    if arguments.run:
        _import_run(arguments)
        return
    if arguments.out.suffix.lower() not in tables.SUFFIXES:
        raise UsageError(f"--out {arguments.out}: expected a name that ends with {', '.join(tables.SUFFIXES)}")
    measurements = _read(arguments.files, _layout(arguments))
    if arguments.models:
        measurements = model_facts.applied(
            measurements, model_facts.read(arguments.models), where=str(arguments.models)
        )
    identified = tell_apart(measurements)
    for note in identified.notes:
        log.warning("%s", note)
    rows = tables.rows(identified.measurements)
    if not rows:
        raise DataError("none of the given files holds a result")
    tables.write(arguments.out, rows)
    print(_summary(rows, arguments.out))


def _import_run(arguments: argparse.Namespace) -> None:
    """Write a run folder and print what it holds."""
    from evalkit.lm_eval.imported import import_run
    from evalkit.report.terminal import runs as run_terminal
    from evalkit.runs.remote import fetch

    if arguments.map or arguments.set or arguments.wide or arguments.models:
        raise UsageError("--map, --set, --wide and --models are of tables (--out), not of --run")
    imported = import_run([fetch(place) for place in arguments.files], arguments.run)
    run_terminal.show(imported.results, options.console(), all_metrics=True)
    for reason in imported.left_out:
        log.warning("left out: %s", reason)
    print(f"stored in {imported.folder}")


def _read(paths: Sequence[Path | Url], layout: Layout) -> list[Measurement]:
    """Read all files; tables by the layout. Raises DataError where a cell is wrong or a file cannot be read."""
    from evalkit.report import measurements
    from evalkit.report.imports import tables

    found: list[Measurement] = []
    faults: list[str] = []
    for path in paths:
        if isinstance(path, Path) and path.suffix.lower() in tables.SUFFIXES and path.is_file():
            of_table, wrong = tables.read(path, layout)
            found += of_table
            faults += wrong
        else:
            others, problems = measurements.read([path])
            found += others
            faults += map(str, problems)
    for fault in faults[:_LISTED]:
        log.error("%s", fault)
    if faults:
        count = "one fault" if len(faults) == 1 else f"{len(faults):,} faults"
        listed = f", of which {_LISTED} are listed" if len(faults) > _LISTED else ""
        raise DataError(f"nothing was written: {count} in the input{listed}")
    return found


def _layout(arguments: argparse.Namespace) -> Layout:
    from evalkit.report.imports.layout import Layout

    return Layout(
        names=_pairs(arguments.map, "--map"), constants=_pairs(arguments.set, "--set"), wide=tuple(arguments.wide)
    )


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Read COLUMN=TEXT. Raises UsageError for anything else, and for a column named twice."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise UsageError(f"{option} {text}: expected COLUMN=TEXT, for example {option} model=name")
        if pairs.setdefault(name, value) != value:
            raise UsageError(f"{option} names the column {name} twice")
    return pairs


def _summary(rows: Sequence[dict[str, object]], out: Path) -> str:
    """Return what was written, and what a forecast lacks."""
    models = {(row["family"], row["model"]) for row in rows}
    families, tasks = {row["family"] for row in rows}, {row["task"] for row in rows}
    text = (
        f"wrote {out}: {len(rows):,} values of {_many(len(models), 'model')} ({_many(len(families), 'ladder')}) "
        f"on {_many(len(tasks), 'task')}"
    )
    for name, lacks in (("parameters", "no forecast"), ("tokens", "no law in tokens"), ("stderr", "unknown noise")):
        lacking = sum(row[name] is None for row in rows)
        if lacking:
            text += f"\n  {lacking:,} without {name}: {lacks}"
    return text


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
