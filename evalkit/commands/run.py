"""evalkit run: evaluate models on tasks; store every item; print the table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.errors import NoDataError

if TYPE_CHECKING:
    from evalkit.harness.load import Loaded, RunSettings
    from evalkit.harness.sources import DataPaths
    from evalkit.harness.task import Task
    from evalkit.types import Result

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
        help="tasks, suites (world, gpt2-paper, superglue, a family, all), globs, task files (default: world)",
    )
    parser.add_argument(
        "--shots", default="0", help="counts of examples in the prompt; paper: the paper's (default: 0)"
    )
    parser.add_argument("--protocol", help="how to build prompts (default: its suite's, or each task's first)")
    parser.add_argument("--templates", default="", metavar="NAME,...", help="further wordings to run too, or all")
    parser.add_argument("--limit", type=int, help="documents per task: a fixed pseudo-random subset")
    parser.add_argument("--seeds", default="1", help="seeds for drawing shots and sampling (default: 1)")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="where a benchmark's file or folder is",
    )
    parser.add_argument("--out", type=Path, help="run folder (default: runs/MODEL-SETTINGS)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out (a second start does so anyway)"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table as Markdown")
    parser.add_argument("--all-metrics", action="store_true", help="show every metric, not only each task's first")
    parser.add_argument("--levels", action="store_true", help="show each task's levels (head and tail, ...) too")
    options.add_engine(parser)


def run(arguments: argparse.Namespace) -> None:
    """Evaluate each model in turn; the table at the end holds all of them."""
    from evalkit.harness import catalog
    from evalkit.harness.load import RunSettings
    from evalkit.harness.run import describe, evaluate, settings_digest
    from evalkit.harness.store import RunStore
    from evalkit.model import resolve

    shots, paper_shots = options.shots(arguments.shots)
    settings = RunSettings(
        shots=shots,
        paper_shots=paper_shots,
        seeds=options.integers(arguments.seeds, "--seeds"),
        protocol=arguments.protocol,
        limit=arguments.limit,
        templates=tuple(filter(None, arguments.templates.split(","))),
    )
    names = [name for name in arguments.model.split(",") if name]
    for name in names:  # a wrong name is found before the first model has run for hours
        resolve.folder_of(name)
    catalog.check_protocol(settings.protocol)
    data = options.data(arguments)
    chosen = catalog.choose(filter(None, arguments.tasks.split(",")))
    catalog.check_data(data, [task for task, _ in chosen])
    tasks = _load(chosen, settings, data, named=arguments.tasks.split(","))
    results: list[Result] = []
    folders = []
    for name in names:
        engine = options.engine(name, arguments)
        about = describe(engine, tasks, settings)
        label = about["model"]["model"].replace("/", "-").replace(":", "-")
        folder = arguments.out or Path("runs") / f"{label}-{settings_digest(about)}"
        folders.append(folder / label if arguments.out and len(names) > 1 else folder)
        with RunStore(folders[-1], about, training=options.training(name)) as store:
            results += evaluate(engine, tasks, settings, store)
    _print_results(results, folders, arguments)


def _load(
    chosen: Sequence[tuple[Task, str | None]], settings: RunSettings, data: DataPaths, *, named: Sequence[str]
) -> list[Loaded]:
    """Load each task under its suite's protocol; say for which ones the paper states no number of shots.

    A suite goes on without the tasks whose data is nowhere, saying so; one that is named by itself is an error.
    """
    from evalkit.harness import catalog
    from evalkit.harness.load import load

    wanted = [(task, replace(settings, protocol=settings.protocol or protocol)) for task, protocol in chosen]
    protocols = [catalog.protocol_of(task, own.protocol)[1] for task, own in wanted]
    catalog.check_templates(settings.templates, protocols)
    unstated = [
        (task, own)
        for (task, own), protocol in zip(wanted, protocols, strict=True)
        if settings.paper_shots and protocol.paper_shots is None and protocol.kind != "rolling"
    ]
    if unstated and (settings.shots or len(unstated) < len(wanted)):
        names = ", ".join(task.name for task, _ in unstated)
        what = f"run with {','.join(map(str, settings.shots))} only" if settings.shots else "left out"
        print(f"--shots paper: the paper states no number for {names}: {what}", file=sys.stderr)
        wanted = wanted if settings.shots else [pair for pair in wanted if pair not in unstated]
    loaded: list[Loaded] = []
    absent: dict[str, NoDataError] = {}
    for task, own in wanted:
        try:
            loaded.append(load(task, own, data))
        except NoDataError as error:
            if task.name in named:
                raise
            absent[task.name] = error
    if absent and not loaded:
        raise next(iter(absent.values()))
    if absent:
        print(f"left out, for their data is nowhere: {', '.join(absent)}", file=sys.stderr)
    return loaded


def _print_results(results: Sequence[Result], folders: Sequence[Path], arguments: argparse.Namespace) -> None:
    from evalkit.files import write_atomic
    from evalkit.report import table

    table.show(results, options.console(), all_metrics=arguments.all_metrics, levels=arguments.levels)
    print(f"stored in {', '.join(map(str, folders))}")
    if arguments.markdown:
        body = table.markdown(results, all_metrics=arguments.all_metrics, levels=arguments.levels)
        write_atomic(arguments.markdown, body)
    failed = sum(r.failed for r in results if r.source == "model" and not r.level)
    if failed:
        print("some items failed and are not scored; records.jsonl says why (field error)", file=sys.stderr)
