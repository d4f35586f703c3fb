"""LearningCurve: a model's steps, each evaluated once on the same documents, in one folder.

    OUT/step-N          an ordinary run folder for each step
    OUT/curve.jsonl     a line for each step: its scores with their intervals
    OUT/curve.json      what is asked, and how many documents were chosen: the same at every start

The run folders are authoritative: a line that a kill has lost is made again from them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from evalkit import api
from evalkit.curves.boards import Line, boards
from evalkit.engine.cache import response_cache
from evalkit.engine.calls import Here, Placing
from evalkit.engine.open import Model
from evalkit.errors import StoreError, UsageError
from evalkit.files import make_folder, read_json, read_log, write_atomic
from evalkit.harness.affordable import check_seconds
from evalkit.harness.failures import MAX_FAILED
from evalkit.harness.run import describe_tasks
from evalkit.harness.taskset import TaskSet
from evalkit.results import Results, Run
from evalkit.runs.journal import lock
from evalkit.runs.store import differences, open_run, read_manifest
from evalkit.types import Result

LINES, ABOUT = "curve.jsonl", "curve.json"
# Where the evaluation of a step is moved whose weights another training has replaced; reports do not look there.
REPLACED = ".replaced"


class LearningCurve:
    """The scores of a model's steps on the same documents.

    out: the folder, of a new curve or of one that goes on. tasks and settings: as for evalkit.load_tasks, or tasks that
    are loaded already. seconds: score as many documents as fit into about this time, as in evalkit.evaluate; they are
    chosen at the first step and stay the same, after a restart too. tensorboard: write event files to OUT/tensorboard.
    wandb: also log to a run of this project of Weights & Biases. cache: use and keep responses known from other runs;
    off, because weights that are being trained are never the same again. place: where models answer, in this process or
    in workers (evalkit.engine.placing).

    In a training of several processes only one may hold a curve. Can be used as a context manager.

    Raises UsageError for wrong settings, for settings that are not those of the curve in `out`, and for a package that
    is not installed.
    """

    def __init__(
        self,
        out: str | Path,
        tasks: api.Tasks | TaskSet = "world-quick",
        *,
        seconds: float | None = None,
        tensorboard: bool = False,
        wandb: str | None = None,
        cache: bool = False,
        max_failed: float = MAX_FAILED,
        place: Placing = Here,
        **settings: Any,
    ):
        if seconds is not None:
            check_seconds(seconds)
        if isinstance(tasks, TaskSet) and settings:
            raise UsageError("LearningCurve: loaded tasks already have settings; pass shots, limit, ... to load_tasks")
        self.out, self.seconds = make_folder(Path(out)), seconds
        self._tasks = tasks if isinstance(tasks, TaskSet) else api.load_tasks(tasks, **settings)
        self._cache, self._max_failed, self._place = cache, max_failed, place
        self._about = describe_tasks(self._tasks.loaded, self._tasks.settings) | {"budget": seconds}
        self._chosen = self._read_chosen()
        self._boards = boards(self.out, tensorboard=tensorboard, wandb=wandb)

    def __enter__(self) -> LearningCurve:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish the files of TensorBoard and Weights & Biases."""
        for board in self._boards:
            board.close()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What curve.jsonl holds: a line per step, in the order in which the steps were evaluated."""
        return [row for row in read_log(self.out / LINES) if isinstance(row.get("step"), int)]

    def run(self, step: int) -> Run:
        """Return the run of a step. Raises StoreError if there is none, or it is not finished."""
        stored = open_run(self.out / f"step-{step}")
        return Run(folder=stored.folder, results=Results(stored.results), failed=stored.failed)

    def add(self, model: Model | str | Path, *, step: int, **facts: Any) -> Run:
        """Evaluate a step, unless that has been done, and append it to the curve.

        facts: what is known of the training at this step, for reports: tokens, flops, loss, ...; with `tokens`,
        `evalkit report OUT` draws the curve. A step whose weights have changed since is evaluated anew, and its earlier
        run is moved to OUT/.replaced. Raises as evalkit.evaluate does.
        """
        opened = model if isinstance(model, Model) else api.open_model(model)
        with self._alone():
            tasks = self._chosen_tasks(opened)
            folder = self.out / f"step-{step}"
            self._set_aside_replaced(folder, opened, step=step)
            run = api.run_model(
                opened, tasks, out=folder, cache=response_cache() if self._cache else None,
                max_failed=self._max_failed, training={**opened.training, **facts, "step": step}, place=self._place,
            )  # fmt: skip
            self._complete_lines()
        return run

    def refresh(self) -> None:
        """Append the lines of finished runs that a kill has lost, and show on the boards what they lack."""
        with self._alone():
            self._complete_lines()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from adding to the curve at the same time."""
        held = lock(self.out)
        try:
            yield
        finally:
            if held is not None:
                os.close(held)

    def _read_chosen(self) -> TaskSet | None:
        """Return the tasks with the documents chosen at an earlier start. Raises UsageError for other settings."""
        path = self.out / ABOUT
        if not path.exists():
            return None
        stored = read_json(path, StoreError)
        if not isinstance(stored, dict) or not isinstance(stored.get("limits"), dict):
            raise StoreError(f"{path}: not the settings of a learning curve")
        own = json.loads(json.dumps(self._about))
        if changed := list(differences({k: v for k, v in stored.items() if k != "limits"}, own)):
            more = f"; and {len(changed) - 4} more" if len(changed) > 4 else ""
            raise UsageError(
                f"{self.out} holds a learning curve with other settings ({'; '.join(changed[:4])}{more}); "
                "choose another folder (--out)"
            )
        return self._tasks.limited(stored["limits"], seconds=self.seconds) if self.seconds else self._tasks

    def _chosen_tasks(self, model: Model) -> TaskSet:
        """Return the tasks with their documents, which the first step chooses where a time is given."""
        if self._chosen is None:
            within = partial(api.within_seconds, model, self._tasks, place=self._place)
            chosen = within(self.seconds) if self.seconds else self._tasks
            limits = dict(chosen.settings.limits) if self.seconds else {}
            write_atomic(self.out / ABOUT, json.dumps(self._about | {"limits": limits}, indent=1) + "\n")
            self._chosen = chosen
        return self._chosen

    def _set_aside_replaced(self, folder: Path, model: Model, *, step: int) -> None:
        """Forget the line of a step that was made with other weights, then move its run away."""
        if not (folder / "manifest.json").exists():
            return
        before = read_manifest(folder)["settings"].get("model")
        with contextlib.closing(model.engine(None, self._place)) as engine:
            now = dict(engine.signature())
        if not isinstance(before, dict) or before.get("hash") == now["hash"]:
            return
        self._write([line for line in self.lines if line["step"] != step])
        target = make_folder(self.out / REPLACED) / f"{folder.name}-{before.get('hash')}"
        shutil.rmtree(target, ignore_errors=True)  # where the same weights were replaced before: the same scores
        folder.rename(target)

    def _complete_lines(self) -> None:
        """Append the lines of finished runs that are not in the file yet, and show all of them on the boards."""
        lines = self.lines
        known = {line["step"] for line in lines}
        steps = {int(path.name[5:]): path for path in self.out.glob("step-*") if path.name[5:].isdigit()}
        new = [
            line_of(steps[step])
            for step in sorted(steps.keys() - known)
            if (steps[step] / "results.json").exists() and (steps[step] / "manifest.json").exists()
        ]
        if new:
            self._write([*lines, *new])
        for board in self._boards:
            board.show([*lines, *new])

    def _write(self, lines: Sequence[Line]) -> None:
        write_atomic(self.out / LINES, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def line_of(folder: Path) -> dict[str, Any]:
    """Return the line of a finished run: step, hash of the weights, facts of the training, and every score.

    A score is named TASK/SHOTS-shot/METRIC and has beside it its interval (/low, /high) and its documents (/n). Levels,
    controls and baselines are in the run. Raises StoreError for a run that is damaged.
    """
    run = open_run(folder)
    about = {name: value for name, value in run.training.items() if name != "step" and value is not None}
    line: dict[str, Any] = {
        "step": int(folder.name.removeprefix("step-")), "run": folder.name,
        "hash": run.settings["model"]["hash"], **about, "seconds": run.timing.get("seconds"),
    }  # fmt: skip
    for result in run.results:
        if result.source == "model" and not result.level:
            line |= scores(result)
    return line


def scores(result: Result) -> dict[str, float | None]:
    """Return a result's value, interval and number of documents, by the names that boards show."""
    task = f"{result.task} ({result.template})" if result.template else result.task
    name = f"{task}/{result.shots}-shot/{result.metric}"
    figures = {"": result.value, "/low": result.low, "/high": result.high, "/n": float(result.n)}
    return {f"{name}{end}": round(value, 6) if math.isfinite(value) else None for end, value in figures.items()}
