"""evalkit core: CORE of stored runs with its errors, and a ranking."""

from __future__ import annotations

import argparse
from pathlib import Path

from evalkit.commands import options
from evalkit.errors import UsageError, check_whole

SUMMARY = "CORE of stored runs: its interval, what documents, shots and trainings add to it, and who is told apart."
EXAMPLES = """examples:
  evalkit core runs/mine                         the tasks, and CORE with its interval
  evalkit core runs/a runs/b runs/c              a ranking: differences in pairs of documents, and who is not told apart
  evalkit core runs/a1,runs/a2 runs/b1,runs/b2   runs of one recipe with several seeds of its training, joined by commas
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN[,RUN...]", help="run folders of `evalkit run --tasks core` or core-fixed"
    )
    parser.add_argument("--corrected", action="store_true", help="by the bundle's corrected table of baselines")
    parser.add_argument("--alpha", type=float, default=0.05, help="chance of telling any two apart wrongly (0.05)")
    parser.add_argument("--resamples", type=int, default=10_000, help="resamples of the bootstrap (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")


def run(arguments: argparse.Namespace) -> None:
    """Read the runs, print the ranking."""
    from evalkit.dclm import leaderboard, scores
    from evalkit.files import write_atomic

    if not 0 < arguments.alpha < 1:
        raise UsageError(f"--alpha must be between 0 and 1, not {arguments.alpha:g}")
    check_whole("--resamples", arguments.resamples, least=100)
    check_whole("--seed", arguments.seed, least=0)
    recipes = [
        [scores.read(Path(name), corrected=arguments.corrected) for name in joined.split(",") if name]
        for joined in arguments.runs
    ]
    if not all(recipes):
        raise UsageError("evalkit core: expected run folders, some joined by commas")
    board = leaderboard.rank(recipes, alpha=arguments.alpha, resamples=arguments.resamples, seed=arguments.seed)
    leaderboard.show(board, options.console())
    if arguments.json:
        write_atomic(arguments.json, leaderboard.as_json(board))
        print(f"wrote {arguments.json}")
