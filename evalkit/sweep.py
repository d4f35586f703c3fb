"""Runs of one model or of several, whose units are one queue.

The next model is opened when all units of the one before have been handed out: workers that have nothing left to do for
it begin with the next, while others finish. In one process a model ends before the next is opened.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from evalkit.engine.cache import ResponseCache
from evalkit.engine.calls import Answer, Asking, Here, Placing, ask_in_turn
from evalkit.engine.open import Model
from evalkit.errors import EvalkitError
from evalkit.harness.failures import MAX_FAILED, failed_tasks
from evalkit.harness.run import Work, check_plan, count_items, describe, finish, settings_digest
from evalkit.harness.taskset import TaskSet
from evalkit.progress import Progress, progress
from evalkit.results import Results, Run
from evalkit.runs.remote import RemoteFolder, Url
from evalkit.runs.store import RunStore


def run_model(
    model: Model,
    tasks: TaskSet,
    *,
    out: Path | Url | None,
    cache: ResponseCache | None,
    strict: bool = False,
    max_failed: float = MAX_FAILED,
    training: Mapping[str, object] | None = None,
    place: Placing = Here,
) -> Run:
    """Evaluate one model on tasks that are loaded, with a cache that is open.

    training: what is known of its training, instead of what the model says. The rest is as in run_models.
    """
    runs = run_models(
        {model.name: lambda: model}, tasks, out=lambda model: out, cache=cache, strict=strict, max_failed=max_failed,
        training=training, place=place,
    )  # fmt: skip
    ((_, run),) = runs
    if isinstance(run, EvalkitError):
        raise run
    return run


def run_models(
    models: Mapping[str, Callable[[], Model]],
    tasks: TaskSet,
    *,
    out: Callable[[Model], Path | Url | None],
    cache: ResponseCache | None,
    strict: bool = False,
    max_failed: float = MAX_FAILED,
    training: Mapping[str, object] | None = None,
    place: Placing = Here,
) -> Generator[tuple[str, Run | EvalkitError], None, None]:
    """Evaluate models on tasks that are loaded, with a cache that is open; yield each run, or why there is none.

    models: by name, each opened when it is its turn. out: the run folder of a model, or its URL; None for the usual
    folder. place: where engines answer. The rest is as in evalkit.evaluate. A run may end before those of earlier
    models.
    """
    failures: list[tuple[str, EvalkitError]] = []
    running: dict[Asking, _Running] = {}
    total = len(models) * count_items(tasks.loaded, tasks.settings)
    with ExitStack() as stack:

        @functools.cache
        def bar() -> Progress:
            return stack.enter_context(progress("evaluate", total=total, unit="items"))

        start = functools.partial(
            _Running, tasks=tasks, cache=cache, strict=strict, training=training, place=place, bar=bar
        )

        def begin(name: str) -> Asking | None:
            try:
                model = models[name]()
                run = start(name, model, out=out(model))
            except EvalkitError as error:
                failures.append((name, error))
                return None
            running[run.asking] = run
            return run.asking

        try:
            for asking, answer in ask_in_turn(filter(None, map(begin, models))):
                if answer:
                    running[asking].take(answer)
                else:
                    yield running.pop(asking).finished(max_failed=max_failed)
                while failures:
                    yield failures.pop(0)
        finally:
            for run in running.values():  # what was finished of them is kept
                run.close(*sys.exc_info())
    yield from failures


class _Running:
    """The run of one model, from its folder being opened to its results.

    bar: returns the bar, which is shown from then on. The other arguments are those of run_model.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        *,
        tasks: TaskSet,
        out: Path | Url | None,
        cache: ResponseCache | None,
        strict: bool,
        training: Mapping[str, object] | None,
        place: Placing,
        bar: Callable[[], Progress],
    ):
        self._name, self._tasks, self._began = name, tasks, time.time()
        loaded, settings = tasks.loaded, tasks.settings
        with ExitStack() as stack:
            engine = stack.enter_context(closing(model.engine(cache, place)))
            about = describe(engine, loaded, settings)
            self._at = out or Path("runs") / f"{file_label(model)}-{settings_digest(about)}"
            remote = stack.enter_context(RemoteFolder(self._at)) if isinstance(self._at, Url) else None
            folder = remote.folder if remote else Path(str(self._at))
            known = model.training if training is None else training
            self._store = stack.enter_context(RunStore(folder, about, training=known))
            if remote:
                remote.follow()
            check_plan(loaded, settings, self._store)
            bar().skip(len(self._store.done))
            self._work = stack.enter_context(
                Work(engine, loaded, settings, self._store, bar=bar(), prompts=tasks.prompts, strict=strict)
            )
            self.asking = Asking(self._work.place, self._work.calls())
            self._stack = stack.pop_all()
        self.close = self._stack.__exit__

    def take(self, answer: Answer) -> None:
        """Use an answer; an error that ends the run stops the asking."""
        try:
            self._work.take(answer)
        except EvalkitError as error:
            self.asking.stop(error)

    def finished(self, *, max_failed: float) -> tuple[str, Run | EvalkitError]:
        """Store the results and close the folder; return the name and the run, or what ended it early."""
        store, tasks = self._store, self._tasks
        try:
            with self._stack:
                if self.asking.error:
                    raise self.asking.error
                self._work.settle()
                results = finish(tasks.loaded, tasks.settings, store, began=self._began)
                failed = {**failed_tasks(store.done, allowed=max_failed), **store.failed}
        except EvalkitError as error:
            return self._name, error
        url = str(self._at) if isinstance(self._at, Url) else ""
        return self._name, Run(folder=store.folder, results=Results(results), failed=failed, url=url)


def file_label(model: Model) -> str:
    """Return a model's name as a part of a path."""
    return model.name.replace("/", "-").replace(":", "-")
