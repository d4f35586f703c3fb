"""Tasks by name: one Python file per benchmark under tasks/, found by path, or any file the user names."""

from __future__ import annotations

import fnmatch
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from evalkit.errors import UsageError, unknown
from evalkit.harness.sources import DataPaths
from evalkit.harness.task import FAMILIES, Protocol, Task

WORLD_SUITE = "world"


def tasks_folder() -> Path:
    """Return the folder of the bundled task files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "tasks"
    return inside if inside.is_dir() else package.parent / "tasks"


@cache
def bundled() -> Mapping[str, Task]:
    """Return every bundled task by name, in the order of families, then names."""
    found = [task for path in sorted(tasks_folder().rglob("*.py")) for task in load_file(path)]
    found.sort(key=lambda task: (FAMILIES.index(task.family), task.name))
    names = [task.name for task in found]
    assert len(set(names)) == len(names), "two bundled tasks share a name"
    return MappingProxyType({task.name: task for task in found})


def load_file(path: Path) -> tuple[Task, ...]:
    """Run a task file and return its TASKS. Raises UsageError when the file has none or fails."""
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
    return tasks


def suites() -> Mapping[str, Sequence[str]]:
    """Return the named groups: the world, each family, and all."""
    tasks = bundled()
    groups = {WORLD_SUITE: [name for name in tasks if name.startswith("world_")], "all": list(tasks)}
    groups |= {family: [t.name for t in tasks.values() if t.family == family] for family in FAMILIES}
    return groups


def select(words: Iterable[str]) -> list[Task]:
    """Turn names, suites, globs (`world_*`) and paths of task files into tasks, each once, in the order given.

    Raises UsageError for a word that matches nothing, with the nearest name as a suggestion.
    """
    tasks, groups = bundled(), suites()
    chosen: dict[str, Task] = {}
    for word in words:
        if word.endswith(".py"):
            chosen |= {task.name: task for task in load_file(Path(word))}
        elif word in tasks:
            chosen[word] = tasks[word]
        elif word in groups:
            chosen |= {name: tasks[name] for name in groups[word]}
        elif matched := fnmatch.filter(tasks, word) if any(c in word for c in "*?[") else []:
            chosen |= {name: tasks[name] for name in matched}
        else:
            raise unknown("task", word, [*tasks, *groups])
    return list(chosen.values())


def protocol_of(task: Task, name: str | None) -> tuple[str, Protocol]:
    """Return a task's protocol by name, or its first. Raises UsageError when the task does not define it."""
    if name is None:
        return next(iter(task.protocols.items()))
    if name not in task.protocols:
        raise UsageError(f"task {task.name!r} defines no protocol {name!r} (it has: {', '.join(task.protocols)})")
    return name, task.protocols[name]


def check_data(data: DataPaths, tasks: Iterable[Task]) -> None:
    """Raise UsageError for a `--data NAME=...` that none of the tasks reads."""
    read = {task.source.name for task in tasks}
    for name in data.named:
        if name not in read:
            raise unknown("benchmark in --data", name, read)


def check_protocol(name: str | None) -> None:
    """Raise UsageError, with a suggestion, for a protocol that no bundled task defines."""
    known = {protocol for task in bundled().values() for protocol in task.protocols}
    if name is not None and name not in known:
        raise unknown("protocol", name, known)
