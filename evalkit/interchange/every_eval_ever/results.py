"""Every Eval Ever's aggregate files as results for reports: theirs of any source, and evalkit's own.

Shares are shown in percent. A score without an interval gets the value +- 1.96 standard errors, within what the metric
can be; one with neither has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import StoreError
from evalkit.report.imports import benchmarks
from evalkit.report.measurements import Measurement, interval_of
from evalkit.report.models import MOST, ModelFacts, model_facts
from evalkit.runs.shapes import check

# What a record of evalkit's own says of the training, in the names of a run's manifest.
_TRAINING = "training_"


@dataclass(frozen=True, kw_only=True)
class _Error:
    value: float


@dataclass(frozen=True, kw_only=True)
class _Bounds:
    lower: float
    upper: float
    confidence_level: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Uncertainty:
    standard_error: _Error | None = None
    confidence_interval: _Bounds | None = None
    num_samples: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Details:
    score: float
    uncertainty: _Uncertainty | None = None
    details: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class _Metric:
    lower_is_better: bool
    metric_name: str | None = None
    metric_id: str | None = None
    evaluation_description: str | None = None
    min_score: float | str | None = None
    max_score: float | str | None = None
    metric_unit: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Generation:
    additional_details: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class _Source:
    dataset_name: str
    additional_details: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class _Result:
    evaluation_name: str
    metric_config: _Metric
    score_details: _Details
    source_data: _Source
    evaluation_result_id: str | None = None
    generation_config: _Generation | None = None


@dataclass(frozen=True, kw_only=True)
class _Model:
    id: str
    name: str = ""
    additional_details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Library:
    name: str


@dataclass(frozen=True, kw_only=True)
class _File:
    """The fields of an aggregate file that are read here; others are allowed."""

    schema_version: str
    model_info: _Model
    evaluation_results: Sequence[_Result]
    eval_library: _Library | None = None


def read_if_its(raw: Any, path: Path) -> list[Measurement] | None:
    """Turn an aggregate file into measurements; None for something else. Raises StoreError for a broken one."""
    if not isinstance(raw, dict) or not {"schema_version", "evaluation_results", "model_info"} <= raw.keys():
        return None
    try:
        check(_File, raw, extra=True)
    except TypeError as error:
        raise StoreError(f"{path}: not a record of Every Eval Ever ({error})") from None
    facts, ours = _facts(raw, path), (raw.get("eval_library") or {}).get("name") == "evalkit"
    return [_measurement(result, facts, path, ours=ours) for result in raw["evaluation_results"]]


def _facts(raw: Mapping[str, Any], path: Path) -> ModelFacts:
    """Return what a file says of its model; a size only where it is a plain number."""
    model = raw["model_info"]
    details = model.get("additional_details") or {}
    about = {"model": str(model["id"]).rpartition("/")[2]}
    about |= {name: details[name] for name in ("hash", "dtype", "block_parameters") if name in details}
    parameters = details.get("parameters", details.get("num_parameters", ""))
    if parameters.isdecimal() and int(parameters) > 0:
        about["parameters"] = parameters
    training = {k.removeprefix(_TRAINING): v for k, v in details.items() if k.startswith(_TRAINING)}
    try:
        return model_facts({"settings": {"model": about}, "training": training})
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from None


def _measurement(raw: Mapping[str, Any], facts: ModelFacts, path: Path, *, ours: bool) -> Measurement:
    config, score = raw["metric_config"], raw["score_details"]
    uncertainty, details = score.get("uncertainty") or {}, score.get("details") or {}
    generation = (raw.get("generation_config") or {}).get("additional_details") or {}
    metric = config.get("metric_name") or config.get("evaluation_description") or config.get("metric_id") or "score"
    task, level = raw["evaluation_name"], ""
    if ours:
        task = raw["source_data"]["dataset_name"]
        level = raw["evaluation_name"][len(task) + 1 :]
    least, most = _end(config.get("min_score"), -math.inf), _end(config.get("max_score"), math.inf)
    share = (least, most) == (0.0, 1.0)
    factor = benchmarks.scale(benchmarks.plain(metric), ours=ours).factor if ours else 100.0 if share else 1.0
    value, n = _finite(score["score"], raw["evaluation_name"], path), uncertainty.get("num_samples") or 0
    error = (uncertainty.get("standard_error") or {}).get("value")
    bounds = uncertainty.get("confidence_interval") or {}
    if bounds and bounds.get("confidence_level") in (None, 0.95):
        low, high = bounds["lower"], bounds["upper"]
    else:
        low, high = interval_of(value, error, n, least, most)
    plain = benchmarks.NAMES.get(benchmarks.plain(metric), metric)
    chance = details.get("chance")
    return Measurement(
        model=facts, task=task, level=level, family=_family(raw, task, ours=ours),
        protocol=generation.get("protocol", "every-eval-ever"), shots=_shots(generation, details), metric=plain,
        template=generation.get("template", ""), value=value * factor, low=low * factor, high=high * factor,
        n=max(0, n), failed=_count(details.get("failed")) or 0,
        chance=float(chance) * factor if ours and chance else benchmarks.chance(task, metric) if share else None,
        higher_is_better=not config["lower_is_better"], scale=factor,
        ceiling=100.0 if factor == 100 and share else None,
        # Of a run of evalkit the interval implies the standard error, as in the run's own reports.
        reported_stderr=error * factor if error and not (ours and bounds) else None,
        signature=(config.get("additional_details") or {}).get("signature", "")
        or f"task:{task}|metric:{metric}|model:{facts.name}|every-eval-ever",
        origin=path,
    )  # fmt: skip


def _family(raw: Mapping[str, Any], task: str, *, ours: bool) -> str:
    family = (raw["source_data"].get("additional_details") or {}).get("family", "")
    return family if ours and family else benchmarks.family_of(task)


def _shots(generation: Mapping[str, str], details: Mapping[str, str]) -> int | None:
    return _count(generation.get("num_fewshot", details.get("shots")))


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and int(text) <= MOST else None


def _end(bound: float | str | None, otherwise: float) -> float:
    """Return an end of a metric's range; their schema writes an infinite one as a word."""
    if isinstance(bound, str):
        return {"Infinity": math.inf, "-Infinity": -math.inf}.get(bound, otherwise)
    return otherwise if bound is None else float(bound)


def _finite(value: float, name: str, path: Path) -> float:
    if not math.isfinite(value):
        raise StoreError(f"{path}: the score of {name} is {value}, not a finite number")
    return float(value)
