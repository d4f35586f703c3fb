"""What contamination did to the scores of a run: those of its clean and of its dirty documents (GPT-3's appendix C)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit import metrics
from evalkit.contamination.verdicts import Overlap
from evalkit.errors import StoreError, UsageError
from evalkit.metrics.base import Array, Metric
from evalkit.runs.sample import Sample
from evalkit.runs.signature import Signature
from evalkit.runs.store import open_run
from evalkit.runs.stored import StoredRun
from evalkit.stats.intervals import Interval, interval
from evalkit.stats.unpaired import Difference, difference
from evalkit.types import Cell, Result


@dataclass(frozen=True, kw_only=True)
class Split:
    """A task's main metric in a run. dirty, clean: documents scored. whole: the value on all of them.

    clean_minus_dirty: with both values; their low and high are NaN where there are too few. Shown times `scale`.
    """

    model: str
    task: str
    shots: int
    template: str
    metric: str
    scale: float
    dirty: int
    clean: int
    whole: Interval
    clean_minus_dirty: Difference

    @property
    def change(self) -> float:
        """The clean value relative to that on all documents, as a share; NaN where there is none."""
        clean = self.clean_minus_dirty.first.value
        return (clean - self.whole.value) / self.whole.value if self.clean and self.whole.value else math.nan


def splits(folder: Path, overlaps: Sequence[Overlap]) -> list[Split]:
    """Score a run's clean and dirty documents.

    Raises StoreError for a broken run, and for one with other documents than those that were looked for; UsageError if
    it has none of the tasks.
    """
    run = open_run(folder)
    run.check_whole("a comparison of clean and dirty documents")
    by_task = {overlap.task: overlap for overlap in overlaps}
    scores = run.scores()
    rows: dict[tuple[str, str, int, str], list[Cell]] = defaultdict(list)
    for cell in sorted(scores.cells, key=lambda cell: cell.seed):
        if cell.task in by_task and not cell.variant:
            rows[cell.task, cell.protocol, cell.shots, cell.template].append(cell)
    found: list[Split] = []
    for result in _main_results(run, by_task):
        if cells := rows.get((result.task, result.protocol, result.shots, result.template)):
            sample = scores.sample(result.task, cells)
            found += _split(folder, result, sample, by_task[result.task])
    if not found:
        raise UsageError(f"{folder} has no scores of {', '.join(by_task)}")
    return found


def _main_results(run: StoredRun, tasks: Mapping[str, Overlap]) -> Iterator[Result]:
    """Yield the first metric's value of each task, number of shots and wording."""
    seen = set()
    for result in run.results:
        key = (result.task, result.protocol, result.shots, result.template)
        if result.source == "model" and not result.level and result.task in tasks and key not in seen:
            seen.add(key)
            yield result


def _split(folder: Path, result: Result, sample: Sample, overlap: Overlap) -> Iterator[Split]:
    """Yield the split of one result; nothing for a metric that is scored from whole lists of values."""
    metric = metrics.get(result.metric, Signature.parse(result.signature).rule)
    places, table = sample.statistics(metric.name)
    if not len(places) or not table.shape[1]:
        return
    dirty = {verdict.document: verdict.dirty for verdict in overlap.verdicts}
    names = [sample.id(place) for place in places.tolist()]
    if unknown := next((name for name in names if name not in dirty), None):
        raise StoreError(
            f"{folder} has the document {unknown!r:.60} of {overlap.task}, which is not in the task's data here; give "
            f"the data that it was run on with --data"
        )
    is_dirty = np.array([dirty[name] for name in names])
    several = len(np.unique(sample.seeds[places])) > 1
    units = sample.units(places) if several else sample.passages(places)
    yield Split(
        model=result.model, task=result.task, shots=result.shots, template=result.template, metric=metric.name,
        scale=metric.scale, dirty=sample.count(places[is_dirty]), clean=sample.count(places[~is_dirty]),
        whole=interval(metric, table, units),
        clean_minus_dirty=_difference(metric, table, units, is_dirty),
    )  # fmt: skip


def _difference(metric: Metric, table: Array, units: Sequence[str], is_dirty: NDArray[np.bool_]) -> Difference:
    clean, dirty = (
        (table[chosen], [unit for unit, there in zip(units, chosen, strict=True) if there])
        for chosen in (~is_dirty, is_dirty)
    )
    return difference(metric, clean, dirty)
