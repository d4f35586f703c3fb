"""Tasks that have been chosen and read, ready for any number of models."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from evalkit.data.sources import DataPaths
from evalkit.errors import DataError, EvalkitError, NoDataError, UsageError, unknown
from evalkit.harness import catalog
from evalkit.harness.load import load
from evalkit.harness.loaded import Loaded
from evalkit.harness.prompt_cache import PromptCache
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Task, protocol_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TaskSet:
    """Tasks with their data read, and the settings to run them with.

    failed: tasks whose data could not be read, each with its error. prompts: where prompts are kept between
    evaluations. affordable: the subsets that were chosen for a number of seconds.
    """

    settings: RunSettings
    loaded: Sequence[Loaded]
    failed: dict[str, EvalkitError] = field(default_factory=dict)
    prompts: PromptCache | None = None
    affordable: dict[float, TaskSet] = field(default_factory=dict, repr=False)

    def limited(self, limits: Mapping[str, int], *, seconds: float | None = None) -> TaskSet:
        """Return the tasks with fewer documents: the first ones of the fixed pseudo-random order of each.

        limits: by the tasks' names. seconds: the time for which they were chosen. Raises UsageError for a name that is
        none of the tasks.
        """
        sizes = {loaded.task.name: len(loaded.documents) for loaded in self.loaded}
        for name in limits:
            if name not in sizes and name not in self.failed:
                raise unknown("task", name, sizes, where="in limit")
        cut = {name: limit for name, limit in limits.items() if limit < sizes.get(name, 0)}
        before = sizes if self.settings.limit and cut else self.settings.limits
        loaded = [replace(one, documents=one.documents[: cut.get(one.task.name)]) for one in self.loaded]
        number = None if cut else self.settings.limit
        settings = replace(self.settings, limit=number, limits={**before, **cut}, seconds=seconds)
        return replace(self, settings=settings, loaded=loaded, affordable={})


def read_tasks(
    words: Iterable[str | Task],
    settings: RunSettings,
    data: DataPaths,
    *,
    trust_code: bool = False,
    strict: bool = False,
) -> TaskSet:
    """Choose tasks by names, suites, globs, files or Task objects, and read their data.

    A suite skips tasks without data, with a warning; for a task named by itself, missing data is an error. A task
    whose files cannot be read fails and the others go on, unless `strict`.

    Raises UsageError for names that do not exist, and the errors of `load` where no task is left.
    """
    words = list(words)
    catalog.check_protocol(settings.protocol)
    chosen = catalog.choose(words, trust_code=trust_code)
    catalog.check_data(data, [task for task, _ in chosen])
    plan = _with_protocols(chosen, settings)
    loaded: list[Loaded] = []
    failed: dict[str, EvalkitError] = {}
    absent: dict[str, NoDataError] = {}
    for task, task_settings in plan:
        try:
            loaded.append(load(task, task_settings, data))
        except NoDataError as error:
            if task.name in words:
                raise
            absent[task.name] = error
        except (DataError, OSError) as error:
            failure = error if isinstance(error, DataError) else _unreadable(task, error)
            if strict or len(plan) == 1:
                raise failure from error
            failed[task.name] = failure
    if not loaded:
        raise next(iter([*absent.values(), *failed.values()]), UsageError("--tasks names no task"))
    if absent:
        log.warning("left out, because no data was found for them: %s", ", ".join(absent))
    tasks = TaskSet(settings=replace(settings, limits={}), loaded=loaded, failed=failed)
    return tasks.limited(settings.limits, seconds=settings.seconds)


def _unreadable(task: Task, error: OSError) -> DataError:
    return DataError(f"{task.name}: cannot read {error.filename}: {error.strerror}")


def _with_protocols(chosen: Sequence[tuple[Task, str | None]], settings: RunSettings) -> list[tuple[Task, RunSettings]]:
    """Give each task its suite's protocol; warn of those for which the paper states no number of shots."""
    plan = [(task, replace(settings, protocol=settings.protocol or protocol)) for task, protocol in chosen]
    protocols = [protocol_of(task, task_settings.protocol)[1] for task, task_settings in plan]
    catalog.check_templates(settings.templates, protocols)
    unstated = [
        (task, task_settings)
        for (task, task_settings), protocol in zip(plan, protocols, strict=True)
        if settings.paper_shots and protocol.paper_shots is None and protocol.kind != "rolling"
    ]
    if not unstated or (not settings.shots and len(unstated) == len(plan)):
        return plan
    names = ", ".join(task.name for task, _ in unstated)
    consequence = f"run with {','.join(map(str, settings.shots))} only" if settings.shots else "left out"
    log.warning("--shots paper: the paper states no number for %s: %s", names, consequence)
    return plan if settings.shots else [pair for pair in plan if pair not in unstated]
