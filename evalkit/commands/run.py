"""evalkit run: evaluate models on tasks; store every item; print the table."""

from __future__ import annotations

import argparse
import gc
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.errors import DataError, DiskError, EvalkitError, NoDataError, UsageError

if TYPE_CHECKING:
    from evalkit.engine.cache import ResponseCache
    from evalkit.harness.load import Loaded, RunSettings
    from evalkit.harness.sources import DataPaths
    from evalkit.harness.task import Task
    from evalkit.types import Result

log = logging.getLogger(__name__)

SUMMARY = "Evaluate models on tasks; store every item; print the table."
EXAMPLES = """examples:
  evalkit run --model nano                            the bundled nano on the whole world suite
  evalkit run --model nano --shots 0,1,4              zero-, one- and four-shot
  evalkit run --model nano,runs/mine --tasks world_qa,world_reading --seeds 1,2,3
  EVALKIT_DATA=data evalkit run --model gpt2 --tasks lambada,coqa --limit 200
  evalkit run --model hf:EleutherAI/pythia-70m --tasks lambada --data lambada=lambada_test.jsonl
  evalkit run --model gpt2 --tasks nq_open --data nq_open=NQ-open.dev.jsonl --shots 0,8
  evalkit run --model gpt2 --tasks gpt2-paper         all that the paper ran, its way, with its values beside ours
  evalkit run --model gpt2-xl --tasks gpt3-paper --shots 0,1,paper
  evalkit run --model gpt2 --tasks lm-eval:mmlu --shots 5       a task or group of lm-evaluation-harness
  evalkit run --model gpt2 --tasks my_task.yaml --trust-task-code
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--model",
        required=True,
        help="ladder name, gpt1, GPT-2 size, checkpoint folder, or hf:ID or hf:FOLDER (by transformers); with commas",
    )
    parser.add_argument(
        "--tasks",
        default="world",
        help="tasks, suites (world, gpt2-paper, superglue, a family, all), globs, task files, lm-eval:NAME or its YAML "
        "files (default: world)",
    )
    parser.add_argument(
        "--shots", help="counts of examples in the prompt; paper: the paper's (default: 0, or what a task file says)"
    )
    parser.add_argument("--protocol", help="how to build prompts (default: its suite's, or each task's first)")
    parser.add_argument("--templates", default="", metavar="NAME,...", help="further wordings to run too, or all")
    parser.add_argument(
        "--limit", type=int, help="documents per task: a fixed pseudo-random subset; of lm-eval's tasks the first"
    )
    parser.add_argument("--seeds", default="1", help="seeds for drawing shots and sampling (default: 1)")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="where a benchmark's file or folder is",
    )
    options.add_max_failed(parser)
    options.add_trust(parser)
    parser.add_argument("--out", type=Path, help="run folder (default: runs/MODEL-SETTINGS)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out (a second start does so anyway)"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table as Markdown")
    parser.add_argument("--all-metrics", action="store_true", help="show every metric, not only each task's first")
    parser.add_argument("--levels", action="store_true", help="show each task's levels (head and tail, ...) too")
    parser.add_argument("--strict", action="store_true", help="end at the first task or model that fails")
    options.add_engine(parser)
    options.add_cache(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate each model in turn; the table at the end holds all of them.

    Return 1 if a task or model failed, or too many items of one.
    """
    from evalkit.harness import catalog
    from evalkit.harness.load import RunSettings
    from evalkit.model import resolve

    # Records stay until the end: looking through them again and again for cycles takes a fifth of a cached run.
    gc.set_threshold(50_000, 20)
    shots, paper_shots = options.shots(arguments.shots or "0")
    settings = RunSettings(
        shots=shots,
        paper_shots=paper_shots,
        seeds=options.integers(arguments.seeds, "--seeds"),
        protocol=arguments.protocol,
        limit=arguments.limit,
        templates=tuple(filter(None, arguments.templates.split(","))),
        unsaid=arguments.shots is None,
    )
    allowed = options.share(arguments.max_failed, "--max-failed")
    names = [name for name in arguments.model.split(",") if name]
    for name in names:  # a wrong name is found before the first model has run for hours
        resolve.folder_of(name)
    catalog.check_protocol(settings.protocol)
    data = options.data(arguments)
    chosen = catalog.choose(filter(None, arguments.tasks.split(",")), trust_code=arguments.trust_task_code)
    catalog.check_data(data, [task for task, _ in chosen])
    outcome = _Outcome(strict=arguments.strict, allowed=allowed)
    tasks = _load(_wanted(chosen, settings), data, named=arguments.tasks.split(","), outcome=outcome)
    cache = options.cache(arguments)
    for name in names:
        try:
            _run_model(name, tasks, settings, arguments, cache=cache, outcome=outcome)
        except EvalkitError as error:
            outcome.fail(name, error, alone=len(names) == 1)
    outcome.check()
    _print_results(outcome, arguments)
    return 1 if outcome.failures else 0


@dataclass
class _Outcome:
    """What came of a command: results, their folders, and what failed, by name of the task or model.

    allowed: the share of failed items that is none yet.
    """

    strict: bool
    allowed: float
    results: list[Result] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    first: EvalkitError | None = None

    def fail(self, name: str, error: EvalkitError, *, alone: bool) -> None:
        """Keep an error for the end; raise it where nothing else is left to do or to be hoped for."""
        if self.strict or alone or isinstance(error, DiskError):
            raise error
        self.failures[name] = str(error)
        self.first = self.first or error

    def check(self) -> None:
        """Raise the first error when all has failed."""
        if self.first and not self.results:
            raise self.first


def _run_model(
    name: str,
    tasks: Sequence[Loaded],
    settings: RunSettings,
    arguments: argparse.Namespace,
    *,
    cache: ResponseCache | None,
    outcome: _Outcome,
) -> None:
    """Evaluate one model into its own folder."""
    from evalkit.harness.failures import failed_tasks
    from evalkit.harness.run import describe, evaluate, settings_digest
    from evalkit.harness.store import RunStore

    engine = options.cached_engine(name, arguments, cache)
    about = describe(engine, tasks, settings)
    label = about["model"]["model"].replace("/", "-").replace(":", "-")
    folder = arguments.out or Path("runs") / f"{label}-{settings_digest(about)}"
    if arguments.out and "," in arguments.model.strip(","):
        folder = folder / label
    with RunStore(folder, about, training=options.training(name)) as store:
        outcome.results += evaluate(engine, tasks, settings, store, strict=arguments.strict)
        failed = {**failed_tasks(store.done.values(), allowed=outcome.allowed), **store.failed}
    outcome.folders.append(folder)
    outcome.failures |= {f"{label}: {task}": reason for task, reason in failed.items()}


def _wanted(chosen: Sequence[tuple[Task, str | None]], settings: RunSettings) -> list[tuple[Task, RunSettings]]:
    """Give each task its suite's protocol; say for which ones the paper states no number of shots."""
    from evalkit.harness import catalog

    wanted = [(task, replace(settings, protocol=settings.protocol or protocol)) for task, protocol in chosen]
    protocols = [catalog.protocol_of(task, own.protocol)[1] for task, own in wanted]
    catalog.check_templates(settings.templates, protocols)
    unstated = [
        (task, own)
        for (task, own), protocol in zip(wanted, protocols, strict=True)
        if settings.paper_shots and protocol.paper_shots is None and protocol.kind != "rolling"
    ]
    if not unstated or (not settings.shots and len(unstated) == len(wanted)):
        return wanted
    names = ", ".join(task.name for task, _ in unstated)
    what = f"run with {','.join(map(str, settings.shots))} only" if settings.shots else "left out"
    log.warning("--shots paper: the paper states no number for %s: %s", names, what)
    return wanted if settings.shots else [pair for pair in wanted if pair not in unstated]


def _load(
    wanted: Sequence[tuple[Task, RunSettings]], data: DataPaths, *, named: Sequence[str], outcome: _Outcome
) -> list[Loaded]:
    """Load each task.

    A suite goes on without the tasks whose data is nowhere, saying so; one that is named by itself is an error. One
    whose files cannot be read fails, and the others go on.
    """
    from evalkit.harness.load import load

    loaded: list[Loaded] = []
    absent: dict[str, NoDataError] = {}
    for task, own in wanted:
        try:
            loaded.append(load(task, own, data))
        except NoDataError as error:
            if task.name in named:
                raise
            absent[task.name] = error
        except DataError as error:
            outcome.fail(task.name, error, alone=len(wanted) == 1)
        except OSError as error:
            gone = DataError(f"{task.name}: cannot read {error.filename}: {error.strerror}")
            outcome.fail(task.name, gone, alone=len(wanted) == 1)
    if not loaded:
        raise next(iter(absent.values()), None) or outcome.first or UsageError("--tasks names no task")
    if absent:
        log.warning("left out, for their data is nowhere: %s", ", ".join(absent))
    return loaded


def _print_results(outcome: _Outcome, arguments: argparse.Namespace) -> None:
    from evalkit.files import write_atomic
    from evalkit.report import table

    shown = {"all_metrics": arguments.all_metrics, "levels": arguments.levels, "allowed": outcome.allowed}
    table.show(outcome.results, options.console(), **shown)
    failed = f"failed: {', '.join(outcome.failures)}\n" if outcome.failures else ""
    print(f"{failed}stored in {', '.join(map(str, outcome.folders))}")
    if arguments.markdown:
        body = table.markdown(outcome.results, **shown)
        write_atomic(arguments.markdown, body + failed)
    if any(r.failed for r in outcome.results if r.source == "model" and not r.level):
        log.warning("some items failed and are not scored; records.jsonl says why (field error)")
    for name, reason in outcome.failures.items():
        log.error("%s failed: %s", name, reason)
