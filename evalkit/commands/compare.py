"""evalkit compare: whether one run is worse than another, for people and for CI."""

from __future__ import annotations

import argparse
from dataclasses import replace

from evalkit.commands import findings
from evalkit.commands.helping import group
from evalkit.errors import EvalkitError
from evalkit.runs.remote import place

SUMMARY = "Test whether one run is worse than another: paired tests, verdicts, an exit code for CI."
EXAMPLES = """examples:
  evalkit compare runs/main runs/mine                      0: no regression, 1: a regression, 2: not comparable
  evalkit compare baselines/main.json runs/mine --margin 1.0 --margin lambada=0.5
  evalkit compare baselines/main.json runs/mine --markdown comment.md --junit junit.xml --json compare.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("base", type=place, metavar="BASE", help="run folder (or its URL), or baseline file")
    parser.add_argument("new", type=place, metavar="NEW", help="run folder (or its URL), or baseline file")
    findings.add_rules(parser)
    rules = group(parser, "statistics")
    rules.add_argument("--all-metrics", action="store_true", help="every metric counts, not only each task's first")
    rules.add_argument("--resamples", type=int, default=10_000, help="resamples of a permutation test (default: 10000)")
    rules.add_argument("--seed", type=int, default=0, help="seed of the resampling (default: 0)")
    findings.add_files(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare, print and write; return 1 for a regression. A failure to compare is written too, then raised."""
    from evalkit.comparison import baseline, comparison, verdicts
    from evalkit.dclm import leaderboard

    try:
        settings = comparison.Settings(
            alpha=arguments.alpha,
            margins=verdicts.parse_margins(arguments.margin),
            allow=findings.allowed(arguments),
            all_metrics=arguments.all_metrics,
            strict=arguments.strict,
            resamples=arguments.resamples,
            seed=arguments.seed,
        )
        base, new = baseline.read(arguments.base), baseline.read(arguments.new)
        result, pairs = comparison.compare(base, new, settings)
        result = replace(result, mean=leaderboard.change(base, new, alpha=settings.alpha))
        flips = findings.flips(arguments, pairs, base, new, result)
    except EvalkitError as error:
        findings.write_failure(arguments, error, command=comparison.Comparison.command)
        raise
    findings.show(arguments, result, flips)
    return 1 if result.failing else 0
