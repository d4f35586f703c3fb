"""Groups of tasks: one mean over the values of several, as MMLU's over its subjects.

The interval is a bootstrap within every task, the groups' means formed anew each time: the tasks are given, their
documents are a sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from evalkit import metrics
from evalkit.harness.task import Task
from evalkit.metrics.stats import bootstrap
from evalkit.metrics.values import Listed
from evalkit.types import Record, Result

_Own = Mapping[str, Mapping[str, metrics.Metric]]

_RESAMPLES = 1000


def groups_of(tasks: Sequence[Task]) -> dict[str, Any]:
    """Return what a manifest says of groups: name -> its tasks, and its metrics with "size" or "equal" weights."""
    found: dict[str, Any] = {}
    for task in tasks:
        for group in task.groups:
            weights = {name: "size" if by_size else "equal" for name, by_size in group.metrics.items()}
            found.setdefault(group.name, {"tasks": [], "metrics": weights})["tasks"].append(task.name)
    return found


def group_results(
    records: Iterable[Record], settings: Mapping[str, Any], *, results: Sequence[Result], own: _Own
) -> list[Result]:
    """Average the tasks' results by group and number of shots."""
    tables: dict[tuple[str, int, str], list[Sequence[float]]] = {}
    if settings.get("groups"):
        for record in sorted(records, key=lambda r: (r.doc_id, r.cell.seed)):
            if not record.cell.variant and not record.cell.template:
                for name, statistics in record.scores.items():
                    tables.setdefault((record.cell.task, record.cell.shots, name), []).append(statistics)
    found = []
    for name, about in settings.get("groups", {}).items():
        for metric, weighting in about["metrics"].items():
            own_rows = (r for r in results if r.source == "model" and not r.level and not r.template)
            rows = [r for r in own_rows if r.task in about["tasks"] and r.metric == metric]
            found += [_mean(name, members, weighting, tables, own) for members in _by_shots(rows)]
    return found


def _by_shots(rows: Sequence[Result]) -> Iterator[list[Result]]:
    """Yield the results of all tasks at each number of shots; a task that was run at one number only is in all."""
    tasks: dict[str, dict[int, Result]] = {}
    for r in rows:
        tasks.setdefault(r.task, {})[r.shots] = r
    several = [{*found} for found in tasks.values() if len(found) > 1]
    for shots in sorted(set.intersection(*several)) if several else [max((r.shots for r in rows), default=0)]:
        if tasks:
            yield [found[shots] if len(found) > 1 else next(iter(found.values())) for found in tasks.values()]


def _mean(
    name: str,
    members: Sequence[Result],
    weighting: str,
    tables: Mapping[tuple[str, int, str], list[Sequence[float]]],
    own: _Own,
) -> Result:
    """Average one metric of a group's tasks."""
    weights = np.asarray([r.n if weighting == "size" else 1.0 for r in members])
    weights = weights / weights.sum() if weights.sum() else weights
    value = float(weights @ np.asarray([r.value for r in members]))
    low, high = _bounds(members, weights, tables, own)
    first = max(members, key=lambda r: r.shots)
    chances = [r.chance for r in members]
    parts = dict(part.partition(":")[::2] for part in first.signature.split("|"))
    kept = "|".join(
        f"{k}:{parts[k]}" for k in ("protocol", "shots", "seeds", "limit", "model", "dtype", "evalkit") if k in parts
    )
    rule = metrics.rule_of(first.signature)
    return Result(
        model=first.model, task=name, family=first.family, protocol=first.protocol, shots=first.shots,
        metric=first.metric, source="model", level="", value=value, low=low, high=high,
        n=sum(r.n for r in members), failed=sum(r.failed for r in members), truncated=sum(r.truncated for r in members),
        chance=float(weights @ np.asarray(chances)) if None not in chances else None,
        signature="|".join(filter(None, (f"group:{name}|tasks:{len(members)}|weights:{weighting}|{kept}", rule))),
    )  # fmt: skip


def _bounds(
    members: Sequence[Result],
    weights: Any,
    tables: Mapping[tuple[str, int, str], list[Sequence[float]]],
    own: _Own,
) -> tuple[float, float]:
    """Bootstrap every task by itself; NaN where one has a metric of values that cannot be summed, or no documents."""
    total = np.zeros(_RESAMPLES)
    for seed, (result, weight) in enumerate(zip(members, weights, strict=True)):
        metric = own.get(result.task, {}).get(result.metric)
        table = np.asarray(tables.get((result.task, result.shots, result.metric), []), dtype=np.float64)
        if metric is None or isinstance(metric, Listed) or len(table) < 2 or math.isnan(result.value):
            return math.nan, math.nan
        total += weight * metric.scale * bootstrap(metric, table, resamples=_RESAMPLES, seed=seed)
    low, high = np.quantile(total, (0.025, 0.975), method="inverted_cdf")
    return float(low), float(high)
