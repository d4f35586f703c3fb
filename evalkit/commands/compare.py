"""evalkit compare: whether one run is worse than another, for people and for CI."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.errors import EvalkitError, StoreError

if TYPE_CHECKING:
    from evalkit.comparison.comparable import Pair
    from evalkit.comparison.comparison import Comparison
    from evalkit.comparison.evidence import Evidence
    from evalkit.comparison.flips import Flip

SUMMARY = "Test whether one run is worse than another: paired tests, verdicts, an exit code for CI."
EXAMPLES = """examples:
  evalkit compare runs/main runs/mine                      0: no regression, 1: a regression, 2: not comparable
  evalkit compare baselines/main.json runs/mine --margin 1.0 --margin lambada=0.5
  evalkit compare baselines/main.json runs/mine --markdown comment.md --junit junit.xml --json compare.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("base", type=Path, metavar="BASE", help="run folder or baseline file")
    parser.add_argument("new", type=Path, metavar="NEW", help="run folder or baseline file")
    parser.add_argument("--alpha", type=float, default=0.05, help="familywise error over all verdicts (default: 0.05)")
    parser.add_argument(
        "--margin", action="append", default=[], metavar="[TASK=]POINTS",
        help="changes within this many points count as the same; for all tasks, or for one",
    )  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="also exit 1 if anything stays undecided")
    parser.add_argument("--all-metrics", action="store_true", help="every metric counts, not only each task's first")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="FIELD",
        help="compare even if this differs: tasks, documents, seeds, metric, task, protocol, data",
    )  # fmt: skip
    parser.add_argument(
        "--resamples", type=int, default=10_000, help="resamples of a permutation test (default: 10000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the resampling (default: 0)")
    parser.add_argument("--flips", type=int, default=20, metavar="N", help="documents listed in Markdown (default: 20)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a comment for a pull request")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings")


def run(arguments: argparse.Namespace) -> int:
    """Compare, print and write; return 1 for a regression. A failure to compare is written too, then raised."""
    from evalkit.comparison import display, junit, markdown

    try:
        comparison, flips = _compare(arguments)
    except EvalkitError as error:
        _write(arguments, page=markdown.failure(str(error)), xml=junit.failure(str(error)))
        raise
    display.show(comparison, options.console())
    _write(arguments, page=markdown.page(comparison, flips), xml=junit.suite(comparison))
    if arguments.json:
        _save(arguments.json, json.dumps(comparison.to_json(), indent=1, ensure_ascii=False) + "\n")
    return 1 if comparison.failing else 0


def _compare(arguments: argparse.Namespace) -> tuple[Comparison, list[Flip]]:
    from evalkit.comparison import baseline, comparison, verdicts

    settings = comparison.Settings(
        alpha=arguments.alpha,
        margins=verdicts.parse_margins(arguments.margin),
        allow=tuple(name for words in arguments.allow for name in words.split(",")),
        all_metrics=arguments.all_metrics,
        strict=arguments.strict,
        resamples=arguments.resamples,
        seed=arguments.seed,
    )
    base, new = baseline.read(arguments.base), baseline.read(arguments.new)
    result, pairs = comparison.compare(base, new, settings)
    limit = arguments.flips if arguments.markdown or "GITHUB_STEP_SUMMARY" in os.environ else 0
    return result, _worst(pairs, base, new, result, limit=max(0, limit))


def _worst(pairs: list[Pair], base: Evidence, new: Evidence, comparison: Comparison, *, limit: int) -> list[Flip]:
    """Return the documents to list: those of tasks that got worse come first, the largest losses before the others."""
    from evalkit.comparison.flips import of_pair

    bad = {(f.task, f.shots, f.template) for f in comparison.failing}
    ordered = sorted(pairs, key=lambda pair: (pair.base.task, pair.base.shots, pair.base.template) not in bad)
    flips = [flip for pair in ordered for flip in of_pair(pair, base=base, new=new, limit=limit)]
    return sorted(flips, key=lambda flip: ((flip.task, flip.shots, flip.template) not in bad, flip.gain))[:limit]


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
