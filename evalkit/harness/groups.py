"""Groups of tasks: one mean over the values of several tasks, as MMLU's over its subjects.

The tasks are fixed and their documents are a sample: the interval sums each unit's effect on the mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from evalkit import metrics
from evalkit.harness.task import Task
from evalkit.metrics.base import Array
from evalkit.metrics.values import Listed
from evalkit.runs.sample import Sample
from evalkit.runs.scores import Scores
from evalkit.runs.signature import Signature
from evalkit.stats import intervals as stats
from evalkit.types import Cell, Record, Result

# Fields of its tasks' signatures that a group's has too.
_OF_GROUPS = ("protocol", "shots", "seeds", "limit", "model", "dtype", "evalkit")

_Own = Mapping[str, Mapping[str, metrics.Metric]]
_Chosen = Mapping[tuple[str, int], Sample]  # by task and shots


class _Changes(NamedTuple):
    """What one task, or all on the same data, do to the group's mean.

    units: name -> the change of the mean without it, and its weight. added: the changes without the documents that
    stats.estimate adds. shift: how far these move the mean.
    """

    units: Mapping[str, tuple[float, float]]
    added: Sequence[float] = ()
    shift: float = 0.0


def groups_of(tasks: Sequence[Task]) -> dict[str, Any]:
    """Return a manifest's entry for groups: name -> its tasks, its metrics with "size" or "equal" weights, its size."""
    groups: dict[str, Any] = {}
    for task in tasks:
        for group in task.groups:
            weights = {name: "size" if by_size else "equal" for name, by_size in group.metrics.items()}
            size = {"size": group.size} if group.size else {}
            groups.setdefault(group.name, {"tasks": [], "metrics": weights, **size})["tasks"].append(task.name)
    return groups


def group_results(
    records: Iterable[Record] | Scores, settings: Mapping[str, Any], *, results: Sequence[Result], own: _Own
) -> list[Result]:
    """Average the tasks' results by group and number of shots."""
    if not settings.get("groups"):
        return []
    scores = records if isinstance(records, Scores) else Scores(records)
    cells: dict[tuple[str, int], list[Cell]] = {}
    for cell in scores.cells:
        if not cell.variant and not cell.template:
            cells.setdefault((cell.task, cell.shots), []).append(cell)
    chosen = {key: scores.sample(key[0], its_cells) for key, its_cells in cells.items()}
    means = []
    for name, group in settings["groups"].items():
        for metric, weighting in group["metrics"].items():
            own_rows = (r for r in results if r.source == "model" and not r.level and not r.template)
            rows = [r for r in own_rows if r.task in group["tasks"] and r.metric == metric]
            means += [
                _mean(_called(name, len(members), group.get("size", 0)), members, weighting, chosen, settings, own)
                for members in _by_shots(rows)
            ]
    return means


def _called(name: str, present: int, size: int) -> str:
    """Return what a mean is called: by the group's name alone only if no task of a fixed list is missing."""
    return name if not size or present == size else f"{name} ({present} of {size})"


def _by_shots(rows: Sequence[Result]) -> Iterator[list[Result]]:
    """Yield the results of all tasks at each number of shots; a task run at only one number is in all of them."""
    tasks: dict[str, dict[int, Result]] = {}
    for r in rows:
        tasks.setdefault(r.task, {})[r.shots] = r
    several = [{*by_shots} for by_shots in tasks.values() if len(by_shots) > 1]
    for shots in sorted(set.intersection(*several)) if several else [max((r.shots for r in rows), default=0)]:
        if tasks:
            yield [
                by_shots[shots] if len(by_shots) > 1 else next(iter(by_shots.values())) for by_shots in tasks.values()
            ]


def _mean(
    name: str,
    members: Sequence[Result],
    weighting: str,
    chosen: _Chosen,
    settings: Mapping[str, Any],
    own: _Own,
) -> Result:
    """Average one metric of a group's tasks."""
    weights = np.asarray([r.n if weighting == "size" else 1.0 for r in members])
    weights = weights / weights.sum() if weights.sum() else weights
    value = float(weights @ np.asarray([r.value for r in members]))
    low, high, units = _bounds(value, members, weights, chosen, settings, own)
    first = max(members, key=lambda r: r.shots)
    chances = [r.chance for r in members]
    signature = Signature.parse(first.signature)
    fields = {"group": name, "tasks": str(len(members)), "weights": weighting}
    fields |= {field: signature.fields[field] for field in _OF_GROUPS if field in signature.fields}
    return Result(
        model=first.model, task=name, family=first.family, protocol=first.protocol, shots=first.shots,
        metric=first.metric, source="model", level="", value=value, low=low, high=high,
        n=sum(r.n for r in members), failed=sum(r.failed for r in members), truncated=sum(r.truncated for r in members),
        chance=float(weights @ np.asarray(chances)) if None not in chances else None,
        signature=str(Signature(fields, signature.rule)),
        units=units,
    )  # fmt: skip


def _bounds(
    value: float, members: Sequence[Result], weights: Array, chosen: _Chosen, settings: Mapping[str, Any], own: _Own
) -> tuple[float, float, int]:
    """Return low, high and the units; NaN where a task's values cannot be summed, or it has a single unit.

    Tasks are independent samples, except those on the same data: a document that several of them share is one unit.
    """
    samples: dict[str, list[_Changes]] = {}
    ends: set[tuple[float, float]] = set()
    for result, weight in zip(members, weights.tolist(), strict=True):
        metric = own.get(result.task, {}).get(result.metric)
        sample = chosen.get((result.task, result.shots))
        if metric is None or isinstance(metric, Listed) or sample is None or not math.isfinite(result.value):
            return math.nan, math.nan, 0
        samples.setdefault(settings["tasks"][result.task]["data"], []).append(_changes(metric, sample, weight))
        ends.add((metric.least * metric.scale, metric.most * metric.scale))
    joined = [_joined(tasks) for tasks in samples.values()]
    fewest, units = min(len(sample.units) for sample in joined), sum(len(sample.units) for sample in joined)
    if fewest < 2:
        return math.nan, math.nan, min(units, fewest)
    lower_end, upper_end = ends.pop() if len(ends) == 1 else (-math.inf, math.inf)
    middle = value + sum(sample.shift for sample in joined)
    low, high = stats.bounds(middle, stats.pooled([_noise(s) for s in joined]), least=lower_end, most=upper_end)
    return min(low, value), max(high, value), units  # NaN stays


def _changes(metric: metrics.Metric, sample: Sample, weight: float) -> _Changes:
    """Return how leaving each unit out changes the group's mean through one task, and its share of that task."""
    places, statistics = sample.statistics(metric.name)
    names, table = stats.tabled(statistics, sample.units(places))
    middle, changes = stats.estimate(metric, table)
    changes *= weight * metric.scale
    worth = metric.weights(table[:, :-1], table[:, -1])
    shares = weight * worth / (worth.sum() or 1.0)
    units = dict(zip(names, zip(changes[: len(names)].tolist(), shares.tolist(), strict=True), strict=True))
    value = float(stats.score_sums(metric, table.sum(axis=0)))
    return _Changes(units, changes[len(names) :].tolist(), weight * metric.scale * (middle - value))


def _noise(sample: _Changes) -> stats.Noise:
    changes, weights = np.asarray(list(sample.units.values())).T
    return stats.noise(np.concatenate([changes, sample.added]), weights)


def _joined(tasks: Sequence[_Changes]) -> _Changes:
    """Sum a unit's changes over several tasks."""
    sums: dict[str, tuple[float, float]] = {}
    for task in tasks:
        for name, (change, share) in task.units.items():
            before = sums.get(name, (0.0, 0.0))
            sums[name] = before[0] + change, before[1] + share
    return _Changes(sums, [change for task in tasks for change in task.added], sum(task.shift for task in tasks))
