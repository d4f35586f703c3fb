"""What CI reads of a comparison or a gate: Markdown, JUnit and JSON, and the options for them."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands.helping import group
from evalkit.errors import EvalkitError, StoreError, check_whole

if TYPE_CHECKING:
    from evalkit.comparison.comparable import Pair
    from evalkit.comparison.comparison import Comparison
    from evalkit.comparison.evidence import Evidence
    from evalkit.comparison.flips import Flip


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is a regression."""
    rules = group(parser, "statistics")
    rules.add_argument("--alpha", type=float, default=0.05, help="familywise error over all verdicts (default: 0.05)")
    parser.add_argument(
        "--margin", action="append", default=[], metavar="[TASK=]POINTS",
        help="a change shown to be within this many points is the same; for all tasks, or for one",
    )  # fmt: skip
    rules.add_argument("--strict", action="store_true", help="also exit 1 if anything stays undecided")
    rules.add_argument(
        "--allow", action="append", default=[], metavar="FIELD",
        help="compare even if this differs: tasks, documents, seeds, metric, task, protocol, data",
    )  # fmt: skip


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add the options that name files."""
    files = group(parser, "output")
    files.add_argument(
        "--flips", type=int, default=12, metavar="N", help="changed answers in Markdown, up to 20 (default: 12)"
    )
    files.add_argument("--markdown", type=Path, metavar="FILE", help="write a comment for a pull request")
    files.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    files.add_argument("--json", type=Path, metavar="FILE", help="write all findings")


def allowed(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the fields that --allow names."""
    return tuple(name for words in arguments.allow for name in words.split(","))


def flips(
    arguments: argparse.Namespace, pairs: Sequence[Pair], base: Evidence, new: Evidence, comparison: Comparison
) -> list[Flip]:
    """Return the documents to list, of the tasks that got worse before all others; none where no page is written."""
    from evalkit.comparison.flips import worst
    from evalkit.comparison.markdown import FLIPS

    check_whole("--flips", arguments.flips, least=0)
    written = arguments.markdown or "GITHUB_STEP_SUMMARY" in os.environ
    return worst(pairs, base, new, comparison, limit=min(arguments.flips, FLIPS)) if written else []


def show(arguments: argparse.Namespace, comparison: Comparison, flips: Sequence[Flip]) -> None:
    """Print the findings, and write the files."""
    from evalkit.commands import options
    from evalkit.comparison import display, junit, markdown

    display.show(comparison, options.console())
    _write(arguments, page=markdown.page(comparison, flips), xml=junit.suite(comparison))
    if arguments.json:
        _save(arguments.json, json.dumps(comparison.to_json(), indent=1, ensure_ascii=False) + "\n")


def write_failure(arguments: argparse.Namespace, error: EvalkitError, *, command: str) -> None:
    """Write to the files why there is no comparison. command: which was to make it."""
    from evalkit.comparison import junit, markdown

    _write(arguments, page=markdown.failure(str(error)), xml=junit.failure(str(error), command=command))


def _write(arguments: argparse.Namespace, *, page: str, xml: str) -> None:
    """Write what CI reads: Markdown to a file and to the job's summary, JUnit."""
    if arguments.markdown:
        _save(arguments.markdown, page)
    if arguments.junit:
        _save(arguments.junit, xml)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(page + "\n")
        except OSError as error:
            raise StoreError(f"cannot write $GITHUB_STEP_SUMMARY {summary}: {error.strerror}") from error


def _save(path: Path, content: str) -> None:
    from evalkit.files import make_folder, write_atomic

    make_folder(path.parent)
    write_atomic(path, content)
