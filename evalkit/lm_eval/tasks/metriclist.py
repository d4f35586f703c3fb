"""`metric_list` of a task file: the metrics, their options and their aggregations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import DataError
from evalkit.lm_eval.tasks.functions import FunctionRef
from evalkit.metrics.values import AGGREGATIONS

# The metrics that lm-evaluation-harness knows by name: the aggregation where the file gives none, and whether higher is
# better.
BUILT_IN: Mapping[str, tuple[str, bool]] = {
    "acc": ("mean", True),
    "acc_norm": ("mean", True),
    "acc_bytes": ("mean", True),
    "acc_mutual_info": ("mean", True),
    "exact_match": ("mean", True),
    "brier_score": ("brier_score", False),
    "perplexity": ("perplexity", False),
    "word_perplexity": ("weighted_perplexity", False),
    "byte_perplexity": ("weighted_perplexity", False),
    "bits_per_byte": ("bits_per_byte", False),
    "mcc": ("matthews_corrcoef", True),
    "f1": ("f1", True),
    "bleu": ("bleu", True),
    "chrf": ("chrf", True),
    "chrf++": ("chrf++", True),
    "ter": ("ter", False),
    "likelihood": ("mean", True),
    "bypass": ("bypass", True),
}

# A file may ask for metrics of the `evaluate` library, which are code fetched from the hub. This one equals the
# built-in metric of its name.
_SAME_ELSEWHERE = ("exact_match",)

_DEFAULTS = {
    "multiple_choice": ("acc", "acc_norm"),
    "loglikelihood": ("perplexity", "acc"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    "generate_until": ("exact_match",),
}


@dataclass(frozen=True, kw_only=True)
class MetricEntry:
    """One metric of a file.

    metric: its name, or the function that computes it. aggregation: a name in metrics.values, or a function.
    options: the entry's other keys, passed to the metric.
    """

    metric: Any
    aggregation: Any
    higher_is_better: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in results; for a function, the function's."""
        if isinstance(self.metric, FunctionRef):
            return self.metric.name.rpartition(".")[2]
        return self.metric if isinstance(self.metric, str) else str(self.metric.__name__)


def default_metrics(output_type: str) -> list[MetricEntry]:
    """Return the metrics of an output type, for files without metric_list."""
    return [
        MetricEntry(metric=name, aggregation=BUILT_IN[name][0], higher_is_better=BUILT_IN[name][1])
        for name in _DEFAULTS[output_type]
    ]


def metric_entries(value: Any, path: Path, *, output_type: str, own_scores: bool) -> list[MetricEntry]:
    """Read metric_list. own_scores: process_results computes the values, so that any name is allowed.

    Raises DataError for an unknown metric or aggregation, naming it and the file.
    """
    if value is None:
        return []
    entries = value if isinstance(value, list) else [value]
    return [_entry(entry, path, texts=output_type == "generate_until", own_scores=own_scores) for entry in entries]


def _entry(entry: Any, path: Path, *, texts: bool, own_scores: bool) -> MetricEntry:
    if not isinstance(entry, dict) or entry.get("metric") is None:
        raise DataError(f"{path}: metric_list: expected entries with the key metric, found {entry!r}")
    name, elsewhere = entry["metric"], texts and entry.get("hf_evaluate") is True
    code = isinstance(name, FunctionRef) or callable(name)
    if not code and not isinstance(name, str):
        name = str(name)  # a name such as 4096 that YAML takes for a number
    allowed_metric = code or own_scores or (name in BUILT_IN and (not elsewhere or name in _SAME_ELSEWHERE))
    if not allowed_metric:
        library = " of the `evaluate` library" if elsewhere or name not in BUILT_IN else ""
        raise DataError(f"{path}: metric_list: metric {name!r}{library} is not known (built in: {', '.join(BUILT_IN)})")
    default, higher = BUILT_IN.get(name, ("mean", True)) if not code else ("mean", True)
    aggregation = entry.get("aggregation", default)
    if isinstance(aggregation, str) and aggregation not in AGGREGATIONS:
        allowed = ", ".join(AGGREGATIONS)
        raise DataError(f"{path}: metric_list: {name}: aggregation {aggregation!r} is not known (allowed: {allowed})")
    better = entry.get("higher_is_better", higher)
    options = {k: v for k, v in entry.items() if k not in ("metric", "aggregation", "higher_is_better", "hf_evaluate")}
    return MetricEntry(
        metric=name,
        aggregation=aggregation,
        higher_is_better=bool(better) if better is not None else True,
        options=options,
    )


def names(entries: Sequence[MetricEntry]) -> list[str]:
    """Return the names of metrics in the order of the file."""
    return [entry.name for entry in entries]
