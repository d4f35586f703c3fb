"""evalkit power: plan how many documents a comparison needs."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.errors import UsageError
from evalkit.runs.remote import place

if TYPE_CHECKING:
    from evalkit.comparison.planning import Plan

SUMMARY = "Plan how many documents a comparison needs to find a change of a given size."
EXAMPLES = """examples:
  evalkit power --task lambada --effect 1pp --discordance 0.08
  evalkit power --task world_qa --effect 2 --run runs/main --run runs/mine     from how two runs differ
"""

_DISCORDANCE = 0.1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--task", required=True, help="the task to compare on")
    parser.add_argument("--effect", required=True, help="points of the metric, for example 1pp or 0.5")
    parser.add_argument("--run", action="append", default=[], type=place, help="run or baseline; twice: BASE and NEW")
    parser.add_argument("--discordance", type=float, help="share of documents that differ, if not taken from runs")
    parser.add_argument("--metric", help="a 0/1 metric, or one of the runs' (default: the task's first)")
    parser.add_argument("--shots", type=int, help="number of shots in the runs (default: the fewest)")
    parser.add_argument("--alpha", type=float, default=0.05, help="two-sided error of the test (default: 0.05)")
    parser.add_argument(
        "--tests", type=int, default=1, help="how many tests share alpha, for Holm's correction (default: 1)"
    )
    parser.add_argument("--power", type=float, default=0.8, help="chance of finding the effect (default: 0.8)")


def run(arguments: argparse.Namespace) -> None:
    """Print the plan and its assumptions."""
    from rich.text import Text

    effect = _points(arguments.effect)
    if not 0 < arguments.alpha < 1 or not 0 < arguments.power < 1 or arguments.tests < 1:
        raise UsageError("--alpha and --power must be between 0 and 1, --tests at least 1")
    if len(arguments.run) not in (0, 2):
        raise UsageError("give --run twice, once per side, or not at all")
    alpha = arguments.alpha / arguments.tests
    plan = _from_runs(arguments, effect, alpha) if arguments.run else _from_rate(arguments, effect, alpha)
    shared = f", shared by {arguments.tests} tests" if arguments.tests > 1 else ""
    need = f"{plan.documents:,.0f} documents" if math.isfinite(plan.documents) else "no number of documents is enough"
    console = options.console()
    for text in (
        f"{arguments.task} {plan.metric}: {need} to find a change of {plan.effect:g} points",
        f"  with probability {arguments.power:g} at a two-sided alpha of {arguments.alpha:g}{shared} ({plan.method})",
        f"  assuming {plan.assumption}",
    ):
        console.print(Text(text))


def _points(text: str) -> float:
    try:
        value = float(text.removesuffix("pp"))
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise UsageError(f"--effect {text!r}: expected points above 0, for example 1pp or 0.5")
    return value


def _from_rate(arguments: argparse.Namespace, effect: float, alpha: float) -> Plan:
    from evalkit.comparison import planning
    from evalkit.harness import catalog
    from evalkit.harness.task import protocol_of

    [task] = catalog.select([arguments.task])[:1]
    metric = arguments.metric or protocol_of(task, None)[1].metrics[0]
    rate, source = arguments.discordance, "--discordance"
    if rate is None:
        rate, source = _DISCORDANCE, "a guess: give --discordance or two runs"
    return planning.from_rate(
        metric, discordance=rate, effect=effect, alpha=alpha, power=arguments.power, source=source
    )


def _from_runs(arguments: argparse.Namespace, effect: float, alpha: float) -> Plan:
    from evalkit.comparison import baseline, comparable, planning
    from evalkit.errors import unknown

    if arguments.discordance is not None:
        raise UsageError("--run already gives the discordance; leave out --run or --discordance")
    base, new = (baseline.read(path) for path in arguments.run)
    pairs, _ = comparable.pair_up(base, new, allow=("tasks",))
    tasks = {pair.base.task for pair in pairs}
    if arguments.task not in tasks:
        raise unknown("task", arguments.task, tasks, where="in the runs")
    by_shots = {pair.base.shots: pair for pair in pairs if pair.base.task == arguments.task}
    shots = min(by_shots) if arguments.shots is None else arguments.shots
    if shots not in by_shots:
        raise UsageError(f"--shots {shots}: the runs have {', '.join(map(str, sorted(by_shots)))}")
    metric = arguments.metric or by_shots[shots].metrics[0]
    if metric not in by_shots[shots].metrics:
        raise unknown("metric", metric, by_shots[shots].metrics, where="in the runs")
    return planning.from_pair(by_shots[shots], metric, effect=effect, alpha=alpha, power=arguments.power)
