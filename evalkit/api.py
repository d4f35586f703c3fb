"""The functions of `import evalkit`: what the command line does, with keywords instead of options.

They print nothing but progress, on standard error, and raise the errors of evalkit.errors. A run leaves the same folder
with the same bytes as `evalkit run`, resumes an interrupted run, and shares its cache.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evalkit.data.sources import DataPaths
from evalkit.engine.cache import response_cache
from evalkit.engine.calls import Here, Placing
from evalkit.engine.open import ENGINES, MODELS, Model, open_model
from evalkit.engine.placing import placing
from evalkit.errors import UsageError
from evalkit.harness.affordable import check_seconds, within
from evalkit.harness.catalog import TASK_FOLDERS
from evalkit.harness.draw import drawn
from evalkit.harness.failures import MAX_FAILED
from evalkit.harness.prompt_cache import PromptCache
from evalkit.harness.settings import RunSettings
from evalkit.harness.tabletask import task_from_rows
from evalkit.harness.task import FAMILIES, Task
from evalkit.harness.taskset import TaskSet, read_tasks
from evalkit.metrics import METRICS, Metric
from evalkit.results import Run
from evalkit.runs.remote import fetch
from evalkit.runs.remote import place as place_of
from evalkit.sweep import file_label, run_model, run_models

if TYPE_CHECKING:
    import pandas as pd

    from evalkit.engine.base import Engine
    from evalkit.forecasts.observations import Target
    from evalkit.frames import Audit, Comparison, Forecasts
    from evalkit.report.measurements import ResultReader

__all__ = [
    "audit",
    "compare",
    "evaluate",
    "file_label",
    "forecast",
    "load_tasks",
    "open_model",
    "register_engine",
    "register_family",
    "register_metric",
    "register_model",
    "register_result_reader",
    "register_tasks",
    "run_model",
    "run_models",
    "task_from_rows",
]

Tasks = str | Path | Task | Iterable[str | Path | Task]
Limit = int | Mapping[str, int] | None
Shots = int | Literal["paper"] | Iterable[int | Literal["paper"]]


def load_tasks(
    tasks: Tasks = "world",
    *,
    shots: Shots | None = None,
    seeds: Sequence[int] = (1,),
    limit: Limit = None,
    protocol: str | None = None,
    templates: Sequence[str] = (),
    empty_context: Literal["end", "begin"] | None = None,
    data: Mapping[str, str | Path] | None = None,
    trust_task_code: bool = False,
    strict: bool = False,
) -> TaskSet:
    """Choose tasks and read their data, once for any number of models, or of steps of a training.

    Their prompts are built and encoded at the first evaluation and kept for the next ones with the same tokenizer.

    tasks: names, suites (`world`, `gpt2-paper`, a family), globs, task files (.py, lm-eval's .yaml), `lm-eval:NAME`,
    and Task objects (see task_from_rows). shots: numbers of solved examples in the prompt, "paper" for the paper's own
    (default: 0, or what a task file says). seeds: for drawing shots and sampling. limit: documents per task, a fixed
    pseudo-random subset; or a number for each task by name, as Run.limit gives it. protocol: how prompts are built
    (default: each task's first). templates: further wordings, or "all". empty_context: the token in place of an empty
    context, "end" of text or "begin" of sequence (default: begin under the protocol lm-eval, otherwise end). data: name
    of a benchmark -> its file or folder; otherwise EVALKIT_DATA's folder and the hub are looked through.
    trust_task_code: let the Python functions of lm-eval's task files run.
    strict: the first task whose data cannot be read is an error; otherwise its error is recorded in `failed` and the
    rest continue.

    Raises UsageError for names and values that are not allowed, DataError and NoDataError for data that is not as
    expected or nowhere.
    """
    numbers, paper = _shots(shots)
    number, limits = (None, dict(limit)) if isinstance(limit, Mapping) else (limit, {})
    settings = RunSettings(
        shots=numbers, paper_shots=paper, seeds=tuple(seeds), protocol=protocol, limit=number, limits=limits,
        templates=tuple(templates), default_shots=shots is None,
        empty_context=empty_context,
    )  # fmt: skip
    places = DataPaths.from_user([f"{name}={path}" for name, path in (data or {}).items()], os.environ)
    read = read_tasks(task_words(tasks), settings, places, trust_code=trust_task_code, strict=strict)
    return replace(read, prompts=PromptCache())


def evaluate(
    model: Model | str | Path,
    tasks: Tasks | TaskSet = "world",
    *,
    shots: Shots | None = None,
    seeds: Sequence[int] = (1,),
    limit: Limit = None,
    seconds: float | None = None,
    estimate: int | None = None,
    earlier: Iterable[Run | str | Path] = (),
    protocol: str | None = None,
    templates: Sequence[str] = (),
    data: Mapping[str, str | Path] | None = None,
    trust_task_code: bool = False,
    out: str | Path | None = None,
    cache: bool = True,
    strict: bool = False,
    max_failed: float = MAX_FAILED,
    workers: int | None = None,
    ray: str | None = None,
    threads: int | None = None,
) -> Run:
    """Evaluate a model on tasks and store every item; go on where an earlier start of the same run was stopped.

    model: what open_model gives, or a name or folder for it. tasks and the settings up to trust_task_code: as
    load_tasks; tasks that are loaded already keep their own settings. seconds: score only as many documents as the
    model answers in about this time: the first call measures how long they take, and every later call with these tasks
    scores the same documents, whatever the model, so that steps of a training can be compared in pairs. estimate: score
    this many documents of each task, chosen by the runs of other models in `earlier`, and estimate the values of all:
    results whose source is "estimate" (docs/estimates.md). out: the run folder, or its URL such as s3://BUCKET/RUN
    (docs/cluster.md; default: runs/MODEL-SETTINGS). cache: use responses that are known from other runs, and keep new
    ones.
    strict: the first task that fails is an error; otherwise its error is recorded in Run.failed and the rest continue.
    max_failed: a task of whose items a larger share failed (a prompt too long, a score that is no number) has failed.
    workers: how many processes hold the model and answer (default: this one alone); they need Ray. ray: the address of
    a running cluster ("auto": of this machine) on which they are started. threads: of matrix products, in each worker
    (default: 1) or in this process; with the same number, the results are the same bytes for any number of workers.

    Raises UsageError, DataError and NoDataError as load_tasks does, CheckpointError for models that cannot be read,
    StoreError for a folder that holds another run, DiskError where the disk is full; whatever was finished is kept.
    """
    opened = open_model(model) if isinstance(model, str | Path) else model
    if not isinstance(opened, Model):
        raise UsageError(
            f"evaluate: {type(model).__name__} is not a model; open it first: evalkit.open_model(module, tokenizer=...)"
        )
    if not isinstance(tasks, TaskSet):
        load = load_tasks if seconds is None else _loaded_once
        tasks = load(
            tasks, shots=shots, seeds=seeds, limit=limit, protocol=protocol, templates=templates, data=data,
            trust_task_code=trust_task_code, strict=strict,
        )  # fmt: skip
    elif (shots, tuple(seeds), limit, protocol, tuple(templates), data) != (None, (1,), None, None, (), None):
        raise UsageError("evaluate: loaded tasks already have settings; pass shots, limit, ... to load_tasks")
    with placing(workers=workers, address=ray, threads=threads) as place:
        if seconds is not None:
            tasks = within_seconds(opened, tasks, seconds, place=place)
        tasks = estimating(tasks, estimate, earlier)
        run = run_model(
            opened, tasks, out=None if out is None else place_of(out), cache=response_cache() if cache else None,
            strict=strict, max_failed=max_failed, place=place,
        )  # fmt: skip
    unread = {name: str(error) for name, error in tasks.failed.items()}
    return replace(run, failed={**unread, **run.failed})


def estimating(tasks: TaskSet, estimate: int | None, earlier: Iterable[Run | str | Path]) -> TaskSet:
    """Return the tasks with the documents that their values are estimated from, if they are to be estimated."""
    folders = [run.folder if isinstance(run, Run) else fetch(place_of(run)) for run in earlier]
    if estimate is not None:
        return drawn(tasks, count=estimate, earlier=folders)
    if folders:
        raise UsageError("earlier runs (--from) choose documents for an estimate; say how many (--estimate N)")
    return tasks


def within_seconds(model: Model, tasks: TaskSet, seconds: float, *, place: Placing = Here) -> TaskSet:
    """Return the tasks with as many documents as a model answers in a time; chosen once for these tasks and this time.

    place: where it answers. Raises UsageError for a time that is not above 0.
    """
    check_seconds(seconds)
    if seconds not in tasks.affordable:
        began = time.monotonic()
        with closing(model.engine(None, place)) as engine:  # without a cache, which would make documents look cheap
            spent = time.monotonic() - began
            tasks.affordable[seconds] = within(engine, tasks, seconds=seconds, spent=spent)
    return tasks.affordable[seconds]


# The task sets that evaluate() loaded for calls with `seconds`, by what they were loaded from; the oldest go first.
_remembered: OrderedDict[str, tuple[object, TaskSet]] = OrderedDict()
_REMEMBERED = 4


def _loaded_once(tasks: Tasks, **settings: Any) -> TaskSet:
    """Load tasks at the first call with the same names and settings, and return the same ones later."""
    words = task_words(tasks)
    names = [word if isinstance(word, str) else f"task object {id(word)}" for word in words]
    key = repr([names, sorted(settings.items()), os.environ.get("EVALKIT_DATA")])
    if key not in _remembered:
        # The words are kept too, so that no other object gets the id of one of them.
        _remembered[key] = words, load_tasks(words, **settings)
        while len(_remembered) > _REMEMBERED:
            _remembered.popitem(last=False)
    return _remembered[key][1]


def compare(
    base: Run | str | Path,
    new: Run | str | Path,
    *,
    margin: float | Mapping[str, float] | None = None,
    alpha: float = 0.05,
    allow: Sequence[str] = (),
    all_metrics: bool = False,
    strict: bool = False,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Test in pairs, on the documents that both scored, whether a run is better or worse than another.

    base, new: runs, their folders, or baseline files. margin: points within which a change counts as the same, for all
    tasks or by task. alpha: chance of a false alarm over all tasks (Holm). allow: fields in which the runs may differ
    (see `evalkit compare --help`). all_metrics: every metric counts, not only each task's first. strict: undecided
    results also fail.

    Raises CompareError for runs that cannot be compared, StoreError for folders that hold no whole run, UsageError for
    values that are not allowed.
    """
    from evalkit.comparison import baseline, comparison
    from evalkit.dclm import leaderboard
    from evalkit.frames import Comparison

    margins = {} if margin is None else dict(margin) if isinstance(margin, Mapping) else {"": margin}
    settings = comparison.Settings(
        alpha=alpha, margins=margins, allow=tuple(allow), all_metrics=all_metrics, strict=strict,
        resamples=resamples, seed=seed,
    )  # fmt: skip
    before, after = (baseline.read(side.folder if isinstance(side, Run) else place_of(side)) for side in (base, new))
    compared, _ = comparison.compare(before, after, settings)
    values = {name: getattr(compared, name) for name in compared.__dataclass_fields__}
    return Comparison(**{**values, "mean": leaderboard.change(before, after, alpha=alpha)})


def audit(
    runs: Run | str | Path | Iterable[Run | str | Path],
    *,
    last: int = 5,
    near: int | None = None,
    tasks: Sequence[str] = (),
    shots: Sequence[int] = (),
    levels: bool = False,
) -> Audit:
    """Judge which benchmarks can tell models of a size apart: signal, noise, agreement, documents, metrics.

    runs: runs, their folders, folders of them, or results of other tools, of several sizes, seeds or checkpoints. last:
    how many of each training's last checkpoints count. near: only models from a third of this many parameters to three
    times as many. tasks, shots: only these. levels: judge the levels of tasks too. docs/audit.md explains the figures.

    Raises UsageError for a path that is absent and for what no run has, DataError where no run holds a result.
    """
    from evalkit.audits.audit import audit as judge
    from evalkit.frames import Audit

    given = [runs] if isinstance(runs, Run | str | Path) else list(runs)
    folders = [run.folder if isinstance(run, Run) else place_of(run) for run in given]
    found = judge(folders, last=last, near=near, tasks=tasks, shots=shots, levels=levels)
    return Audit(**{name: getattr(found, name) for name in found.__dataclass_fields__})


def forecast(
    runs: Run | str | Path | pd.DataFrame | Iterable[Run | str | Path],
    *,
    at: str | Target | Sequence[str | Target] = (),
    predict: Sequence[str] = (),
    families: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> Forecasts:
    """Forecast the scores of models that do not exist yet, or are held out, from the smaller models of a ladder.

    runs: runs, their folders, folders of them, results of lm-evaluation-harness, long tables (docs/forecasts.md), or a
    data frame with the columns of one. at: the models to forecast, such as "N=12B,D=300B". predict: names of models
    that are there but held out, and forecast beside what they scored (default, without `at`: the largest of each
    ladder). families, metrics: only these. A series with fewer than three sizes, or whose past sizes are forecast no
    better than by "the same as the largest", has no forecast: its `reason` says so.

    Raises UsageError for a path that is absent, a target that cannot be or a model that no run has, DataError where no
    run holds a result, or results contradict each other.
    """
    from evalkit.forecasts.observations import Target
    from evalkit.forecasts.scoring import score
    from evalkit.frames import Forecasts
    from evalkit.report import forecasting, measurements
    from evalkit.report.imports import tables
    from evalkit.report.observed import observations
    from evalkit.report.selection import select

    if hasattr(runs, "to_numpy"):
        found, problems = tables.from_frame(runs), list[measurements.Problem]()
    else:
        given = [runs] if isinstance(runs, Run | str | Path) else list(runs)
        found, problems = measurements.read([run.folder if isinstance(run, Run) else place_of(run) for run in given])
    if not found:
        raise measurements.no_result(problems)
    asked = [at] if isinstance(at, str | Target) else list(at)
    hold_out = None if asked and not predict else tuple(predict)
    selection = select(found, families=tuple(families), metrics=tuple(metrics), predict=hold_out)
    targets = [forecasting.target_of(text, option="at") if isinstance(text, str) else text for text in asked]
    targets += forecasting.held_out(selection)
    if not targets or not observations(selection):
        return Forecasts(None)
    content = forecasting.forecast_of(selection, targets)
    return Forecasts(content, score(content, observations(selection, held_out=True)))


def register_metric(name: str, make: Callable[[], Metric]) -> None:
    """Add a metric: tasks name it among their protocol's metrics. make: makes one, usually its class.

    Raises UsageError for a name that is evalkit's own; so do the other functions of this kind. A package announces the
    same with an entry point of the group evalkit.metrics, and likewise for the others: evalkit.tasks, evalkit.models,
    evalkit.engines, evalkit.families, evalkit.result_readers.
    """
    METRICS.add(name, make)


def register_tasks(name: str, folder: str | Path) -> None:
    """Add a folder of task files; its tasks are known by their names, as the bundled ones are."""
    TASK_FOLDERS.add(name, folder)


def register_family(name: str, holds: str) -> None:
    """Add a family of tasks. holds: what its tasks ask for, in a few words."""
    FAMILIES.add(name, holds)


def register_model(name: str, make: Callable[[], Model | str | Path]) -> None:
    """Add a model's name: make returns what open_model takes, or what it gives."""
    MODELS.add(name, make)


def register_engine(name: str, make: Callable[..., Engine]) -> None:
    """Add an engine: `NAME:TEXT` as a model is then make(TEXT, dtype=..., device=..., batch_tokens=...)."""
    ENGINES.add(name, make)


def register_result_reader(name: str, read: ResultReader) -> None:
    """Add a kind of result file that `evalkit report` reads.

    read: given the parsed JSON of a file and its path, returns its measurements, or None for a file of another kind.
    """
    from evalkit.report.measurements import READERS

    READERS.add(name, read)


def task_words(tasks: Tasks) -> list[str | Task]:
    """Return what names tasks, one by one; a string may hold several, separated by commas."""
    given = [tasks] if isinstance(tasks, str | Path | Task) else list(tasks)
    words: list[str | Task] = []
    for word in given:
        if not isinstance(word, str | Path | Task):
            raise UsageError(f"tasks: {word!r:.60} is neither a name, a path nor a Task")
        words += [word] if isinstance(word, Task) else filter(None, str(word).split(","))
    return words


def _shots(shots: Shots | None) -> tuple[tuple[int, ...], bool]:
    """Return the numbers, and whether the paper's number is requested too."""
    given = [0] if shots is None else [shots] if isinstance(shots, int | str) else list(shots)
    numbers = tuple(dict.fromkeys(n for n in given if isinstance(n, int) and not isinstance(n, bool)))
    if wrong := [n for n in given if n != "paper" and (not isinstance(n, int) or isinstance(n, bool))]:
        raise UsageError(f"shots: expected whole numbers or 'paper', not {wrong[0]!r}")
    return numbers, "paper" in given
