"""Tasks by name: one Python file per benchmark under tasks/, found by path, or any file the user names."""

from __future__ import annotations

import fnmatch
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

from evalkit import papers
from evalkit.data.sources import DataPaths
from evalkit.errors import UsageError, unknown
from evalkit.harness.task import FAMILIES, Protocol, Task
from evalkit.metrics import METRICS
from evalkit.plugins import Registry, later

WORLD_SUITE = "world"

# Folders of task files beside the bundled ones: name -> path.
TASK_FOLDERS: Registry[str | Path] = Registry("task folder", {}, group="evalkit.tasks")

# The suites of a paper's benchmarks, each with the protocol that a task defines to belong to it.
PAPER_SUITES = MappingProxyType({"gpt1-zero-shot": "gpt1", "gpt2-paper": "gpt2", "gpt3-paper": "gpt3"})

# Other tools' tasks: functions from a name or file (and whether its code is trusted) to tasks. Imported only when such
# a task is requested, because YAML and Jinja take a moment.
IMPORTERS: Registry[Callable[..., list[Task]]] = Registry(
    "importer of tasks",
    {"lm-eval": later("evalkit.lm_eval.tasks:choose"), "core": later("evalkit.dclm.task:choose")},
    group="evalkit.importers",
)

# Prefix of names that mean a task, group or tag of lm-evaluation-harness.
LM_EVAL = "lm-eval:"

# The words for all tasks of CORE (Li et al. 2024), each with its protocol, and the prefix of their names.
CORE_SUITES = MappingProxyType({"core": "core", "core-fixed": "core-fixed"})
CORE = "core_"

# Wang et al. 2019, table 1.
_SUPERGLUE = ("boolq", "cb", "copa", "multirc", "record", "rte", "wic", "wsc")


def tasks_folder() -> Path:
    """Return the folder of the bundled task files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "tasks"
    return inside if inside.is_dir() else package.parent / "tasks"


@cache
def bundled() -> Mapping[str, Task]:
    """Return every bundled task by name, in the order of families, then names."""
    tasks = [task for path in sorted(tasks_folder().rglob("*.py")) for task in load_file(path)]
    order = list(FAMILIES)
    tasks.sort(key=lambda task: (order.index(task.family), task.name))
    names = [task.name for task in tasks]
    assert len(set(names)) == len(names), "two bundled tasks share a name"
    return MappingProxyType({task.name: task for task in tasks})


def available() -> Mapping[str, Task]:
    """Return the bundled tasks and those of folders that packages or the user added.

    Raises UsageError where two tasks share a name.
    """
    tasks = dict(bundled())
    for name in TASK_FOLDERS:
        for path in _files_of(name, Path(TASK_FOLDERS[name])):
            for task in load_file(path):
                if task.name in tasks:
                    raise UsageError(
                        f"task folder {name!r}: {path} defines {task.name}, which another file defines too"
                    )
                tasks[task.name] = task
    return tasks


def _files_of(name: str, folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"task folder {name!r}: {folder} is not a folder")
    return sorted(path for path in folder.rglob("*.py") if not path.name.startswith("_"))


def load_file(path: Path) -> tuple[Task, ...]:
    """Run a task file and return its TASKS; METRICS in it (name -> class or function) adds metrics.

    Raises UsageError when the file fails, or has no tasks or a METRICS of another form.
    """
    spec = importlib.util.spec_from_file_location(f"evalkit_tasks_{path.parent.name}_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"task file {path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file may fail in any way
        raise UsageError(f"task file {path} fails: {type(error).__name__}: {error}") from error
    tasks = getattr(module, "TASKS", None)
    if not isinstance(tasks, tuple) or not all(isinstance(task, Task) for task in tasks):
        raise UsageError(f"task file {path}: expected TASKS, a tuple of Task")
    own_metrics = getattr(module, "METRICS", {})
    if not isinstance(own_metrics, Mapping) or not all(map(callable, own_metrics.values())):
        raise UsageError(f"task file {path}: expected METRICS, a dict from names to subclasses of Metric")
    for name, make in own_metrics.items():
        METRICS.add(name, make)
    return tasks


def suites() -> Mapping[str, Sequence[str]]:
    """Return the named groups: the world, the papers', the tasks' own, SuperGLUE, each family, and all."""
    tasks = available()
    groups = {WORLD_SUITE: [name for name in tasks if name.startswith("world_")], "all": list(tasks)}
    groups |= {suite: _of_paper(protocol) for suite, protocol in PAPER_SUITES.items()}
    for task in tasks.values():
        for suite in task.suites:
            groups.setdefault(suite, []).append(task.name)
    groups["superglue"] = [name for name in _SUPERGLUE if name in tasks]
    groups |= {family: [t.name for t in tasks.values() if t.family == family] for family in FAMILIES}
    return {name: members for name, members in groups.items() if members}


def _of_paper(protocol: str) -> list[str]:
    """Return the tasks that define a paper's protocol; if the paper's values are known, only those that have one.

    A protocol may be defined for benchmarks that its paper did not use (GPT-2's translation prompt for German).
    """
    valued = {task for task, its_protocol, *_ in papers.published() if its_protocol == protocol}
    return [t.name for t in available().values() if protocol in t.protocols and (t.name in valued or not valued)]


def choose(words: Iterable[str | Task], *, trust_code: bool = False) -> list[tuple[Task, str | None]]:
    """Turn names, suites, globs (`world_*`), paths of task files and Task objects into tasks, each once, in order.

    Each comes with the protocol that its suite stands for, or None. trust_code: functions named by a task file of
    lm-evaluation-harness may run. Raises UsageError for a word that matches nothing, with the nearest name as a
    suggestion, for a task in two suites with different protocols, and for two tasks of one name.
    """
    tasks, groups = available(), suites()
    chosen: dict[str, tuple[Task, str | None]] = {}
    for word in words:
        protocol = None if isinstance(word, Task) else {**PAPER_SUITES, **CORE_SUITES}.get(word)
        if isinstance(word, Task):
            matches = [word]
        elif word.endswith(".py"):
            matches = list(load_file(Path(word)))
        elif word.startswith(LM_EVAL) or word.endswith((".yaml", ".yml")):
            matches = IMPORTERS["lm-eval"](word, trusted=trust_code)
        elif word in tasks:
            matches = [tasks[word]]
        elif word in groups:
            matches = [replace(tasks[name], levels=tasks[name].suites.get(word, ())) for name in groups[word]]
        elif word in CORE_SUITES or word.startswith(CORE):
            matches = IMPORTERS["core"](word)
        elif not (matches := [tasks[name] for name in fnmatch.filter(tasks, word) if any(c in word for c in "*?[")]):
            raise unknown("task", word, [*tasks, *suite_names()], listed_by="evalkit tasks")
        for task in matches:
            previous, earlier = chosen.get(task.name, (task, None))
            if type(previous) is not type(task):
                raise UsageError(f"--tasks: two tasks are called {task.name}, one of them imported; run one at a time")
            if earlier and protocol and earlier != protocol:
                raise UsageError(
                    f"--tasks: {task.name} is chosen under two protocols ({earlier}, {protocol}); run one at a time"
                )
            chosen[task.name] = (task, protocol or earlier)
    return list(chosen.values())


def suite_names() -> list[str]:
    """Return the words for several tasks: the suites and families, and those for CORE's tasks."""
    return [*suites(), *CORE_SUITES]


def select(words: Iterable[str]) -> list[Task]:
    """Return the tasks of `choose` alone."""
    return [task for task, _ in choose(words)]


def check_data(data: DataPaths, tasks: Iterable[Task]) -> None:
    """Raise UsageError for a `--data NAME=...` that none of the tasks reads."""
    benchmarks = {task.source.name for task in tasks}
    for name in data.named:
        if name not in benchmarks:
            raise unknown("benchmark", name, benchmarks, where="in --data")


def check_protocol(name: str | None) -> None:
    """Raise UsageError, with a suggestion, for a protocol that neither a bundled task nor CORE defines."""
    protocols = {protocol for task in available().values() for protocol in task.protocols} | {*CORE_SUITES.values()}
    if name is not None and name not in protocols:
        raise unknown("protocol", name, protocols)


def check_templates(names: Iterable[str], protocols: Iterable[Protocol]) -> None:
    """Raise UsageError, with a suggestion, for a template that none of the protocols has."""
    templates = {template for protocol in protocols for template in protocol.templates}
    for name in names:
        if name != "all" and name not in templates:
            raise unknown("template", name, {"all", *templates})
