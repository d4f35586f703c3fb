"""evalkit export-results: a run's results and samples in another program's files."""

from __future__ import annotations

import argparse
from pathlib import Path

from evalkit.errors import UsageError, unknown

SUMMARY = "Write a run's results and samples in the files of lm-evaluation-harness."
EXAMPLES = """examples:
  evalkit export-results runs/mine --to lm-eval                 into runs/mine/lm-eval
  evalkit export-results runs/mine --to lm-eval --out exported
"""

_FORMATS = ("lm-eval",)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--to", required=True, metavar="FORMAT", help="lm-eval: the layout of its version 0.4.13")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to write (default: lm-eval in the run folder)"
    )
    parser.add_argument(
        "--bootstrap-iters", type=int, default=100_000, metavar="N",
        help="resamples of standard errors that have no formula; 0: no standard errors (default: 100000, as there)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print where."""
    from evalkit.lm_eval.export import export

    if arguments.to not in _FORMATS:
        raise unknown("format", arguments.to, _FORMATS)
    if arguments.bootstrap_iters < 0:
        raise UsageError(f"--bootstrap-iters must be at least 0, not {arguments.bootstrap_iters}")
    exported = export(arguments.run, arguments.out or arguments.run / "lm-eval", iterations=arguments.bootstrap_iters)
    print(f"{len(exported.files)} files in {exported.folder}")
    if exported.left_out:
        print(
            f"left out: {exported.left_out} rows of controls, baselines, levels, wordings and metrics without a value"
        )
