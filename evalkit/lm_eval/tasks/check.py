"""How many of a folder's task files can be imported, and why the others cannot; reads no data and runs no code."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import EvalkitError, UsageError
from evalkit.lm_eval.tasks import files, functions, index
from evalkit.lm_eval.tasks.chosen import averages
from evalkit.lm_eval.tasks.taskfile import parse


@dataclass(frozen=True)
class Report:
    """files: their number; tasks, groups, parts: how many of each kind (a part is only included by others).

    causes: why a file cannot be imported -> the full messages, one per file.
    """

    files: int
    tasks: int
    groups: int
    parts: int
    causes: Mapping[str, Sequence[str]]

    @property
    def share(self) -> float:
        """The share of files that can be imported."""
        failed = sum(map(len, self.causes.values()))
        return (self.files - failed) / self.files if self.files else 0.0


def check_folder(folder: Path) -> Report:
    """Import every YAML file under a folder, without data. Raises UsageError if there are none."""
    paths = list(index.yaml_files(folder))
    if not paths:
        raise UsageError(f"{folder}: holds no .yaml files")
    counts: dict[str, int] = defaultdict(int)
    causes: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        try:
            counts[_kind(path)] += 1
        except Exception as error:  # a file may fail in any way; the others are still checked
            message = str(error) if isinstance(error, EvalkitError) else f"{path}: {type(error).__name__}: {error}"
            causes[_cause(message, folder)].append(message)
    ordered = dict(sorted(causes.items(), key=lambda pair: -len(pair[1])))
    return Report(len(paths), counts["task"], counts["group"], counts["part"], ordered)


def _kind(path: Path) -> str:
    """Import one file and return its kind. Raises DataError where that fails."""
    config = files.read(path)
    if "group" in config and "class" not in config:
        averages(path, config.get("aggregate_metric_list"))
        return "group"
    if "task" not in config and "class" not in config:
        return "part"
    parse(config, path, quiet=True)
    functions.check_trust(config, path, trusted=True)
    return "task"


def _cause(message: str, folder: Path) -> str:
    """Remove file names and values from a message, so that equal causes read alike."""
    bare = re.sub(r"\S*/[^\s:]+(?: line \d+)?:? ?", "", message.replace(str(folder), "/"), count=1)
    return re.sub(r"/\S+", "…", re.split(r"; | \(built in|, found ", bare)[0])
