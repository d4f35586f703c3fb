"""A result as an entry of Every Eval Ever's evaluation_results: the score and all that is known about it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from evalkit import metrics
from evalkit.errors import UsageError
from evalkit.harness import catalog
from evalkit.harness.task import Protocol
from evalkit.runs.columns import Table
from evalkit.runs.scores import Scores
from evalkit.runs.signature import Signature
from evalkit.runs.stored import StoredRun
from evalkit.stats import intervals
from evalkit.types import Result

# Their registry's names of metrics that are the same quantity; ours alone are called evalkit.NAME.
CANONICAL: Mapping[str, str] = {
    "acc": "accuracy", "exact_match": "exact-match", "f1": "f1", "bleu": "bleu", "ppl": "perplexity",
    "rouge1": "rouge-1", "rouge2": "rouge-2", "rougeL": "rouge-l",
}  # fmt: skip
_KINDS: Mapping[str, str] = {
    "acc": "accuracy", "exact": "accuracy", "verbatim": "accuracy", "ppl": "perplexity", "bits": "compression_rate",
    "bleu": "text_overlap", "chrf": "text_overlap", "rouge": "text_overlap", "f1": "f1", "mcc": "correlation",
    "pearson": "correlation", "matthews": "correlation",
}  # fmt: skip


def result_id(metric: str, shots: int, template: str, *, level: str) -> str:
    """Return the id by which samples refer to a result of the same file.

    >>> result_id("acc", 2, "", level=""), result_id("acc", 0, "plainer", level="head")
    ('acc@2-shot', 'acc@0-shot/template:plainer/level:head')
    """
    parts = [("template", template), ("level", level)]
    return f"{metric}@{shots}-shot" + "".join(f"/{name}:{value}" for name, value in parts if value)


@dataclass(frozen=True)
class Aggregates:
    """What a run holds of one task, from which standard errors are computed."""

    run: StoredRun
    scores: Scores
    task: str

    @property
    def about(self) -> Mapping[str, Any]:
        """The task's entry in the settings; empty for a group."""
        about: Mapping[str, Any] = self.run.settings.get("tasks", {}).get(self.task, {})
        return about

    @cached_property
    def protocol(self) -> Protocol | None:
        """The protocol of a bundled task that is still as it was at the time of the run."""
        task = catalog.available().get(self.task)
        if task is None or task.version != self.about.get("version"):
            return None
        return task.protocols.get(self.about.get("protocol", ""))

    def table(self, row: Result) -> tuple[Table, Sequence[str], Sequence[str]]:
        """Return the (m, k) statistics behind a result, the unit of each, and what its interval takes as units."""
        key = (row.task, row.protocol, row.shots, row.template, "")
        cells = [c for c in self.scores.cells if (c.task, c.protocol, c.shots, c.template, c.variant) == key]
        if not cells:
            return np.empty((0, 1)), (), ()
        sample = self.scores.sample(row.task, sorted(cells, key=lambda cell: cell.seed))
        places, table = sample.statistics(row.metric)
        if row.level:
            chosen = sample.at_level(row.level)[places]
            places, table = places[chosen], table[chosen]
        several, units = len(np.unique(sample.seeds[places])) > 1, sample.units(places)
        return table, units, units if several else sample.passages(places)


def entry(row: Result, aggregates: Aggregates, rows: Sequence[Result], *, timestamp: str) -> dict[str, Any]:
    """Return a result as an entry of evaluation_results. rows: all results of the task, for what stands beside it."""
    metric = metrics.get(row.metric, Signature.parse(row.signature).rule)
    return {
        "evaluation_result_id": result_id(row.metric, row.shots, row.template, level=row.level),
        "evaluation_name": row.task + (f"/{row.level}" if row.level else ""),
        "source_data": _source(row, aggregates),
        "evaluation_timestamp": timestamp,
        "metric_config": _metric_config(row, metric),
        "score_details": {
            "score": row.value / metric.scale,
            "uncertainty": _uncertainty(row, metric, aggregates),
            "details": dict(_details(row, metric, rows)),
        },
        "generation_config": _generation(row, aggregates),
    }


def _source(row: Result, aggregates: Aggregates) -> dict[str, Any]:
    about = aggregates.about
    config = about.get("lm_eval", {}).get("config", {})
    details = {"family": row.family}
    details |= {name: about[name] for name in ("version", "data", "levels", "pool") if name in about}
    group = aggregates.run.settings.get("groups", {}).get(aggregates.task)
    if group:
        details["tasks"] = group["tasks"]
    source: dict[str, Any] = {"dataset_name": aggregates.task, "source_type": "other"}
    hub = str(config.get("dataset_path", ""))
    if hub.count("/") == 1 and not hub.startswith(("/", ".")):
        split = config.get("test_split") or config.get("validation_split")
        source |= {"source_type": "hf_dataset", "hf_repo": hub, **({"hf_split": split} if split else {})}
        source["samples_number"] = about.get("documents", 0)
    return source | {"additional_details": texts(details)}


def _metric_config(row: Result, metric: metrics.Metric) -> dict[str, Any]:
    name = row.metric.partition(",")[0]
    kind = next((kind for start, kind in _KINDS.items() if start in name), "")
    ends = {"min_score": metric.least, "max_score": metric.most}
    share = (metric.least, metric.most) == (0.0, 1.0)
    return {
        "evaluation_description": row.metric,
        "metric_id": CANONICAL.get(name, f"evalkit.{name}"),
        "metric_name": row.metric,
        **({"metric_kind": kind} if kind else {}),
        **({"metric_unit": "proportion"} if share else {}),
        "lower_is_better": not metric.higher_is_better,
        "score_type": "continuous",
        **{end: value if math.isfinite(value) else f"{'-' * (value < 0)}Infinity" for end, value in ends.items()},
        "additional_details": {"signature": row.signature},
    }


def _uncertainty(row: Result, metric: metrics.Metric, aggregates: Aggregates) -> dict[str, Any]:
    """Return the standard error, the 95% interval, their methods, and the number of documents."""
    uncertainty: dict[str, Any] = {"num_samples": row.n}
    table, units, clusters = aggregates.table(row)
    scored = len(table) > 1 and table.shape[1] > 0
    error = intervals.standard_error(metric, table, units) if scored else math.nan
    if math.isfinite(error):
        uncertainty["standard_error"] = {"value": error, "method": "jackknife"}
    if math.isfinite(row.low) and math.isfinite(row.high):
        method = intervals.interval(metric, table, clusters).method if scored else "combined from tasks"
        uncertainty["confidence_interval"] = {
            "lower": row.low / metric.scale, "upper": row.high / metric.scale, "confidence_level": intervals.LEVEL,
            "method": method,
        }  # fmt: skip
    return uncertainty


def _details(row: Result, metric: metrics.Metric, rows: Sequence[Result]) -> Iterator[tuple[str, str]]:
    """Yield what stands beside a score, in its unit: chance, baselines, controls, and documents without a score."""
    yield "shots", str(row.shots)
    yield "units", str(row.units)
    yield "failed", str(row.failed)
    yield "truncated", str(row.truncated)
    if row.chance is not None:
        yield "chance", f"{row.chance / metric.scale:.12g}"
    place = (row.metric, row.shots, row.template, row.level)
    for beside in rows:
        if beside.source != "model" and (beside.metric, beside.shots, beside.template, beside.level) == place:
            yield beside.source, f"{beside.value / metric.scale:.12g}"


def _generation(row: Result, aggregates: Aggregates) -> dict[str, Any]:
    """Return the prompt's template and the decoding, where the run or the catalogue of tasks says them."""
    settings, about = aggregates.run.settings, aggregates.about
    details = {
        "protocol": row.protocol, "num_fewshot": row.shots, "seeds": settings.get("seeds"),
        "template": row.template or None,
    }  # fmt: skip
    config, protocol = about.get("lm_eval", {}).get("config", {}), aggregates.protocol
    decoding: dict[str, Any] = {}
    if config:
        decoding["prompt_template"] = json.dumps(
            {name: str(config[name]) for name in ("description", "doc_to_text", "doc_to_target") if name in config}
        )
        details["generation_kwargs"] = config.get("generation_kwargs")
    elif protocol:
        try:
            worded = protocol.wording(row.template)
        except (KeyError, UsageError):
            worded = protocol
        decoding["prompt_template"] = worded.description + worded.query + worded.target
        if protocol.kind == "generate":
            own = protocol.decoding
            decoding |= {"temperature": own.temperature, "top_p": own.top_p, "top_k": own.top_k}
            decoding["max_tokens"] = own.max_tokens
            details |= {"until": list(own.until), "beams": own.beams}
    return {"generation_args": decoding, "additional_details": texts(details)}


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as texts, which is all that their additional details may hold; without those that are None.

    >>> texts({"a": 1, "b": None, "c": [1, 2]})
    {'a': '1', 'c': '[1, 2]'}
    """
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items() if v is not None}
