"""evalkit run: evaluate models on tasks; store every item; print the table."""

from __future__ import annotations

import argparse
import gc
import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.commands.helping import group
from evalkit.errors import DiskError, EvalkitError, UsageError
from evalkit.runs.remote import place

if TYPE_CHECKING:
    from evalkit.curves.trackers import Tracker
    from evalkit.engine.open import Model
    from evalkit.harness.taskset import TaskSet
    from evalkit.results import Run
    from evalkit.types import Result

log = logging.getLogger(__name__)

SUMMARY = "Evaluate models on tasks; store every item; print the table."
EXAMPLES = """examples:
  evalkit run --model nano                            the bundled nano on the whole world suite
  evalkit run --model nano --shots 0,1,4              zero-, one- and four-shot
  evalkit run --model nano,runs/mine --tasks world_qa,world_reading --seeds 1,2,3
  EVALKIT_DATA=data evalkit run --model gpt2 --tasks lambada,coqa --limit 200
  evalkit run --model out/ckpt.pt --tasks arc_easy    nanoGPT's file; docs/checkpoints.md lists what is recognised
  evalkit run --model hf:EleutherAI/pythia-70m --tasks lambada --data lambada=lambada_test.jsonl
  evalkit run --model gpt2 --tasks mine.csv --input question --output answer --shots 0,4       your own table
  evalkit run --model gpt2 --tasks nq_open --data nq_open=NQ-open.dev.jsonl --shots 0,8
  evalkit run --model gpt2 --tasks gpt2-paper         the paper's benchmarks and prompts, its values beside ours
  evalkit run --model gpt2-xl --tasks gpt3-paper --shots 0,1,paper
  evalkit run --model gpt2 --tasks lm-eval:mmlu --shots 5       a task or group of lm-evaluation-harness
  evalkit run --model gpt2 --tasks my_task.yaml --trust-task-code
  evalkit run --model mini --estimate 60 --from runs/nano runs/micro   full scores from 60 documents a task
  evalkit run --model gpt2 --tasks gpt2-paper --workers 4           four processes (needs evalkit[ray])
  evalkit run --model gpt2-xl --device cuda --ray auto              on a cluster of Ray
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--model",
        required=True,
        help="ladder name, gpt1, GPT-2 size, checkpoint (a file or folder of any trainer, FOLDER@STEP), hf:ID or "
        "hf:FOLDER (by transformers); comma-separated",
    )
    options.add_tasks(parser, default="world")
    prompts, output = group(parser, "tasks and prompts"), group(parser, "output")
    prompts.add_argument(
        "--estimate", type=int, metavar="N",
        help="score N documents of each task, chosen by --from, and estimate the score of all (docs/estimates.md)",
    )  # fmt: skip
    prompts.add_argument(
        "--from", dest="earlier", nargs="+", default=[], metavar="RUN",
        help="runs of other models on the same tasks (folders of them, URLs) that say which documents are uncertain",
    )  # fmt: skip
    options.add_max_failed(parser)
    options.add_trust(parser)
    parser.add_argument(
        "--out", type=place, help="run folder, or its URL such as s3://BUCKET/RUN (default: runs/MODEL-SETTINGS)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in --out (giving the same command again does so too)"
    )
    output.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table as Markdown")
    output.add_argument("--all-metrics", action="store_true", help="show every metric, not only each task's first")
    output.add_argument("--levels", action="store_true", help="show each task's levels (head and tail, ...) too")
    output.add_argument(
        "--log-to", action="append", default=[], metavar="TRACKER",
        help="also log results, settings and results.json: wandb, wandb:PROJECT, mlflow or mlflow:EXPERIMENT (needs "
        "evalkit[wandb] or [mlflow]); may be repeated",
    )  # fmt: skip
    output.add_argument("--strict", action="store_true", help="stop at the first task or model that fails")
    options.add_tokenizer(parser)
    options.add_answering(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate each model in turn; the table at the end holds all of them.

    Return 1 if a task or model failed, or too many items of one.
    """
    from evalkit import api
    from evalkit.engine import open
    from evalkit.engine.placing import placing
    from evalkit.harness.taskset import read_tasks

    options.refuse_torchrun("run")
    # Documents live until the end: scanning them for cycles again and again takes a fifth of a cached run.
    gc.set_threshold(500_000, 20)
    settings = options.settings(arguments)
    logged_to = _trackers(arguments)
    allowed = options.share(arguments.max_failed, "--max-failed")
    names = list(dict.fromkeys(options.names(arguments.model)))
    if not names:
        raise UsageError("--model names no model")
    for name in names:  # a wrong name is found before the first model has run for hours
        open.find(name)
    outcome = _Outcome(names, strict=arguments.strict, allowed=allowed)
    tasks = read_tasks(
        options.tasks(arguments), settings, options.data(arguments),
        trust_code=arguments.trust_task_code, strict=arguments.strict,
    )  # fmt: skip
    for name, error in tasks.failed.items():
        outcome.fail(name, error, alone=False)
    _check_windows(arguments, tasks)
    tasks = api.estimating(tasks, arguments.estimate, arguments.earlier)
    cache, several = options.cache(arguments), len(names) > 1
    with placing(workers=arguments.workers, address=arguments.ray, threads=arguments.threads) as place:
        runs = api.run_models(
            {name: partial(_open, name, arguments) for name in names}, tasks, cache=cache, strict=arguments.strict,
            max_failed=allowed, place=place,
            out=lambda model: arguments.out / api.file_label(model) if several and arguments.out else arguments.out,
        )  # fmt: skip
        with closing(runs):  # at once, and with it the bar, where a failure ends all of them
            for name, done in runs:
                if isinstance(done, EvalkitError):
                    outcome.fail(name, done, alone=not several)
                else:
                    outcome.runs[name] = done
    outcome.check()
    _print_results(outcome, arguments)
    if logged_to:
        from evalkit.curves import trackers

        trackers.send(list(outcome.runs.values()), logged_to)
    return 1 if outcome.failures else 0


def _trackers(arguments: argparse.Namespace) -> list[Tracker]:
    """Return what the runs are logged to, before anything is run."""
    if not arguments.log_to:
        return []  # nothing is imported
    from evalkit.curves.trackers import trackers

    return trackers(arguments.log_to)


def _check_windows(arguments: argparse.Namespace, tasks: TaskSet) -> None:
    """Warn of options for the windows of long documents if no task scores whole documents."""
    options_given = [
        option
        for option, value in (("--stride", arguments.stride), ("--begin", arguments.begin != "document"))
        if value
    ]
    if options_given and all(loaded.protocol.kind != "rolling" for loaded in tasks.loaded):
        log.warning("no effect of %s: none of the tasks scores whole documents", " and ".join(options_given))


def _open(name: str, arguments: argparse.Namespace) -> Model:
    from evalkit import api

    return api.open_model(name, tokenizer=arguments.tokenizer, **options.opening(arguments))


@dataclass
class _Outcome:
    """The outcome of a command: the runs of models by name, and failures by name of the task or model.

    names: of the models, in the order of the table. allowed: the share of items that may fail.
    """

    names: Sequence[str]
    strict: bool
    allowed: float
    runs: dict[str, Run] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    first: EvalkitError | None = None

    @property
    def results(self) -> list[Result]:
        """The results of all models."""
        return [result for name in self.names if name in self.runs for result in self.runs[name].results]

    @property
    def places(self) -> list[str]:
        """The folders of all models, or their URLs."""
        return [run.url or str(run.folder) for name in self.names if (run := self.runs.get(name))]

    @property
    def failures(self) -> dict[str, str]:
        """Why tasks and models failed."""
        ordered = [self.runs[name] for name in self.names if name in self.runs]
        return self.refused | {
            f"{run.results[0].model}: {task}": reason for run in ordered for task, reason in run.failed.items()
        }

    def fail(self, name: str, error: EvalkitError, *, alone: bool) -> None:
        """Record an error for the end; raise it where nothing else is left to run, or would fail as well."""
        if self.strict or alone or isinstance(error, DiskError):
            raise error
        self.refused[name] = str(error)
        self.first = self.first or error

    def check(self) -> None:
        """Raise the first error when everything has failed."""
        if self.first and not self.results:
            raise self.first


def _print_results(outcome: _Outcome, arguments: argparse.Namespace) -> None:
    from evalkit.files import write_atomic
    from evalkit.report import run_table
    from evalkit.report.terminal import runs as run_terminal

    columns = {"all_metrics": arguments.all_metrics, "levels": arguments.levels, "allowed": outcome.allowed}
    run_terminal.show(outcome.results, options.console(), **columns)
    failed = f"failed: {', '.join(outcome.failures)}\n" if outcome.failures else ""
    print(f"{failed}stored in {', '.join(outcome.places)}")
    if arguments.markdown:
        body = run_table.markdown(outcome.results, **columns)
        write_atomic(arguments.markdown, body + failed)
    if any(r.failed for r in outcome.results if r.source == "model" and not r.level):
        log.warning("some items failed and are not scored; records.jsonl says why (field error)")
    for name, reason in outcome.failures.items():
        log.error("%s failed: %s", name, reason)
