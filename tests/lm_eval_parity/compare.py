"""What lm-eval asks and finds, and what evalkit does on the same files and data: every difference, task by task."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.data.sources import DataPaths
from evalkit.engine.base import Engine
from evalkit.engine.fake import FakeEngine
from evalkit.harness.catalog import LM_EVAL
from evalkit.harness.load import load
from evalkit.harness.loaded import Loaded
from evalkit.harness.run import describe, evaluate
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Task
from evalkit.lm_eval import tasks as lm_eval
from evalkit.lm_eval.stderr import of_group, standard_error
from evalkit.lm_eval.tasks.chosen import FOLDER_VARIABLE
from evalkit.metrics.values import MeanValue, ValueMetric
from evalkit.runs.store import RunStore, read_records
from evalkit.types import Cell, Record, Request, Response, Result
from tests.lm_eval_parity import answers
from tests.lm_eval_parity.copies import write_all

# As many resamples as a comparison of the draws needs; lm-eval's default of 100,000 takes minutes a task.
ITERATIONS = 2000

_CLOSE = 1e-9

# Two log-likelihoods in fp32 may differ by this; those of long pages, beyond 1,000 nats, by a millionth.
LIKELIHOOD = 1e-3


@dataclass(frozen=True)
class Compared:
    """One task at one number of shots. differences: what differs, in words; no words, no difference.

    likelihood: the largest difference of two log-likelihoods (see LIKELIHOOD). flips: of how many answers the greedy
    flag or the text differs. Both are 0 where both programs ask the model of answers.py.
    """

    task: str
    shots: int
    requests: int
    metrics: int
    differences: Sequence[str]
    likelihood: float = 0.0
    flips: int = 0


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What both programs are given.

    python: one that has lm_eval. root: data sets in the hub's layout (see copies.py). folder: task files; none: those
    of lm_eval. limit: documents of a task. model: as in theirs.py.
    """

    python: Path
    root: Path
    folder: Path | None = None
    limit: int = 100
    model: str = ""

    def shipped(self) -> Path:
        """Return lm_eval's own folder of task files."""
        code = "import importlib.util as u; print(u.find_spec('lm_eval').submodule_search_locations[0])"
        found = subprocess.run([str(self.python), "-c", code], check=True, capture_output=True, text=True)
        return Path(found.stdout.strip()) / "tasks"

    def write_copies(self, data: Path) -> None:
        """Write the data sets under `root`, from the benchmark files, and let evalkit find lm_eval's task files."""
        os.environ[FOLDER_VARIABLE] = str(self.shipped())
        write_all(data, self.root, task_files=self.shipped())

    def theirs(self, names: Sequence[str], *, shots: int) -> dict[str, Any]:
        """Ask lm_eval for its requests and its results with the model of answers.py."""
        with tempfile.TemporaryDirectory() as temporary:
            out, script = Path(temporary) / "theirs.json", Path(__file__).with_name("theirs.py").resolve()
            arguments = [
                self.root.resolve(),
                self.folder or "",
                out,
                self.model or "",
                shots,
                self.limit,
                ITERATIONS,
                *names,
            ]
            command = [str(self.python.absolute()), str(script), *map(str, arguments)]
            environment = dict(os.environ)
            if self.model.startswith("evalkit:"):
                environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
            done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=environment)
            if done.returncode:
                raise RuntimeError(f"lm_eval fails on {', '.join(names)}:\n{done.stderr[-3000:]}")
            found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
            return found


def compare(
    theirs: Mapping[str, Any],
    names: Sequence[str],
    *,
    shots: int,
    root: Path | None,
    limit: int,
    engine: Engine | None = None,
    close: float = _CLOSE,
) -> Iterator[Compared]:
    """Compare tasks and groups by name with what lm_eval found (see Setup.theirs).

    EVALKIT_LM_EVAL_TASKS has to name the folder of the task files. root: data sets in the hub's layout. engine: what
    answers here; none: the model of answers.py. close: relative difference of two values that count as equal.
    """
    for name in names:
        if name in theirs["errors"]:
            yield Compared(name, shots, 0, 0, [f"lm_eval fails: {theirs['errors'][name]}"])
            continue
        tasks = lm_eval.choose(f"{LM_EVAL}{name}", trusted=True)
        settings = RunSettings(shots=(shots,), limit=limit)
        loaded = [load(task, settings, DataPaths(root=root)) for task in tasks]
        results, records = _run(loaded, settings, engine or _hashed(loaded))
        for one in loaded:
            own = [r for r in records if r.cell.task == one.task.name]
            yield _task(one, theirs["tasks"][one.task.name], results, own, close=close)
        for group in sorted({group.name for task in tasks for group in task.groups}):
            yield _group(
                group, tasks, theirs["groups"][group], results, shots=shots, theirs=theirs["tasks"], close=close
            )


def _hashed(loaded: Sequence[Loaded]) -> Engine:
    """Make the model of answers.py."""
    decoding = {one.task.name: one.protocol.decoding for one in loaded}

    def answer(request: Request) -> Response:
        if request.kind == "generate_until":
            text = answers.text(request.context)
            for stop in decoding[request.task].until:
                text = text.split(stop)[0]
            return Response(text=text)
        likelihood, greedy = answers.likelihood(request.context, request.continuation)
        return Response(loglikelihood=likelihood, is_greedy=greedy, tokens=1)

    return FakeEngine("hashed", answer)


def _run(loaded: Sequence[Loaded], settings: RunSettings, engine: Engine) -> tuple[list[Result], list[Record]]:
    """Send tasks through the whole corridor."""
    with tempfile.TemporaryDirectory() as folder, RunStore(Path(folder), describe(engine, loaded, settings)) as store:
        results = evaluate(engine, loaded, settings, store)
        return results, list(read_records(store.folder))


def _task(
    loaded: Loaded, theirs: dict[str, Any], results: Sequence[Result], records: Sequence[Record], *, close: float
) -> Compared:
    ours = _requests(loaded)
    differences = list(_unequal_requests(ours, theirs["requests"]))
    mine = {r.metric: r for r in results if r.task == loaded.task.name and r.source == "model"}
    ordered = sorted(records, key=lambda record: int(record.doc_id))
    count = 0
    for key, value in theirs["metrics"].items():
        name, _, filter_name = key.partition(",")
        if not filter_name or name.endswith("_stderr"):
            continue
        count += 1
        metric_name = name if filter_name == "none" else key
        if metric_name not in mine:
            differences.append(f"{key}: not here")
            continue
        metric = loaded.metrics.get(metric_name, MeanValue(metric_name))
        assert isinstance(metric, ValueMetric)
        differences += _unequal(key, mine[metric_name].value / metric.scale, value, close=close)
        table = np.asarray([r.scores[metric_name] for r in ordered if metric_name in r.scores], dtype=np.float64)
        kept = [r.values[metric_name] for r in ordered if metric_name in r.values]
        error = standard_error(metric, table, values=kept, iterations=ITERATIONS)
        other = theirs["metrics"][f"{name}_stderr,{filter_name}"]
        differences += _unequal(f"standard error of {key}", error, other, close=close)
    likelihood, flips = _answers(ordered, theirs.get("answers", ()))
    return Compared(loaded.task.name, max(loaded.shots), len(ours), count, differences, likelihood, flips)


def _answers(records: Sequence[Record], theirs: Sequence[Any]) -> tuple[float, int]:
    """Return the largest difference of two log-likelihoods, and how many flags or texts differ."""
    ours = [response for record in records for response in record.responses]
    worst, flips = 0.0, 0
    for mine, other in zip(ours, theirs, strict=False):
        if isinstance(other, str):
            flips += mine.text != other
        elif isinstance(other, list):
            worst = max(worst, _apart(mine.loglikelihood, other[0]))
            flips += mine.is_greedy != other[1]
        else:
            worst = max(worst, _apart(mine.loglikelihood, other))
    return worst, flips


def _apart(mine: float, other: float) -> float:
    return abs(mine - other) / max(1.0, abs(other) / 1000)


def _group(
    name: str,
    tasks: Sequence[Task],
    their_group: dict[str, Any],
    results: Sequence[Result],
    *,
    shots: int,
    theirs: Any,
    close: float,
) -> Compared:
    """Compare a group's means, and their standard errors as they follow from those of its tasks."""
    differences: list[str] = []
    members = [task for task in tasks if name in {group.name for group in task.groups}]
    metrics = {
        metric: by_size
        for task in members
        for g in task.groups
        if g.name == name
        for metric, by_size in g.metrics.items()
    }
    for metric, by_size in metrics.items():
        key = metric if "," in metric else f"{metric},none"
        found = next((r for r in results if r.task == name and r.metric == metric), None)
        scale = 100.0 if found and found.chance is not None else 1.0
        differences += _unequal(f"group {key}", found.value / scale if found else None, their_group[key], close=close)
        error_key = key.replace(",", "_stderr,", 1)
        errors = [theirs[task.name]["metrics"][error_key] for task in members]
        sizes = [theirs[task.name]["metrics"]["sample_len"] for task in members]
        error = of_group(errors, sizes, by_size=by_size)
        differences += _unequal(f"group {error_key}", error, their_group[error_key], close=close)
    return Compared(f"group {name}", shots, 0, len(metrics), differences)


def _requests(loaded: Loaded) -> list[list[Any]]:
    """Write evalkit's requests as lm-eval's arguments: a context and a continuation, or one of them."""
    found = []
    cell = Cell(task=loaded.task.name, protocol=loaded.name, shots=max(loaded.shots), seed=1)
    for document, example in loaded.documents:
        for context, continuation in loaded.rules.texts(loaded, document, example, cell):
            kinds = {"rolling": [continuation], "generate": [context]}
            found.append([int(document.id), kinds.get(loaded.protocol.kind, [context, continuation])])
    return found


def _unequal_requests(ours: Sequence[Any], theirs: Sequence[Any]) -> Iterator[str]:
    if len(ours) != len(theirs):
        yield f"{len(ours)} requests, theirs {len(theirs)}"
    wrong = [(mine, other) for mine, other in zip(ours, theirs, strict=False) if mine != other]
    if wrong:
        mine, other = wrong[0]
        yield f"{len(wrong)} requests differ, first of document {mine[0]}: {mine[1]!r} <> {other[1]!r}"


def _unequal(what: str, ours: float | None, theirs: Any, *, close: float) -> list[str]:
    """Say how two values differ; lm-eval writes N/A where there is none."""
    if ours is None or theirs in ("N/A", None):
        return [] if ours is None and theirs in ("N/A", None) else [f"{what}: {ours}, theirs {theirs}"]
    other = float(theirs)
    equal = math.isclose(ours, other, rel_tol=close, abs_tol=close) or (math.isnan(ours) and math.isnan(other))
    return [] if equal else [f"{what}: {ours!r}, theirs {other!r}"]
