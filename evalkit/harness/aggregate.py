"""Records -> Results: one row per task, shots, metric, source and level, each with an interval."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from evalkit import __version__, metrics
from evalkit.metrics.values import Listed, MeanValue
from evalkit.runs.signature import Signature
from evalkit.stats.intervals import Interval, interval
from evalkit.types import Record, Result

_Key = tuple[str, str, int, str]  # task, protocol, shots, template


def aggregate(
    records: Iterable[Record],
    settings: Mapping[str, Any],
    *,
    own: Mapping[str, Mapping[str, metrics.Metric]] = MappingProxyType({}),
) -> list[Result]:
    """Aggregate a run's records, in any order.

    The seeds of one document form one unit of the interval: they are one observation, not several.
    own: the metrics of tasks that bring their own, by task and name.
    """
    cells: dict[_Key, list[Record]] = defaultdict(list)
    for record in records:
        cells[record.cell.task, record.cell.protocol, record.cell.shots, record.cell.template].append(record)
    order = {name: i for i, name in enumerate(settings["tasks"])}
    results: list[Result] = []
    for key in sorted(cells, key=lambda k: (order.get(k[0], len(order)), k[2:])):
        group = sorted(cells[key], key=lambda r: (r.cell.variant, r.doc_id, r.cell.seed))
        for metric in metrics_of(settings["tasks"][key[0]]["metrics"], group, own.get(key[0], {})):
            results += _of_metric(metric, key, group, settings)
    return results


def metrics_of(
    names: Sequence[str], records: Iterable[Record], own: Mapping[str, metrics.Metric]
) -> list[metrics.Metric]:
    """Return a task's metrics, by name or its own; last come those that its code scored without listing them."""
    unannounced = dict.fromkeys(name for record in records for name in record.scores) if own else {}
    return [
        own[name] if name in own else MeanValue(name) if own else metrics.get(name)
        for name in {**dict.fromkeys(names), **unannounced}
    ]


def _of_metric(
    metric: metrics.Metric, key: _Key, group: Sequence[Record], settings: Mapping[str, Any]
) -> Iterator[Result]:
    """Yield the model's rows (all documents, then each level), its controls and the baselines."""
    plain = [r for r in group if not r.cell.variant]

    def make(source: str, level: str, chosen: Sequence[Record], scores: Callable[[Record], Any]) -> Result:
        return _result(metric, key, chosen, scores, source=source, level=level, settings=settings)

    def own(record: Record) -> Any:
        return record.scores.get(metric.name)

    yield make("model", "", plain, own)
    for level in sorted({r.level for r in plain} - {""}):
        yield make("model", level, [r for r in plain if r.level == level], own)
    for variant in sorted({r.cell.variant for r in group} - {""}):
        yield make(f"control:{variant}", "", [r for r in group if r.cell.variant == variant], own)
    for name in sorted({name for r in plain for name in r.baselines}):
        yield make(f"baseline:{name}", "", plain, partial(_of_baseline, name, metric.name))


def _of_baseline(baseline: str, metric: str, record: Record) -> Sequence[float] | None:
    return record.baselines.get(baseline, {}).get(metric)


def _result(
    metric: metrics.Metric,
    key: _Key,
    records: Sequence[Record],
    scores: Callable[[Record], Sequence[float] | None],
    *,
    source: str,
    level: str,
    settings: Mapping[str, Any],
) -> Result:
    task, protocol, shots, template = key
    scored = [(r, s) for r in records if (s := scores(r)) is not None]
    table = np.asarray([s for _, s in scored], dtype=np.float64) if scored else np.empty((0, 1))  # all have failed
    several = len({r.cell.seed for r, _ in scored}) > 1
    clusters = [unit_of(r) if r.cluster or several else "" for r, _ in scored]
    if isinstance(metric, Listed):
        listed = sorted((r for r, _ in scored), key=lambda r: (len(r.doc_id), r.doc_id))
        value = metric.score([r.values[metric.name] for r in listed])
        estimate = Interval(value=value, low=math.nan, high=math.nan, method="none", units=len(listed))
    else:
        estimate = interval(metric, table, clusters)
    chances = [r.chance[metric.name] for r, _ in scored if metric.name in r.chance]
    scale = metric.scale
    return Result(
        model=settings["model"]["model"],
        task=task,
        family=settings["tasks"][task]["family"],
        protocol=protocol,
        shots=shots,
        metric=metric.name,
        source=source,
        level=level,
        value=estimate.value * scale,
        low=estimate.low * scale,
        high=estimate.high * scale,
        n=len({r.doc_id for r, _ in scored}),
        failed=len({r.doc_id for r in records if r.error}),
        truncated=len({r.doc_id for r in records if r.prompt.dropped or r.prompt.cut}),
        chance=sum(chances) / len(chances) * scale if chances else None,
        signature=str(_signature(metric, key, settings)),
        template=template,
        units=estimate.units,
    )


def unit_of(record: Record) -> str:
    """Return the name of an independent unit: a passage, or a document with all its seeds."""
    return f"passage {record.cluster}" if record.cluster else f"document {record.doc_id}"


def _signature(metric: metrics.Metric, key: _Key, settings: Mapping[str, Any]) -> Signature:
    """Return everything that the value depends on."""
    task, protocol, shots, template = key
    entry, model = settings["tasks"][task], settings["model"]
    compute = settings.get("compute", {})
    limit = settings["limit"].get(task) if isinstance(settings["limit"], Mapping) else settings["limit"]
    fields = {
        "task": f"{task}.v{entry['version']}",
        "protocol": protocol,
        **({"template": template} if template else {}),
        "shots": str(shots),
        **({"pool": entry["pool"].replace(" of ", "/")} if "pool" in entry else {}),
        **({"levels": ",".join(entry["levels"])} if "levels" in entry else {}),
        "seeds": ",".join(map(str, settings["seeds"])),
        "limit": "-".join(filter(None, (entry.get("limit"), str(limit)))) if limit else "all",
        "data": entry["data"],
        "model": f"{model['model']}@{model['hash']}",
        "dtype": model["dtype"],
        **({"compute": ", ".join(f"{k} {v}" for k, v in compute.items())} if compute else {}),
        "evalkit": __version__,
    }
    return Signature(fields, metric.signature())
