"""evalkit plan: which models to train so that a larger one is forecast best."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.errors import DataError, UsageError, unknown
from evalkit.runs.remote import place

if TYPE_CHECKING:
    from evalkit.forecasts.observations import Observation

SUMMARY = "Plan a ladder: which sizes and tokens to train under a budget, so that a larger model is forecast best."
EXAMPLES = """examples:
  evalkit plan runs/pilot --budget 1e18 --target N=1B,D=20B
  evalkit plan table.csv --budget 3e19 --target N=7B --metric acc --json plan.json
A FLOP is an addition or a multiplication; a training takes about 6 per parameter and token.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "runs", nargs="+", type=place, metavar="RUN",
        help="runs, tables, lm-evaluation-harness results of at least three models, from which the laws are fitted",
    )  # fmt: skip
    parser.add_argument("--budget", required=True, metavar="FLOPS", help="of all trainings together, for example 1e18")
    parser.add_argument(
        "--target", required=True, metavar="N=SIZE,D=TOKENS",
        help="the model to forecast; without D, 20 tokens per parameter",
    )  # fmt: skip
    parser.add_argument("--family", default="", help="only these families of tasks or of models, with commas")
    parser.add_argument("--metric", default="", help="the main metric of the tasks that have it; with commas")
    parser.add_argument("--worlds", type=int, default=8, help="simulations of each ladder (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all plans and their rungs")


def run(arguments: argparse.Namespace) -> None:
    """Compare ladders and print the plan."""
    from evalkit.files import write_atomic
    from evalkit.forecasts import design
    from evalkit.report import forecasting
    from evalkit.report.terminal import plans as plan_terminal

    target = forecasting.target_of(arguments.target, option="--target")
    if arguments.worlds < 2:
        raise UsageError(f"--worlds {arguments.worlds}: expected at least 2")
    budget = _budget(arguments.budget)
    observed = _observations(arguments, family=target.family)
    advice = design.advise(observed, budget=budget, target=target, seed=arguments.seed, worlds=arguments.worlds)
    print(plan_terminal.plan(advice))
    if arguments.json:
        body = json.dumps(plan_terminal.as_json(advice), indent=1)
        write_atomic(arguments.json, f"{body}\n")


def _budget(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise UsageError(f"--budget {text}: expected a number of FLOPs above 0, for example 1e18")
    return value


def _observations(arguments: argparse.Namespace, *, family: str) -> list[Observation]:
    """Read the whole tasks, at their fewest shots, of one family of models."""
    from evalkit.report.observed import observations
    from evalkit.report.selection import select

    found, _ = options.measured(arguments.runs)
    families, metrics = options.names(arguments.family), options.names(arguments.metric)
    observed = observations(select(found, families=families, metrics=metrics, predict=None), parts=False)
    fewest: dict[str, int | None] = {}
    for o in observed:  # in the order of shots
        fewest.setdefault(o.task, o.shots)
    observed = [o for o in observed if o.shots == fewest[o.task]]
    if family:
        if family not in (known := {o.family for o in observed} - {""}):
            raise unknown("family of models", family, known)
        observed = [o for o in observed if o.family == family]
    ladders = {o.family for o in observed}
    if not ladders:
        raise DataError("none of the results is of a trained model whose size is known (column parameters)")
    if len(ladders) > 1:
        raise UsageError(f"a plan is for one family of models: choose one of {', '.join(sorted(ladders))} by --family")
    return observed
