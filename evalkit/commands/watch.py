"""evalkit watch: evaluate each checkpoint that appears in a training's folder."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.commands.helping import group
from evalkit.errors import UsageError

if TYPE_CHECKING:
    from evalkit.curves.learning_curve import LearningCurve
    from evalkit.curves.watching import Gate, Seen
    from evalkit.engine.calls import Placing

log = logging.getLogger(__name__)

SUMMARY = "Evaluate each checkpoint that appears in a training's folder; stop where a gate fails."
EXAMPLES = """examples:
  evalkit watch checkpoints/mine                                   world-quick, a look each minute, until Ctrl-C
  evalkit watch checkpoints/mine --tasks arc_easy,piqa --seconds 120 --every 30 --tensorboard
  evalkit watch trainer_output --tasks lambada --until 20000       checkpoint-N of transformers' Trainer
  evalkit watch checkpoints/mine --fail-if-worse-than runs/main --from-step 5000    1 where a step is worse
  evalkit watch nanoGPT/out --tokenizer gpt2                       ckpt.pt, each time that it is written
  evalkit watch checkpoints/mine --once                            what is there now: for CI
  evalkit watch checkpoints/mine --device cuda --workers 2         by two GPUs (needs evalkit[ray])

OUT (FOLDER/eval) holds a run folder for each step, for `evalkit report OUT` and `evalkit compare`, and curve.jsonl
with a line for each step. The same command goes on after a kill: nothing is evaluated twice.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER",
        help="where a trainer puts its checkpoints: step-N, checkpoint-N, model_N.pt, ..., or one that it replaces",
    )  # fmt: skip
    options.add_tasks(parser, default="world-quick")
    parser.add_argument(
        "--seconds", type=float,
        help="score as many documents as fit into this time, chosen at the first checkpoint and then always the same",
    )  # fmt: skip
    group(parser, "model").add_argument(
        "--tokenizer",
        help="a folder, file or model whose tokenizer is used: for folders in transformers' layout only if they have "
        "none, otherwise always",
    )
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="time between two looks (60)")
    parser.add_argument("--once", action="store_true", help="evaluate what is there, then end")
    parser.add_argument("--until", type=int, metavar="STEP", help="end when this step or a later one is evaluated")
    parser.add_argument("--out", type=options.folder, help="folder of the curve (default: FOLDER/eval)")
    _add_gate(parser)
    output = group(parser, "output")
    output.add_argument("--tensorboard", action="store_true", help="also write event files, into OUT/tensorboard")
    output.add_argument("--wandb", metavar="PROJECT", help="also log to Weights & Biases (WANDB_MODE=offline: to OUT)")
    options.add_max_failed(parser)
    options.add_trust(parser)
    options.add_answering(parser)
    parser.set_defaults(resume=True)  # the same command continues


def _add_gate(parser: argparse.ArgumentParser) -> None:
    rules = group(parser, "statistics")
    rules.add_argument(
        "--fail-if-worse-than", type=Path, metavar="BASE",
        help="a run folder or baseline file: end with exit code 1 at the first step that is worse on any task",
    )  # fmt: skip
    rules.add_argument(
        "--from-step", type=int, default=0, metavar="STEP", help="compare with BASE from this step on (default: 0)"
    )
    rules.add_argument(
        "--alpha", type=float, default=0.05,
        help="probability of a false alarm over the whole training; the k-th step is tested at ALPHA / (k (k + 1)) "
        "(default: 0.05)",
    )  # fmt: skip
    rules.add_argument("--margin", action="append", default=[], metavar="[TASK=]POINTS", help="as for evalkit compare")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate checkpoints as they come; return 1 if the gate failed, or something could not be evaluated."""
    from evalkit import api
    from evalkit.curves.watching import Watch, follow
    from evalkit.engine.compute import check_options
    from evalkit.engine.placing import placing
    from evalkit.model import resolve

    options.refuse_torchrun("watch")
    _check(arguments)
    check_options(dtype=arguments.dtype, device=arguments.device, batch_tokens=arguments.batch_tokens)
    gate = _gate(arguments)
    tokenizer = resolve.tokenizer_path(arguments.tokenizer) if arguments.tokenizer else None
    name = arguments.folder.resolve().name
    with (
        placing(workers=arguments.workers, address=arguments.ray, threads=arguments.threads) as place,
        _curve(arguments, place) as curve,
    ):
        watch = Watch(
            arguments.folder, curve, gate=gate, tokenizer=tokenizer,
            open=lambda path, tokenizer: api.open_model(
                path, name=name, tokenizer=tokenizer, **options.opening(arguments)
            ),
        )  # fmt: skip
        failed, before = False, len(curve.lines)
        if before:
            print(f"{before} steps of this curve were evaluated before, in {curve.out}")
        for seen in follow(watch, every=arguments.every, until=arguments.until, once=arguments.once):
            if seen.new:
                _print(seen)
            failed = failed or bool(seen.run.failed)
            if seen.worse:
                log.error("step %s is worse than %s: %s", f"{seen.step:,}", gate and gate.base, "; ".join(seen.worse))
                return 1
    print(f"stored in {curve.out}")
    return 1 if failed or watch.failures else 0


def _check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for wrong options before anything is read."""
    if not arguments.folder.is_dir():
        raise UsageError(f"no folder {arguments.folder}")
    if arguments.out and arguments.out.resolve() == arguments.folder.resolve():
        raise UsageError(f"--out {arguments.out}: the curve needs a folder of its own, not the training's")
    if not arguments.every > 0:
        raise UsageError(f"--every must be above 0 seconds, not {arguments.every:g}")
    if arguments.once and arguments.until is not None:
        raise UsageError("--once and --until: give one of them")
    if arguments.fail_if_worse_than is None and (arguments.from_step or arguments.margin):
        raise UsageError("--from-step and --margin need --fail-if-worse-than BASE")


def _gate(arguments: argparse.Namespace) -> Gate | None:
    from evalkit.comparison import verdicts
    from evalkit.curves.watching import Gate

    if arguments.fail_if_worse_than is None:
        return None
    margins = verdicts.parse_margins(arguments.margin)
    return Gate(
        base=arguments.fail_if_worse_than, after=arguments.from_step, alpha=arguments.alpha, margins=margins
    )  # fmt: skip


def _curve(arguments: argparse.Namespace, place: Placing) -> LearningCurve:
    """Open the curve, with its tasks loaded once for all checkpoints."""
    from dataclasses import replace

    from evalkit.curves.learning_curve import LearningCurve
    from evalkit.harness.prompt_cache import PromptCache
    from evalkit.harness.taskset import read_tasks

    tasks = read_tasks(
        options.tasks(arguments), options.settings(arguments), options.data(arguments),
        trust_code=arguments.trust_task_code, strict=True,
    )  # fmt: skip
    return LearningCurve(
        arguments.out or arguments.folder / "eval", replace(tasks, prompts=PromptCache()), seconds=arguments.seconds,
        tensorboard=arguments.tensorboard, wandb=arguments.wandb, cache=not arguments.no_cache,
        max_failed=options.share(arguments.max_failed, "--max-failed"), place=place,
    )  # fmt: skip


def _print(seen: Seen) -> None:
    from evalkit.sinks import terminal

    scores = ", ".join(f"{name} {value:.1f}" for name, value in seen.run.scores().items())
    failed = "".join(f"\n  failed: {task}: {reason}" for task, reason in seen.run.failed.items())
    print(terminal(f"step {seen.step:,}: {scores}{failed}"), flush=True)
