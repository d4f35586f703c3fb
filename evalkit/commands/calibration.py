"""evalkit calibration: whether a model is right more often when it is confident."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.errors import UsageError, unknown

if TYPE_CHECKING:
    from evalkit.runs.store import StoredRun
    from evalkit.types import Record

SUMMARY = "Compare a model's confidence in its generated answers with how often they are right."
EXAMPLES = """examples:
  evalkit calibration runs/gpt2-1a2b3c4d --task nq_open
  evalkit calibration runs/gpt2-1a2b3c4d --task triviaqa --shots 64 --metric triviaqa_exact_match
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, as evalkit run stores it")
    parser.add_argument("--task", required=True, help="one of the run's tasks that generate an answer")
    parser.add_argument("--shots", type=int, help="number of shots, one of the run's (default: the smallest)")
    parser.add_argument("--metric", help="a metric that is right or wrong (default: the task's first)")


def run(arguments: argparse.Namespace) -> None:
    """Print the accuracy of the most confident answers, and the curve."""
    from evalkit.report import calibration
    from evalkit.runs.store import open_run

    run = open_run(arguments.run, unfinished=True)
    run.check_whole("a calibration curve")
    tasks = run.settings.get("tasks", {})
    if arguments.task not in tasks:
        raise unknown("task", arguments.task, tasks, where="in this run")
    metric = arguments.metric or tasks[arguments.task]["metrics"][0]
    records, shots = _records(run, arguments.task, arguments.shots)
    calibrated = calibration.calibrate(calibration.answers(records, metric))
    options.show_page(f"{arguments.task}, {shots} shots, {metric}\n\n{calibration.markdown(calibrated)}")


def _records(run: StoredRun, task: str, shots: int | None) -> tuple[list[Record], int]:
    """Return a task's records at one number of shots, and that number. Raises UsageError where there is none."""
    by_shots: dict[int, list[Record]] = {}
    for record in run.records():
        if record.cell.task == task and not record.cell.template:
            by_shots.setdefault(record.cell.shots, []).append(record)
    if not by_shots:
        raise UsageError(f"{run.folder} has no items of {task} yet")
    chosen = min(by_shots) if shots is None else shots
    if chosen not in by_shots:
        raise UsageError(f"--shots {chosen}: {run.folder} has {task} with {', '.join(map(str, sorted(by_shots)))}")
    return by_shots[chosen], chosen
