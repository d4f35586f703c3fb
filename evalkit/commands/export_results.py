"""evalkit export-results: a run's results and samples in another program's files."""

from __future__ import annotations

import argparse
from pathlib import Path

from evalkit.errors import check_whole, unknown

SUMMARY = "Write a run's results and samples as lm-evaluation-harness or Every Eval Ever has them."
EXAMPLES = """examples:
  evalkit export-results runs/mine --to lm-eval                 into runs/mine/lm-eval
  evalkit export-results runs/mine --to lm-eval --out exported
  evalkit export-results runs/mine --to every-eval-ever --developer my-lab      into runs/mine/every-eval-ever/data
"""

_FORMATS = ("lm-eval", "every-eval-ever")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--to", required=True, metavar="FORMAT",
        help="lm-eval: the layout of its version 0.4.13; every-eval-ever: records of its schema 0.3.0",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to write (default: a folder FORMAT in the run folder)"
    )
    parser.add_argument(
        "--bootstrap-iters", type=int, default=100_000, metavar="N",
        help="lm-eval: resamples of standard errors that have no formula; 0: no standard errors (default: 100000, as "
        "there)",
    )  # fmt: skip
    parser.add_argument(
        "--developer", default="local", metavar="NAME",
        help="every-eval-ever: who made the model, where its name does not say so (default: local)",
    )  # fmt: skip
    parser.add_argument(
        "--organization", default="unaffiliated", metavar="NAME",
        help="every-eval-ever: who ran the evaluation (default: unaffiliated)",
    )  # fmt: skip
    parser.add_argument(
        "--relationship", default="other", metavar="WHICH",
        help="every-eval-ever: of that organization to the model: first_party, third_party, collaborative, other",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print where."""
    if arguments.to not in _FORMATS:
        raise unknown("format", arguments.to, _FORMATS)
    check_whole("--bootstrap-iters", arguments.bootstrap_iters, least=0)
    out = arguments.out or arguments.run / arguments.to
    if arguments.to == "lm-eval":
        _to_lm_eval(arguments.run, out, iterations=arguments.bootstrap_iters)
    else:
        _to_every_eval_ever(arguments, out)


def _to_lm_eval(run: Path, out: Path, *, iterations: int) -> None:
    from evalkit.lm_eval.export import export

    exported = export(run, out, iterations=iterations)
    print(f"{len(exported.files)} files in {exported.folder}")
    if exported.left_out:
        print(
            f"left out: {exported.left_out} rows of controls, baselines, levels, wordings and metrics without a value"
        )


def _to_every_eval_ever(arguments: argparse.Namespace, out: Path) -> None:
    from evalkit.interchange.every_eval_ever.export import Origin, export

    origin = Origin(
        developer=arguments.developer, organization=arguments.organization, relationship=arguments.relationship
    )
    exported = export(arguments.run, out, origin=origin)
    print(f"{len(exported.files)} files in {exported.folder}")
    if exported.left_out:
        print(f"left out: {exported.left_out} results without a value")
