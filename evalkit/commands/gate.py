"""evalkit gate: whether a model is worse than a base, from as few documents as that takes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from evalkit.commands import findings, options
from evalkit.commands.helping import group
from evalkit.errors import EvalkitError

SUMMARY = "Decide from as few documents as possible whether a model is worse than a base; an exit code for CI."
EXAMPLES = """examples:
  evalkit gate --base runs/main --model checkpoints/mine --margin 1      the tasks and shots of runs/main
  evalkit gate --base baselines/main.json --model checkpoints/mine --margin 1 --budget 2000
  evalkit gate --base nano --model micro --tasks world --margin 2 --weight world_qa=3 --budget 10m
  evalkit gate --base runs/main --model runs/mine --margin 1             what it would have read of a stored run

The exit code is 0 without a regression, 1 with one, 2 if the sides cannot be compared. The same command goes on after a
kill, and one with a larger budget where the earlier one ended. docs/gate.md says how it decides.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--base", required=True, metavar="BASE", help="run folder, baseline file, or model to ask too")
    parser.add_argument("--model", required=True, metavar="NEW", help="model, as of evalkit run, or stored run")
    options.add_tasks(parser, default="those of BASE, or world")
    parser.set_defaults(tasks=None, seeds=None)
    findings.add_rules(parser)
    parser.add_argument(
        "--budget", metavar="N",
        help="end after so many documents over all tasks (2000, 2k) or this time (90s, 10m, 1h); the rest is undecided",
    )  # fmt: skip
    rules = group(parser, "statistics")
    rules.add_argument(
        "--weight", action="append", default=[], metavar="TASK=NUMBER",
        help="the task's share of alpha, in any unit (default: 1 for each)",
    )  # fmt: skip
    rules.add_argument("--seed", type=int, default=0, help="seed of the reading order and of the tests (default: 0)")
    parser.add_argument("--out", type=Path, help="folder of the gate (default: runs/gate-NEW-SETTINGS)")
    parser.add_argument(
        "--resume", action="store_true", help="continue the gate in --out (giving the same command again does so too)"
    )
    findings.add_files(parser)
    options.add_max_failed(parser)
    options.add_trust(parser)
    options.add_tokenizer(parser)
    options.add_answering(parser)


def run(arguments: argparse.Namespace) -> int:
    """Decide, print and write; return 1 for a regression, or a task with too many failed items."""
    from evalkit.gates.outcome import Gate

    try:
        decided = _decide(arguments)
        flips = findings.flips(arguments, decided.pairs, decided.base, decided.new, decided.gate)
    except EvalkitError as error:
        findings.write_failure(arguments, error, command=Gate.command)
        raise
    findings.show(arguments, decided.gate, flips)
    if decided.gate.folder:
        print(f"stored in {decided.gate.folder}")
    return 1 if decided.gate.failing or decided.gate.failed else 0


def _decide(arguments: argparse.Namespace) -> Any:
    from functools import partial

    from evalkit import api
    from evalkit.comparison import verdicts
    from evalkit.engine.placing import placing
    from evalkit.gates.gate import decide, source
    from evalkit.gates.reading import Budget
    from evalkit.gates.settings import GateSettings, parse_weights

    settings = GateSettings(
        alpha=arguments.alpha, margins=verdicts.parse_margins(arguments.margin), allow=findings.allowed(arguments),
        strict=arguments.strict, weights=parse_weights(arguments.weight), seed=arguments.seed,
    )  # fmt: skip
    options.refuse_torchrun("gate")
    budget = Budget() if arguments.budget is None else Budget.parse(arguments.budget)
    asked = _asked(arguments)
    opened = partial(api.open_model, tokenizer=arguments.tokenizer, **options.opening(arguments))
    with placing(workers=arguments.workers, address=arguments.ray, threads=arguments.threads) as place:
        return decide(
            source(arguments.base, open=opened), source(arguments.model, open=opened),
            None if arguments.tasks is None else options.tasks(arguments), settings=settings, budget=budget,
            out=arguments.out, cache=options.cache(arguments), place=place,
            max_failed=options.share(arguments.max_failed, "--max-failed"), **asked,
        )  # fmt: skip


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of load_tasks; None for what is as in the base."""
    numbers, paper = options.shots(arguments.shots or "0")
    return {
        "shots": None if arguments.shots is None else [*numbers, *(["paper"] if paper else [])],
        "seeds": None if arguments.seeds is None else options.integers(arguments.seeds, "--seeds"),
        "limit": arguments.limit,
        "protocol": arguments.protocol,
        "templates": tuple(filter(None, arguments.templates.split(","))),
        "empty_context": arguments.empty_context,
        "data": options.data(arguments).named,
        "trust_task_code": arguments.trust_task_code,
    }
