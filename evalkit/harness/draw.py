"""The draw: a part of a task's documents that stands for all of them, and the estimates of the values of all.

Earlier models' runs say what to expect of each document (difficulty.py); stats.sampling draws more of the uncertain
ones and corrects the expectation by what the model really scores. Which documents are drawn depends on their ids and on
these runs, never on the model, so the same command draws the same documents again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.errors import UsageError
from evalkit.files import digest
from evalkit.harness import difficulty
from evalkit.harness.difficulty import Asked, Earlier, Prediction
from evalkit.harness.loaded import Loaded
from evalkit.harness.taskset import TaskSet
from evalkit.metrics.base import Array, Metric
from evalkit.metrics.values import Listed
from evalkit.stats import sampling
from evalkit.stats.intervals import Interval

# Documents of a task that an estimate needs at least: with 24, intervals of bits per byte covered in as few as 78% of
# the draws (docs/estimates.md).
LEAST = sampling.MOST_STRATA * sampling.LEAST_DRAWN


@dataclass(frozen=True, kw_only=True)
class Draw:
    """The documents of a task and which of them are drawn.

    task: its name. ids, levels: of all M documents. plan: the strata. predictions: what is expected, for each cell and
    metric that can be estimated. models: the earlier models, each with its hash.
    """

    task: str
    ids: Sequence[str]
    levels: Sequence[str]
    plan: sampling.Design
    predictions: Mapping[tuple[Asked, str], Prediction] = field(repr=False)
    models: Sequence[str]

    @cached_property
    def drawn(self) -> Sequence[str]:
        """The ids of the documents that are drawn."""
        return [name for name, taken in zip(self.ids, self.plan.drawn, strict=True) if taken]

    @cached_property
    def weights(self) -> Mapping[str, float]:
        """How many documents each drawn one stands for, by its id."""
        return dict(zip(self.drawn, self.plan.weights.tolist(), strict=True))

    def predicts(self, metric: str, *, shots: int, template: str) -> bool:
        """Whether a metric can be estimated."""
        return ((self.task, shots, template), metric) in self.predictions

    def estimate(
        self, metric: Metric, names: Sequence[str], table: Array, *, shots: int, template: str, level: str
    ) -> Interval:
        """Estimate a metric over all documents, or all of a level.

        names, table: the document and the statistics of each scored record, (m,) and (m, k); of a level only its own.
        """
        prediction = self.predictions[(self.task, shots, template), metric.name]
        if len(set(names)) < sampling.LEAST_DRAWN:
            return Interval(value=math.nan, low=math.nan, high=math.nan, method="none", units=len(set(names)))
        places = {name: place for place, name in enumerate(self.drawn)}
        sums = np.zeros((len(places), table.shape[1] + 1))
        np.add.at(sums, [places[name] for name in names], np.column_stack([table, np.ones(len(table))]))
        repeats = sums[:, -1].max()  # a record for each seed
        inside = np.asarray([not level or each == level for each in self.levels], dtype=np.float64)
        expected = repeats * prediction.expected * inside[:, None]
        return sampling.estimate(metric, self.plan, sums, expected, prediction.spread * inside)

    def about(self) -> dict[str, Any]:
        """Return its entry in a run's settings: of how many documents it is a sample, and a digest of the plan."""
        expected = [p.expected.tobytes() + p.spread.tobytes() for p in self.predictions.values()]
        hashed = hashlib.sha256(b"".join([self.plan.strata.tobytes(), *expected])).hexdigest()
        return {"of": len(self.ids), "plan": digest("\n".join([*self.drawn, hashed])), "from": list(self.models)}


def drawn(tasks: TaskSet, *, count: int, earlier: Iterable[Path]) -> TaskSet:
    """Return the tasks with `count` documents each, chosen by runs of earlier models; smaller tasks stay whole.

    Controls, baselines and groups, which describe whole tasks, are left out.

    Raises UsageError for too small a count, for a limit beside it, and for a task that no run has; StoreError for a
    run that is broken.
    """
    if count < LEAST:
        raise UsageError(f"--estimate must be at least {LEAST}, not {count}")
    if tasks.settings.limit or tasks.settings.limits:
        raise UsageError("--estimate stands for all documents of a task; leave out --limit")
    runs = difficulty.read_earlier(earlier)
    if not runs:
        raise UsageError("--estimate needs --from: runs of other models on the same documents")
    return replace(tasks, loaded=[_drawn(loaded, count, runs) for loaded in tasks.loaded], affordable={})


def _drawn(loaded: Loaded, count: int, runs: Sequence[Earlier]) -> Loaded:
    bare = replace(loaded.task, controls={}, shot_controls={}, baselines={}, groups=())
    if len(loaded.documents) <= count:
        return replace(loaded, task=bare)
    ids = [document.id for document, _ in loaded.documents]
    levels = [document.level for document, _ in loaded.documents]
    predictions = dict(_predictions(loaded, ids, levels, runs))
    for shots in loaded.shots:
        for template in loaded.wordings:
            if not any(asked[1:] == (shots, template) for asked, _ in predictions):
                where = f"at {shots} shots" + (f" in the wording {template!r}" if template else "")
                raise UsageError(
                    f"--from: no run has half of the documents of {loaded.task.name} {where}, or no metric that can "
                    "be estimated; evaluate a smaller model in the same way first"
                )
    draw = Draw(
        task=loaded.task.name, ids=ids, levels=levels, plan=_plan(ids, predictions, count), predictions=predictions,
        models=[run.name for run in runs],
    )  # fmt: skip
    chosen = [pair for pair, drawn in zip(loaded.documents, draw.plan.drawn, strict=True) if drawn]
    return replace(loaded, task=bare, documents=chosen, draw=draw)


def _predictions(
    loaded: Loaded, ids: Sequence[str], levels: Sequence[str], runs: Sequence[Earlier]
) -> Iterator[tuple[tuple[Asked, str], Prediction]]:
    for shots in loaded.shots:
        for template in loaded.wordings:
            asked = (loaded.task.name, shots, template)
            for name, metric in loaded.metrics.items():
                if not isinstance(metric, Listed) and (rungs := difficulty.rungs_of(runs, asked, name, ids)):
                    yield (asked, name), difficulty.predict(metric, rungs, levels)


def _plan(ids: Sequence[str], predictions: Mapping[tuple[Asked, str], Prediction], count: int) -> sampling.Design:
    """Draw documents by what is expected of the first metric, averaged over the numbers of shots and wordings."""
    first: dict[Asked, Prediction] = {}
    for (asked, _), prediction in predictions.items():
        first.setdefault(asked, prediction)
    expected = np.mean([prediction.score for prediction in first.values()], axis=0)
    spread = np.mean([prediction.spread for prediction in first.values()], axis=0)
    ranks = np.argsort(np.argsort([digest(f"sample {name}", length=64) for name in ids]))
    return sampling.design(expected, spread, count=count, order=ranks)
