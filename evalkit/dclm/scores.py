"""The tasks of CORE in a stored run: which documents were answered rightly, and what a guess has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.comparison.evidence import read_run
from evalkit.dclm.bundle import CORRECTED, PUBLISHED
from evalkit.dclm.task import NOTE, TASKS
from evalkit.errors import CompareError, UsageError
from evalkit.metrics.base import Array
from evalkit.runs.stored import open_run
from evalkit.stats.paired import LEAST_UNITS


@dataclass(frozen=True, kw_only=True)
class TaskScores:
    """A task's documents under each seed of the shots; zero-shot tasks have one seed.

    ids: (n,) hashed. right: (n, seeds) of 0 and 1, NaN where a document failed. baseline: accuracy of a guess, 0 to 1.
    data: a hash of the file; tasks with the same one share their documents. total: documents in the file.
    settings: what two compared runs must share.
    """

    label: str
    data: str
    ids: NDArray[np.uint64]
    right: Array
    seeds: tuple[int, ...]
    baseline: float
    total: int
    settings: Mapping[str, str]

    @property
    def accuracy(self) -> float:
        """Return the mean over documents and seeds."""
        return float(np.nanmean(self.right))

    @property
    def centred(self) -> float:
        """Return the accuracy with a guess at 0 and a perfect score at 1."""
        return self.centre(self.accuracy)

    def centre(self, accuracy: float) -> float:
        """Return a centred accuracy."""
        return (accuracy - self.baseline) / (1 - self.baseline)

    @property
    def values(self) -> tuple[NDArray[np.uint64], Array]:
        """Return the ids of the documents that were scored, and their centred means over the seeds."""
        scored = ~np.isnan(self.right).all(axis=1)
        right = np.nanmean(self.right[scored], axis=1)
        return self.ids[scored], (right - self.baseline) / (1 - self.baseline)

    def under(self, seed: int) -> float:
        """Return the centred accuracy under one seed, or under the only one."""
        return self.centre(float(np.nanmean(self.right[:, self.seeds.index(seed) if len(self.seeds) > 1 else 0])))


@dataclass(frozen=True, kw_only=True)
class RunScores:
    """A run's tasks of CORE. model: its name in results."""

    path: Path
    model: str
    tasks: Mapping[str, TaskScores]

    @property
    def name(self) -> str:
        """Return "CORE", or "mean of 18 of CORE's 22" where tasks are missing."""
        return "CORE" if not self.missing else f"mean of {len(self.tasks)} of CORE's {len(TASKS)}"

    @property
    def missing(self) -> list[str]:
        """Return the labels of the tasks that the run lacks."""
        return [label for label in TASKS if label not in self.tasks]

    @property
    def core(self) -> float:
        """Return the mean of the centred accuracies, 0 to 1."""
        return float(np.mean([task.centred for task in self.tasks.values()]))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds of the shots."""
        return max((task.seeds for task in self.tasks.values()), key=len)

    def under(self, seed: int) -> float:
        """Return the mean of the centred accuracies under one seed."""
        return float(np.mean([task.under(seed) for task in self.tasks.values()]))


def read(folder: Path, *, corrected: bool = False) -> RunScores:
    """Read a run. corrected: by the corrected table of baselines.

    Raises StoreError for a folder without a whole run, CompareError where it holds no task of CORE or one with several
    numbers of shots, and UsageError for a table that its bundle did not have.
    """
    settings = open_run(folder).settings
    evidence = read_run(folder)
    table = CORRECTED if corrected else PUBLISHED
    tasks: dict[str, TaskScores] = {}
    for key, sheet in evidence.sheets.items():
        entry = settings["tasks"][key.task]
        if NOTE not in entry:
            continue
        about = entry[NOTE]
        if about["label"] in tasks:
            raise CompareError(f"{folder}: {key.task} has several numbers of shots; CORE takes one")
        if table not in about["baselines"]:
            raise UsageError(f"--corrected: the bundle of {folder} had no {table}")
        if (scored := int(sheet.scored.any(axis=1).sum())) < LEAST_UNITS:
            raise CompareError(f"{folder}: {key.task} has only {scored} scored documents, too few for an interval")
        tasks[about["label"]] = TaskScores(
            label=about["label"], data=entry["data"], ids=sheet.ids, seeds=sheet.seeds,
            right=np.where(sheet.scored, sheet.statistics["acc"][..., 0], np.nan),
            baseline=about["baselines"][table], total=about["documents"],
            settings={"protocol": key.protocol, "shots": str(key.shots), **sheet.signature},
        )  # fmt: skip
    if not tasks:
        raise CompareError(f"{folder} holds no task of CORE; run one with --tasks core")
    return RunScores(
        path=folder, model=evidence.model["model"], tasks={label: tasks[label] for label in TASKS if label in tasks}
    )


def check_alike(runs: Sequence[RunScores]) -> None:
    """Raise CompareError where runs have other tasks, settings or documents than the first one."""
    first = runs[0]
    for run in runs[1:]:
        where = f"{first.path} and {run.path}"
        if other := [*{*first.tasks} ^ {*run.tasks}]:
            raise CompareError(f"{where} have other tasks: only one of them has {', '.join(sorted(other))}")
        for label, task in first.tasks.items():
            settings, its = run.tasks[label].settings, task.settings
            for field in dict.fromkeys([*its, *settings]):
                if its.get(field) != settings.get(field):
                    raise CompareError(
                        f"{where}: {label} differs in {field} ({its.get(field)} and {settings.get(field)})"
                    )
            if not np.array_equal(task.ids, run.tasks[label].ids):
                raise CompareError(f"{where}: {label} has other documents; use the same --limit")
            if task.seeds != run.tasks[label].seeds:
                raise CompareError(f"{where}: {label} has other seeds of shots; use the same --seeds")
