"""A run as lm-evaluation-harness 0.4.13 would have written it: results_TIME.json and samples_TASK_TIME.jsonl.

A file of results has one number of shots per task, so a run at several becomes several pairs, a microsecond apart.
What lm-evaluation-harness has no place for is left out: controls, baselines, levels, further wordings.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from evalkit import metrics
from evalkit.files import make_folder, write_atomic
from evalkit.lm_eval.samples import METRICS_THERE, sample
from evalkit.lm_eval.schema import TRAINING
from evalkit.lm_eval.stderr import of_group, standard_error
from evalkit.metrics.values import ValueMetric
from evalkit.runs.sample import unit_name
from evalkit.runs.signature import Signature
from evalkit.runs.store import open_run
from evalkit.stats import intervals as stats
from evalkit.types import Record, Result

_Cells = Mapping[tuple[str, int], Sequence[Record]]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written. left_out: rows of results that lm-evaluation-harness has no place for."""

    folder: Path
    files: Sequence[Path]
    left_out: int


def export(run: Path, out: Path, *, iterations: int = 100_000) -> Exported:
    """Write a finished run in lm-evaluation-harness's layout, under OUT/MODEL.

    iterations: resamples of the standard errors that have a bootstrap there. Raises StoreError for a run that is
    unfinished or broken, or a folder that cannot be written.
    """
    stored = open_run(run)
    stored.check_whole("an export")
    manifest = {"settings": stored.settings, "timing": stored.timing, "training": stored.training}
    results = stored.results
    exportable = [
        r for r in results if r.source == "model" and not r.level and not r.template and not math.isnan(r.value)
    ]
    cells: dict[tuple[str, int], list[Record]] = {}
    for record in stored.records():
        if not (record.error or record.cell.variant or record.cell.template):
            cells.setdefault((record.cell.task, record.cell.shots), []).append(record)
    for records in cells.values():
        records.sort(key=lambda r: (len(r.doc_id), r.doc_id, r.cell.seed))  # numbers in numerical order
    folder = make_folder(out / re.sub(r'["<>:/|\\?*\[\]]+', "__", str(manifest["settings"]["model"]["model"])))
    files: list[Path] = []
    for shots in sorted({r.shots for r in exportable}):
        rows = [r for r in exportable if r.shots == shots]
        files += _write(folder, manifest, rows, cells, shots=shots, iterations=iterations)
    return Exported(folder=folder, files=files, left_out=len(results) - len(exportable))


def _write(
    folder: Path, manifest: Mapping[str, Any], rows: Sequence[Result], cells: _Cells, *, shots: int, iterations: int
) -> Iterator[Path]:
    """Write the files of one number of shots; yield their paths."""
    settings, tasks = manifest["settings"], manifest["settings"]["tasks"]
    began = datetime.fromtimestamp(manifest["timing"].get("started", 0), timezone.utc) + timedelta(microseconds=shots)
    time = began.strftime("%Y-%m-%dT%H-%M-%S.%f")
    hashes = {}
    for task in dict.fromkeys(r.task for r in rows if r.task in tasks):
        lines = [line for record in cells.get((task, shots), ()) for line in sample(record, tasks[task])]
        joined = "".join(line[f"{part}_hash"] for line in lines for part in ("doc", "prompt", "target"))
        hashes[task] = hashlib.sha256(joined.encode()).hexdigest()
        path = folder / f"samples_{task}_{time}.jsonl"
        write_atomic(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        yield path
    values = _values(rows, cells, settings, iterations=iterations)
    body = {
        "results": values,
        **_about(rows, settings, values),
        "config": _config(settings, iterations),
        "git_hash": None,
        "date": manifest["timing"].get("started"),
        "evalkit_version": settings["evalkit"],
        "evalkit_training": {name: manifest["training"][name] for name in TRAINING if name in manifest["training"]},
        "evalkit_tasks": {name: _own_facts(tasks[name]) for name in hashes},
        "max_length": int(settings["model"]["context"]) if "context" in settings["model"] else None,
        "task_hashes": hashes,
        "model_source": "evalkit",
        "model_name": settings["model"]["model"],
        "model_name_sanitized": folder.name,
        **dict.fromkeys(("system_instruction", "system_instruction_sha", "fewshot_as_multiturn")),
        **dict.fromkeys(("chat_template", "chat_template_sha")),
        "total_evaluation_time_seconds": str(manifest["timing"].get("seconds")),
    }
    path = folder / f"results_{time}.json"
    write_atomic(path, json.dumps(body, indent=2, ensure_ascii=False) + "\n")
    yield path


def _values(
    rows: Sequence[Result], cells: _Cells, settings: Mapping[str, Any], *, iterations: int
) -> dict[str, dict[str, Any]]:
    """Return the entries of "results": by task or group, "METRIC,FILTER" and its standard error."""
    tasks, groups = settings["tasks"], settings.get("groups", {})
    values: dict[str, dict[str, Any]] = {}
    for r in rows:
        metric = _metric(r)
        name, filter_name = name_and_filter(r.metric)
        value_key, error_key = f"{name},{filter_name}", f"{name}_stderr,{filter_name}"
        if r.task in groups:
            members = [values[task] for task in groups[r.task]["tasks"] if value_key in values.get(task, {})]
            error = _group_error(members, error_key, by_size=groups[r.task]["metrics"][r.metric] == "size")
        else:
            error = _error(r, metric, cells.get((r.task, r.shots), ()), iterations=iterations)
        config = tasks.get(r.task, {}).get("lm_eval", {}).get("config", {})
        entry = values.setdefault(
            r.task, {"name": r.task, "alias": config.get("task_alias", r.task), "sample_len": r.n}
        )
        if r.task in groups:
            entry.setdefault("sample_count", {})[value_key] = r.n
        entry |= {value_key: r.value / metric.scale, error_key: "N/A" if error is None else error}
    return values


def _group_error(members: Sequence[Mapping[str, Any]], key: str, *, by_size: bool) -> float | None:
    """Combine the errors of the tasks that have the metric, where all have one, as lm-evaluation-harness does."""
    errors = [member[key] for member in members]
    if "N/A" in errors or not errors:
        return None
    return of_group(errors, [member["sample_len"] for member in members], by_size=by_size)


def name_and_filter(metric: str) -> tuple[str, str]:
    """Split a metric's name into name and filter; without a filter it is "none", as in lm-evaluation-harness.

    >>> name_and_filter("acc_per_char"), name_and_filter("exact_match,strict")
    (('acc_norm', 'none'), ('exact_match', 'strict'))
    """
    name, _, filter_name = metric.partition(",")
    return METRICS_THERE.get(name, name), filter_name or "none"


def _metric(row: Result) -> metrics.Metric:
    return metrics.get(row.metric, Signature.parse(row.signature).rule)


def _error(row: Result, metric: metrics.Metric, records: Sequence[Record], *, iterations: int) -> float | None:
    """Return a standard error: of a task file's metric as lm-evaluation-harness computes it, else a jackknife's."""
    scored = [r for r in records if row.metric in r.scores]
    seeds = {r.cell.seed for r in scored}
    table = np.asarray([r.scores[row.metric] for r in scored], dtype=np.float64)
    if isinstance(metric, ValueMetric) and len(seeds) == 1:
        values = [r.values[row.metric] for r in scored if row.metric in r.values]
        return standard_error(metric, table, values=values, iterations=iterations)
    error = (
        stats.standard_error(metric, table, [unit_name(r.cluster, r.doc_id) for r in scored])
        if table.size
        else math.nan
    )
    return error if math.isfinite(error) else None


def _about(rows: Sequence[Result], settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries beside the values, by task and group."""
    tasks, groups = settings["tasks"], settings.get("groups", {})
    shots = {r.task: r.shots for r in rows}
    better: dict[str, dict[str, bool]] = {}
    for r in rows:
        better.setdefault(r.task, {})[name_and_filter(r.metric)[0]] = _metric(r).higher_is_better
    own = [name for name in shots if name in tasks]
    members = {name: about["tasks"] for name, about in groups.items() if name in shots}
    return {
        **({"groups": {name: values[name] for name in members}} if members else {}),
        "group_subtasks": members,
        "configs": {name: _task_config(name, tasks[name], shots[name]) for name in own},
        "versions": {name: tasks[name]["version"] if name in tasks else None for name in shots},
        "n-shot": shots,
        "higher_is_better": better,
        "n-samples": {
            name: {"original": tasks[name]["documents"], "effective": values[name]["sample_len"]} for name in own
        },
    }


def _task_config(name: str, about: Mapping[str, Any], shots: int) -> dict[str, Any]:
    """Return a task's configuration: its file's keys, or what identifies evalkit's own task."""
    config = about.get("lm_eval", {}).get("config")
    if config is None:
        config = {"task": name, "metadata": {"version": about["version"], "protocol": about["protocol"]}}
    return {**config, "num_fewshot": shots}


def _own_facts(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the run's settings say of a task, without the configuration that stands elsewhere in the file."""
    return {name: value for name, value in about.items() if name != "lm_eval"}


def _config(settings: Mapping[str, Any], iterations: int) -> dict[str, Any]:
    model = settings["model"]
    return {
        "model": "evalkit",
        "model_args": {"pretrained": model["model"], "dtype": model["dtype"]},
        "model_num_parameters": int(model.get("parameters", -1)),
        "model_dtype": model["dtype"],
        "model_revision": "",
        "model_sha": model["hash"],
        **dict.fromkeys(("batch_size", "device", "use_cache")),
        "batch_sizes": [],
        "limit": settings["limit"],
        "bootstrap_iters": iterations,
        "gen_kwargs": {},
        **dict.fromkeys(("random_seed", "numpy_seed", "torch_seed"), settings["seeds"][0]),
        "fewshot_seed": settings["seeds"][0],
    }
