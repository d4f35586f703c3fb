"""Records -> Results: one row per task, shots, metric, source and level, each with an interval."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit import __version__, metrics
from evalkit.metrics.values import Listed, MeanValue
from evalkit.runs.sample import Sample
from evalkit.runs.scores import Scores
from evalkit.runs.signature import Signature
from evalkit.stats.intervals import Interval, interval
from evalkit.stats.sampling import LEAST_DRAWN
from evalkit.types import Cell, Record, Result

if TYPE_CHECKING:
    from evalkit.harness.draw import Draw

log = logging.getLogger(__name__)

_Key = tuple[str, str, int, str]  # task, protocol, shots, template


def aggregate(
    records: Iterable[Record] | Scores,
    settings: Mapping[str, Any],
    *,
    own: Mapping[str, Mapping[str, metrics.Metric]] = MappingProxyType({}),
    draws: Mapping[str, Draw] = MappingProxyType({}),
) -> list[Result]:
    """Aggregate a run's records, in any order.

    The seeds of one document form one unit of the interval: they are one observation, not several.
    own: the metrics of tasks that bring their own, by task and name. draws: of the tasks of which only some documents
    were drawn, from which the value of all is estimated.
    """
    scores = records if isinstance(records, Scores) else Scores(records)
    rows: dict[_Key, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list, {"": []}))
    for cell in sorted(scores.cells, key=lambda cell: (cell.variant, cell.seed)):
        rows[cell.task, cell.protocol, cell.shots, cell.template][cell.variant].append(cell)
    order = {name: i for i, name in enumerate(settings["tasks"])}
    results: list[Result] = []
    for key in sorted(rows, key=lambda k: (order.get(k[0], len(order)), k[2:])):
        samples = {variant: scores.sample(key[0], cells) for variant, cells in rows[key].items()}
        for metric in _metrics_of(settings["tasks"][key[0]]["metrics"], samples, own.get(key[0], {})):
            if key[0] in draws:
                results += _estimates(metric, key, samples[""], settings, draws[key[0]])
            else:
                results += _of_metric(metric, key, samples, settings)
    return results


def _metrics_of(
    names: Sequence[str], samples: Mapping[str, Sample], own: Mapping[str, metrics.Metric]
) -> list[metrics.Metric]:
    """Return a task's metrics, by name or its own; last come those that its code scored without listing them."""
    unannounced = dict.fromkeys(name for sample in samples.values() for name in sample.metrics) if own else {}
    return [
        own[name] if name in own else MeanValue(name) if own else metrics.get(name)
        for name in {**dict.fromkeys(names), **unannounced}
    ]


def _of_metric(
    metric: metrics.Metric, key: _Key, samples: Mapping[str, Sample], settings: Mapping[str, Any]
) -> Iterator[Result]:
    """Yield the model's rows (all documents, then each level), its controls and the baselines.

    samples: by variant, in alphabetical order, the task itself first.
    """
    make = partial(_result, metric, key, settings=settings)
    plain = samples[""]
    yield make(plain)
    for level in sorted(plain.levels.keys() - {""}):
        yield make(plain, level=level)
    for variant, sample in samples.items():
        if variant:
            yield make(sample, source=f"control:{variant}")
    for name in sorted(plain.baselines):
        yield make(plain, source=f"baseline:{name}", baseline=name)


def _estimates(
    metric: metrics.Metric, key: _Key, sample: Sample, settings: Mapping[str, Any], draw: Draw
) -> Iterator[Result]:
    """Yield the estimates for all documents of a task, and for those of each level that enough were drawn of."""
    if not draw.predicts(metric.name, shots=key[2], template=key[3]):
        log.warning("%s: %s cannot be estimated from a part of the documents", key[0], metric.name)
        return
    counts = sample.levels
    for level in ("", *sorted(level for level in counts if level and counts[level] >= LEAST_DRAWN)):
        yield _result(metric, key, sample, settings=settings, source="estimate", level=level, draw=draw)


def _result(
    metric: metrics.Metric,
    key: _Key,
    sample: Sample,
    *,
    settings: Mapping[str, Any],
    source: str = "model",
    level: str = "",
    baseline: str = "",
    draw: Draw | None = None,
) -> Result:
    task, protocol, shots, template = key
    scored, table = sample.statistics(metric.name, baseline=baseline)
    chanced, chances = sample.chances(metric.name)
    failed, truncated = sample.failed, sample.truncated
    if level:
        chosen = sample.at_level(level)
        table, chances = table[chosen[scored]], chances[chosen[chanced]]
        scored, chanced, failed, truncated = (places[chosen[places]] for places in (scored, chanced, failed, truncated))
    guesses, weights = chances[np.isin(chanced, scored), 0], None
    if draw:
        names = [sample.id(place) for place in scored.tolist()]
        weights = [draw.weights[name] for name in names]
        estimate = draw.estimate(metric, names, table, shots=shots, template=template, level=level)
    elif isinstance(metric, Listed):
        value = metric.score(sample.values(metric.name, scored))
        estimate = Interval(value=value, low=math.nan, high=math.nan, method="none", units=len(scored))
    else:
        several = len(np.unique(sample.seeds[scored])) > 1
        estimate = interval(metric, table, sample.units(scored) if several else sample.passages(scored))
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
        n=sample.count(scored),
        failed=sample.count(failed),
        truncated=sample.count(truncated),
        chance=_mean(guesses, weights) * scale if len(guesses) else None,
        signature=str(_signature(metric, key, settings)),
        template=template,
        units=estimate.units,
    )


def _mean(values: NDArray[np.float64], weights: Sequence[float] | None) -> float:
    if weights is None:
        return float(np.add.accumulate(values)[-1]) / len(values)  # one by one: a pairwise sum has other last bits
    return float(np.average(values, weights=weights))


def _signature(metric: metrics.Metric, key: _Key, settings: Mapping[str, Any]) -> Signature:
    """Return everything that the value depends on."""
    task, protocol, shots, template = key
    entry, model = settings["tasks"][task], settings["model"]
    pooled = bool(shots) or "scored" not in entry  # whether the value depends on the pool
    compute = settings.get("compute", {})
    limit = settings["limit"].get(task) if isinstance(settings["limit"], Mapping) else settings["limit"]
    fields = {
        "task": f"{task}.v{entry['version']}",
        "protocol": protocol,
        **({"template": template} if template else {}),
        "shots": str(shots),
        **({"pool": entry["pool"].replace(" of ", "/")} if "pool" in entry and pooled else {}),
        **({"levels": ",".join(entry["levels"])} if "levels" in entry else {}),
        **({"empty": settings["empty_context"]} if "empty_context" in settings else {}),
        "seeds": ",".join(map(str, settings["seeds"])),
        "limit": "-".join(filter(None, (entry.get("limit"), str(limit)))) if limit else "all",
        **({"sample": _drawn(entry)} if "sample" in entry else {}),
        "data": entry["data"] if pooled else entry["scored"],
        "model": f"{model['model']}@{model['hash']}",
        "dtype": model["dtype"],
        **({"compute": ", ".join(f"{k} {v}" for k, v in compute.items())} if compute else {}),
        "evalkit": __version__,
    }
    return Signature(fields, metric.signature())


def _drawn(entry: Mapping[str, Any]) -> str:
    """Return what a task's settings say of the documents that its values are estimated from."""
    return f"{entry['documents']}/{entry['sample']['of']}@{entry['sample']['plan']}"
