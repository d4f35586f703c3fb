"""The results file of lm-evaluation-harness, typed: the only place that checks its values.

0.2 and 0.3 name a metric "acc" and its error "acc_stderr", 0.4 "acc,FILTER" and "acc_stderr,FILTER".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import StoreError
from evalkit.report.models import MOST

# Keys of a task's results that are no metric.
_ABOUT = ("alias", "name", "sample_len", "sample_count")
# What evalkit's own files say of the model's training, which lm-evaluation-harness has no place for.
_COUNTED = ("tokens", "flops", "step", "seed")
TRAINING = (*_COUNTED, "loss", "ladder", "corpus")
# Placeholders for a missing number.
_NONE = (None, "N/A", "", " ")


@dataclass(frozen=True, kw_only=True)
class Score:
    """A metric of a task. key: as in the file. stderr: None where the file has none."""

    key: str
    metric: str
    filter: str
    value: float
    stderr: float | None


@dataclass(frozen=True, kw_only=True)
class TaskResults:
    """A task or group in the file.

    shots: None where neither the file nor the group's members give one number. n: scored documents, of a group its
    members' in all, 0 where unknown. higher: by metric, whether more is better, where the file says so.
    """

    name: str
    scores: Sequence[Score]
    shots: int | None
    version: str
    n: int
    higher: Mapping[str, bool]
    members: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ResultsFile:
    """A whole file.

    arguments: those the model was loaded with, as texts. limit: of documents, "" for none. ours: evalkit wrote it.
    training: of TRAINING, what the file says.
    """

    tasks: Sequence[TaskResults]
    arguments: Mapping[str, str]
    model_name: str
    parameters: int | None
    limit: str
    ours: bool
    training: Mapping[str, Any]


def is_results(raw: Any) -> bool:
    """Whether a JSON value looks like a results file."""
    return isinstance(raw, dict) and isinstance(raw.get("results"), dict) and isinstance(raw.get("config"), dict)


def parse(raw: Any, path: Path) -> ResultsFile:
    """Check a results file. Raises StoreError naming the first value that is not what lm-evaluation-harness writes."""
    if not is_results(raw):
        raise StoreError(f"{path}: not a results file of lm-evaluation-harness (no 'results' and 'config')")
    file = _File(raw, path)
    config = raw["config"]
    return ResultsFile(
        tasks=[file.task(name) for name in raw["results"]],
        arguments=file.arguments(),
        model_name=_text(raw.get("model_name")),
        parameters=file.whole(config.get("model_num_parameters"), "config.model_num_parameters", least=-1),
        limit="" if config.get("limit") in (*_NONE, -1) else str(config["limit"]),
        ours="evalkit_version" in raw,
        training=file.training(),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, str) and float(value) == float(value)
    except ValueError:
        return False


class _File:
    """The parts of a raw file, each checked when it is accessed."""

    def __init__(self, raw: Mapping[str, Any], path: Path):
        self.raw, self.path, self.config = raw, path, raw["config"]

    def wrong(self, where: str, value: Any, expected: str) -> StoreError:
        return StoreError(
            f"{self.path}: not as lm-evaluation-harness writes it: {where} is {value!r:.40}, not {expected}"
        )

    def table(self, value: Any, where: str) -> Mapping[str, Any]:
        """Return an object; an absent one is empty."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(where, value, "an object")
        return value

    def whole(self, value: Any, where: str, *, least: int = 0) -> int | None:
        """Return an integer of at least `least`, an integral float too; None where there is none."""
        if value in _NONE:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= MOST or value % 1:
            raise self.wrong(where, value, f"a whole number of at least {least}")
        return int(value)

    def number(self, value: Any, where: str) -> float | None:
        """Return a number; None where there is none."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                raise self.wrong(where, value, "a number of this size") from None
        if value is None or (isinstance(value, str) and value in _NONE):
            return None
        raise self.wrong(where, value, "a number")

    def arguments(self) -> Mapping[str, str]:
        """Return the model's arguments, which are an object or a text of NAME=VALUE with commas."""
        arguments = self.config.get("model_args") or {}
        if isinstance(arguments, str):
            arguments = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
        return {str(k): str(v) for k, v in self.table(arguments, "config.model_args").items() if v is not None}

    def training(self) -> Mapping[str, Any]:
        """Return what the file says of the model's training; nothing in a file that evalkit did not write."""
        training = self.table(self.raw.get("evalkit_training"), "evalkit_training")
        facts: dict[str, Any] = {name: self.whole(training.get(name), f"evalkit_training.{name}") for name in _COUNTED}
        facts["loss"] = self.number(training.get("loss"), "evalkit_training.loss")
        facts["ladder"] = _text(training.get("ladder")) or _text(training.get("corpus"))
        return {name: fact for name, fact in facts.items() if fact not in (None, "")}

    def task(self, name: str) -> TaskResults:
        """Return the results of a task."""
        higher = self.table(self.table(self.raw.get("higher_is_better"), "higher_is_better").get(name), name)
        version = self.table(self.raw.get("versions"), "versions").get(name, "?")
        return TaskResults(
            name=name,
            scores=list(self._scores(name)),
            shots=self._shots(name),
            version=str(version),
            n=self._documents(name),
            higher={k: v for k, v in higher.items() if isinstance(v, bool)},
            members=self.members(name),
        )

    def _scores(self, task: str) -> Iterator[Score]:
        row = self.raw["results"][task]
        if not isinstance(row, dict):
            raise self.wrong(f"results.{task}", row, "an object")
        for key, value in row.items():
            metric, _, filtered = key.partition(",")
            if metric.endswith("_stderr") or metric in _ABOUT:
                continue
            error_key = f"{metric}_stderr" + (f",{filtered}" if filtered else "")
            is_metric = "," in key or error_key in row or isinstance(value, (int, float)) or _is_number(value)
            if not is_metric:  # added by a task's own code
                continue
            number = self.number(value, f"results.{task}.{key}")
            error = self.number(row.get(error_key), f"results.{task}.{error_key}")
            if error is not None and error < 0:
                raise self.wrong(f"results.{task}.{error_key}", error, "a standard error of at least 0")
            if number is not None:
                usable = error if error is not None and math.isfinite(error) else None
                yield Score(key=key, metric=metric, filter=filtered, value=number, stderr=usable)

    def members(self, task: str) -> list[str]:
        """Return the tasks of a group, those of groups in it too; none of a task."""
        groups = self.table(self.raw.get("group_subtasks"), "group_subtasks")
        tasks: list[str] = []
        open_groups, seen = [task], {task}
        while open_groups:
            inner = groups.get(open_groups.pop()) or []
            if not isinstance(inner, list) or not all(isinstance(name, str) for name in inner):
                raise self.wrong(f"group_subtasks.{task}", inner, "a list of tasks")
            for name in inner:
                if name not in seen:
                    seen.add(name)
                    (open_groups if groups.get(name) else tasks).append(name)
        return tasks

    def _shots(self, task: str) -> int | None:
        """Return a task's shots: its own, its members' where they agree, or those of the whole command."""
        counts = self.table(self.raw.get("n-shot"), "n-shot")

        def own(name: str) -> int | None:
            return self.whole(counts.get(name), f"n-shot.{name}")

        members = self.members(task)
        if own(task) is not None or not members:
            return own(task) if own(task) is not None else self._commanded()
        counts_of_members = {own(name) for name in members}
        if counts_of_members == {None}:
            return self._commanded()
        return counts_of_members.pop() if len(counts_of_members) == 1 else None

    def _commanded(self) -> int | None:
        return self.whole(self.config.get("num_fewshot"), "config.num_fewshot")

    def _documents(self, task: str) -> int:
        counts = self.table(self.raw.get("n-samples"), "n-samples")

        def own(names: Iterable[str]) -> list[int]:
            rows = {name: self.table(counts.get(name), f"n-samples.{name}") for name in names}
            return [self.whole(row.get("effective"), f"n-samples.{n}.effective") or 0 for n, row in rows.items()]

        [count] = own([task])
        members = own(self.members(task))
        return count or (sum(members) if all(members) else 0)
