"""`--tasks path/to/task.yaml` and `--tasks lm-eval:NAME`: files, names, groups and tags -> tasks."""

from __future__ import annotations

import fnmatch
import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalkit.errors import DataError, UsageError, unknown
from evalkit.harness.catalog import LM_EVAL
from evalkit.harness.task import Group, Task
from evalkit.lm_eval.tasks import functions, index
from evalkit.lm_eval.tasks.scores import metric_name
from evalkit.lm_eval.tasks.task import as_task
from evalkit.lm_eval.tasks.taskfile import TaskFile, parse

log = logging.getLogger(__name__)

# Names the folder of task files in which names are looked up; by default that of an installed lm_eval.
FOLDER_VARIABLE = "EVALKIT_LM_EVAL_TASKS"

# Keys that concern a group itself; its other keys apply to its tasks.
_GROUP_KEYS = {"group", "group_alias", "task", "aggregate_metric_list", "metadata"}


def choose(word: str, *, trusted: bool = False) -> list[Task]:
    """Return the tasks that a path or name stands for. trusted: their Python code may run.

    Raises UsageError for an unknown name or code that is not trusted, DataError for a broken file.
    """
    leaves: dict[str, _Leaf] = {}
    for leaf in _leaves(word):
        if leaf.name in leaves and leaves[leaf.name].path == leaf.path:
            leaves[leaf.name].groups.extend(g for g in leaf.groups if g not in leaves[leaf.name].groups)
        else:
            leaves[leaf.name] = leaf
    files = {name: parse(leaf.config, leaf.path) for name, leaf in leaves.items()}
    for name, leaf in leaves.items():
        functions.check_trust(leaf.config, leaf.path, trusted=trusted)
        if files[name].unsafe_code:
            raise UsageError(
                f"{leaf.path}: unsafe_code: scoring would run code that the model wrote, which evalkit does not do"
            )
    tasks = [
        as_task(files[name], _with_code(files[name], leaf), groups=tuple(_groups(leaf, files[name])))
        for name, leaf in leaves.items()
    ]
    _warn_of_missing(leaves, files)
    return tasks


def _warn_of_missing(leaves: Mapping[str, _Leaf], files: Mapping[str, TaskFile]) -> None:
    """Warn of a group's metric that some or all of its tasks lack: its mean covers the others, or is missing."""
    members: dict[str, list[str]] = {}
    entries: dict[str, Sequence[Mapping[str, Any]]] = {}
    for name, leaf in leaves.items():
        for group in leaf.groups:
            members.setdefault(group.name, []).append(name)
            entries[group.name] = group.metrics
    for group_name, names in members.items():
        for entry in entries[group_name]:
            with_metric = [name for name in names if any(_averaged(entry, metric) for metric in _metrics(files[name]))]
            if len(with_metric) < len(names):
                available = ", ".join(dict.fromkeys(metric for name in names for metric in _metrics(files[name])))
                who = (
                    f"only {len(with_metric)} of its {len(names)} tasks have"
                    if with_metric
                    else "none of its tasks has"
                )
                under = f" under the filter {entry['filter_list']}" if entry.get("filter_list") is not None else ""
                log.warning(
                    "group %s: %s the metric %r%s (there are: %s)", group_name, who, entry["metric"], under, available
                )


@dataclass
class _GroupEntry:
    """A group's name and its aggregate_metric_list."""

    name: str
    metrics: Sequence[Mapping[str, Any]]


@dataclass
class _Leaf:
    """A task's keys, after includes and its groups' overrides, and those groups, the outermost first."""

    path: Path
    config: Mapping[str, Any]
    groups: list[_GroupEntry] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The task's name."""
        return str(self.config.get("task"))


def _with_code(file: TaskFile, leaf: _Leaf) -> TaskFile:
    """Return a file with its functions loaded."""
    if not functions.references(leaf.config):
        return file
    return parse(functions.loaded(leaf.config), leaf.path, quiet=True)


def _groups(leaf: _Leaf, file: TaskFile) -> Iterator[Group]:
    """Yield those of a task's groups that average its metrics; without filter_list, under every filter."""
    for group in leaf.groups:
        metrics = {
            name: bool(entry.get("weight_by_size", True))
            for entry in group.metrics
            for name in _metrics(file)
            if _averaged(entry, name)
        }
        if metrics:
            yield Group(name=group.name, metrics=metrics)


def _metrics(file: TaskFile) -> list[str]:
    """Return the names of a file's metrics under each of its filters."""
    return [metric_name(entry.name, name) for name in file.filters for entry in file.metrics]


def _averaged(entry: Mapping[str, Any], name: str) -> bool:
    """Whether an entry of a group's aggregate_metric_list covers this metric of a task."""
    metric, _, filter_name = name.partition(",")
    filters = entry.get("filter_list")
    filter_names = [filters] if isinstance(filters, str) else filters
    return metric == entry["metric"] and (filter_names is None or (filter_name or "none") in filter_names)


def _leaves(word: str) -> Iterator[_Leaf]:
    if not word.startswith(LM_EVAL):
        path = Path(word).expanduser()
        if not path.is_file():
            raise UsageError(f"--tasks {word}: there is no such file")
        yield from _Resolver((path.resolve().parent, *_folders())).of_file(path.resolve())
        return
    name = word.removeprefix(LM_EVAL)
    folders = _folders()
    if not folders:
        raise UsageError(f"--tasks {word}: lm_eval is not installed; set {FOLDER_VARIABLE} to its folder of task files")
    resolver = _Resolver(folders)
    names = fnmatch.filter(resolver.index.names, name) if any(c in name for c in "*?[") else [name]
    if not names:
        raise unknown("task of lm-evaluation-harness", name, resolver.index.names)
    for member in names:
        yield from resolver.of_name(member)


def _folders() -> tuple[Path, ...]:
    """Return the folders of task files: the user's, or that of an installed lm_eval, which is not imported."""
    if folder_name := os.environ.get(FOLDER_VARIABLE):
        if not Path(folder_name).is_dir():
            raise UsageError(f"{FOLDER_VARIABLE} names {folder_name}, which is not a folder")
        return (Path(folder_name).resolve(),)
    spec = importlib.util.find_spec("lm_eval")
    places = spec.submodule_search_locations if spec else None
    folder = Path(next(iter(places))) / "tasks" if places else None
    return (folder,) if folder and folder.is_dir() else ()


@dataclass(frozen=True)
class _Resolver:
    """Resolves groups and tags into tasks. folders: where names are looked up; read only when one is."""

    folders: tuple[Path, ...]

    @property
    def index(self) -> index.Index:
        """The index of the folders."""
        return index.index(self.folders)

    def of_file(self, path: Path, overrides: Mapping[str, Any] | None = None) -> Iterator[_Leaf]:
        """Yield the tasks of a file: its own, or those of a group."""
        config = index.config_of(path)
        if "group" in config and "class" not in config:
            yield from self._of_group(path, str(config["group"]), config, overrides or {}, ())
        else:
            yield _Leaf(path, {**config, **(overrides or {})})

    def of_name(
        self, name: str, overrides: Mapping[str, Any] | None = None, above: tuple[str, ...] = ()
    ) -> Iterator[_Leaf]:
        """Yield the tasks of a name. Raises UsageError for an unknown one."""
        names = self.index
        changes = overrides or {}
        if name in names.tasks:
            yield _Leaf(names.tasks[name], {**index.config_of(names.tasks[name]), **changes, "task": name})
        elif name in names.groups:
            if name in above:
                raise DataError(
                    f"{names.groups[name]}: task: the groups contain each other ({' -> '.join((*above, name))})"
                )
            path = names.groups[name]
            yield from self._of_group(path, name, index.config_of(path), changes, above)
        elif name in names.tags:
            plain = {key: value for key, value in changes.items() if key != "task"}
            for path in names.tags[name]:
                yield _Leaf(path, {**index.config_of(path), **plain})
        else:
            raise unknown("task of lm-evaluation-harness", name, names.names)

    def _of_group(
        self, path: Path, name: str, config: Mapping[str, Any], overrides: Mapping[str, Any], above: tuple[str, ...]
    ) -> Iterator[_Leaf]:
        """Yield the tasks of a group and of its subgroups."""
        members = config.get("task")
        members = [members] if isinstance(members, str) else members
        if not isinstance(members, list):
            raise DataError(f"{path}: task: expected the names of the group's tasks, found {members!r}")
        keys = {key: value for key, value in config.items() if key not in _GROUP_KEYS and key != "tag"}
        group = _GroupEntry(name, averages(path, config.get("aggregate_metric_list")))
        for member in members:
            for leaf in self._of_member(path, name, member, {**keys, **overrides}, (*above, name)):
                yield replace(leaf, groups=[group, *leaf.groups])

    def _of_member(
        self, path: Path, group: str, member: Any, overrides: Mapping[str, Any], above: tuple[str, ...]
    ) -> Iterator[_Leaf]:
        """Yield the tasks of one entry: a name, or keys that override or define a task or group."""
        if isinstance(member, str):
            yield from self.of_name(member, overrides, above)
        elif isinstance(member, dict) and "group" in member:
            if member["group"] in self.index.groups:
                keys = {key: value for key, value in member.items() if key != "group"}
                yield from self.of_name(member["group"], {**overrides, **keys}, above)
            else:
                yield from self._of_group(path, f"{group}::{member['group']}", member, overrides, above)
        elif isinstance(member, dict) and "task" in member:
            name = str(member["task"])
            if name in {*self.index.tasks, *self.index.groups, *self.index.tags}:
                yield from self.of_name(name, {**overrides, **member}, above)
            else:
                yield _Leaf(path, {**overrides, **member, "task": f"{group}::{name}"})
        else:
            raise DataError(f"{path}: task: expected names, or keys with task or group, found {member!r}")


def averages(path: Path, value: Any) -> Sequence[Mapping[str, Any]]:
    """Read aggregate_metric_list. Raises DataError for an entry without a metric."""
    entries = [value] if isinstance(value, dict) else value or []
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "metric" in e for e in entries):
        raise DataError(f"{path}: aggregate_metric_list: expected entries with the key metric")
    return entries
