"""Results and samples of lm-evaluation-harness as a run folder, for `compare`, `report`, `records` and `baseline`.

Each metric is aggregated from the samples and has to give the value in the results file, so that what is compared is
what was reported; one that does not (its aggregation is a task's own function) is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit import __version__, metrics
from evalkit.errors import DataError, StoreError
from evalkit.files import canonical_json, digest, read_json
from evalkit.harness.aggregate import aggregate
from evalkit.harness.groups import group_results
from evalkit.harness.task import LM_EVAL
from evalkit.lm_eval.results import model_facts
from evalkit.lm_eval.samples import METRICS_THERE, read_lines, sample_files
from evalkit.lm_eval.schema import Score, TaskResults, is_results, parse
from evalkit.lm_eval.tasks.draws import FIRST_SEED
from evalkit.lm_eval.tasks.metriclist import BUILT_IN
from evalkit.lm_eval.tasks.scores import metric_name
from evalkit.metrics.values import AGGREGATIONS, SHARES, Listed, ValueMetric, make
from evalkit.report.measurements import sources
from evalkit.runs.scores import Scores
from evalkit.runs.store import RunStore
from evalkit.types import Record, Result

_NAMES = {theirs: ours for ours, theirs in METRICS_THERE.items()}
# How far a value may be from the one in the file: sums in another order, and perplexities of such sums.
_NEAR = 1e-6
# Records are written this many at a time.
_BATCH = 4096

_Metrics = dict[str, metrics.Metric]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was imported. left_out: in words, each task, metric or group that was not, and why."""

    folder: Path
    results: Sequence[Result]
    left_out: Sequence[str]


def import_run(places: Sequence[Path], out: Path) -> Imported:
    """Write the run folder of one model's results files with their samples.

    Raises DataError where there are none, or those of several models, or a task twice at one number of shots;
    StoreError for a broken file, and for a folder that holds another run.
    """
    if absent := next((place for place in places if not place.exists()), None):
        raise DataError(f"there is no file or folder {absent}")
    files = [_File(path, raw) for path, raw in _results_files(places)]
    if not files:
        raise DataError(f"{', '.join(map(str, places))}: no results file of lm-evaluation-harness")
    models = dict.fromkeys(file.model["model"] for file in files)
    if len(models) > 1:
        raise DataError(f"results of several models ({', '.join(models)}); import one at a time")
    left_out: list[str] = []
    parts = _parts(files, left_out)
    if not parts:
        raise DataError(f"{files[0].path}: no samples beside it; run lm_eval with --log_samples")
    settings = _settings(files, parts)
    own: dict[str, _Metrics] = {part.name: part.metrics for part in parts}
    scores = Scores(record for part in parts for record in part.records)
    rows = aggregate(scores, settings, own=own)
    wrong = {(row.task, row.metric) for row in rows if not _agrees(row, parts, own, left_out)}
    rows = [row for row in rows if (row.task, row.metric) not in wrong]
    if not rows:
        raise DataError(f"{files[0].path}: no metric that can be computed from the samples: {'; '.join(left_out)}")
    for name, about in settings["tasks"].items():
        about["metrics"] = [metric for metric in about["metrics"] if (name, metric) not in wrong]
    if groups := _groups(files, scores, settings, rows, own, left_out):
        settings["groups"] = groups
        rows += group_results(scores, settings, results=rows, own=own)
    with RunStore(out, settings, training=files[0].training) as store:
        for part in parts:
            _append(store, part, {metric for task, metric in wrong if task == part.name})
        store.finish(rows, _timing(files, len(scores)))
    return Imported(folder=out, results=rows, left_out=left_out)


def _append(store: RunStore, part: _Part, wrong: Set[str]) -> None:
    """Add a task's records that the folder lacks, without the metrics that were left out."""
    for start in range(0, len(part.records), _BATCH):
        missing = [record for record in part.records[start : start + _BATCH] if record.key not in store.done]
        store.append(_narrowed(record, lambda name: name not in wrong) for record in missing)


def _results_files(places: Iterable[Path]) -> Iterator[tuple[Path, Any]]:
    """Yield the results files under these paths, in the order of their names."""
    for place in places:
        for path in sources(place, []):
            if path.suffix == ".json" and path.is_file():
                raw = read_json(path, StoreError)
                if is_results(raw):
                    yield path, raw
                elif path == place:
                    raise DataError(f"{path}: not a results file of lm-evaluation-harness (no 'results' and 'config')")


class _File:
    """A results file, with what it says of model and seeds."""

    def __init__(self, path: Path, raw: Mapping[str, Any]):
        self.path, self.raw, self.parsed = path, raw, parse(raw, path)
        config = raw["config"]
        facts = model_facts(raw, path)
        dtype = str(config.get("model_dtype") or self.parsed.arguments.get("dtype", "unknown"))
        self.model = {
            "model": facts.name,
            "hash": str(config.get("model_sha") or "") or digest(canonical_json(dict(self.parsed.arguments))),
            "dtype": dtype.removeprefix("torch."),
        }
        if facts.parameters:
            self.model["parameters"] = str(facts.parameters)
        self.training = {
            name: value for name in ("tokens", "flops", "step", "seed", "loss")
            if (value := getattr(facts, name)) is not None
        } | ({"ladder": facts.family} if facts.family else {})  # fmt: skip

    @property
    def seed(self) -> int:
        """The seed that drew the shots, as evalkit counts it."""
        seed = self.raw["config"].get("fewshot_seed")
        if type(seed) is not int:
            return 1
        return seed if self.parsed.ours else seed - FIRST_SEED + 1

    def config(self, task: str) -> Mapping[str, Any]:
        """Return a task's configuration; empty where the file has none."""
        configs = self.raw.get("configs")
        config = configs.get(task) if isinstance(configs, dict) else None
        return config if isinstance(config, dict) else {}

    def about(self, task: str) -> Mapping[str, Any]:
        """Return what an evalkit's file says of the task in its run's own settings."""
        entries = self.raw.get("evalkit_tasks")
        entry = entries.get(task) if isinstance(entries, dict) else None
        return entry if isinstance(entry, dict) else {}

    def is_evalkits(self, task: str) -> bool:
        """Whether a task is one of evalkit's own, whose metrics have evalkit's definitions."""
        return self.parsed.ours and not {"output_type", "metric_list"} & self.config(task).keys()


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A task at one number of shots. metrics: by their names in results, in the order of the file."""

    file: _File
    task: TaskResults
    metrics: _Metrics
    records: Sequence[Record]

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def shots(self) -> int:
        """Examples in the prompts; 0 where the file does not say."""
        return self.task.shots or 0

    def value(self, metric: str) -> float:
        """Return what the file says of a metric, unscaled."""
        return next(s.value for s in self.task.scores if self.metric_of(s) == metric)

    def metric_of(self, score: Score) -> str:
        """Return the name in results of a metric of the file."""
        return _name(score.metric, score.filter or "none", ours=self.file.is_evalkits(self.name))


def _name(plain: str, filter_name: str, *, ours: bool) -> str:
    return _NAMES.get(plain, plain) if ours else metric_name(plain, filter_name)


def _parts(files: Sequence[_File], left_out: list[str]) -> list[_Part]:
    """Return the tasks that have samples. Raises DataError for one that is there twice at one number of shots."""
    places: dict[tuple[str, int | None], Path] = {}
    parts = []
    for file in files:
        samples = sample_files(file.path)
        for task in file.parsed.tasks:
            if task.members:
                continue
            if task.name not in samples:
                left_out.append(f"{task.name}: no samples")
                continue
            other = places.setdefault((task.name, task.shots), file.path)
            if other != file.path:
                raise DataError(
                    f"{task.name} at {task.shots} shots is in {other} and in {file.path}; import one of them"
                )
            part = _part(file, task, samples[task.name], left_out)
            parts += [part] if part.metrics else []
    return parts


def _part(file: _File, task: TaskResults, path: Path, left_out: list[str]) -> _Part:
    """Read a task's samples: a record per document and seed, with the metrics of all filters."""
    lines = list(read_lines(path, task.name, shots=task.shots or 0))
    own = _metrics_of(file, task, options=max((len(record.continuations) for _, record in lines), default=0))
    ours = file.is_evalkits(task.name)
    records: dict[tuple[str, int], Record] = {}
    for raw, record in lines:
        placed = _placed(file, raw, record)
        key = placed.doc_id, placed.cell.seed
        earlier = records.get(key, placed)
        scores, values, chance = dict(earlier.scores), dict(earlier.values), dict(earlier.chance)
        for plain in raw.get("metrics") or [name for name in raw if name in BUILT_IN]:
            name = _name(str(plain), str(raw.get("filter", "none")), ours=ours)
            if name not in own:
                continue
            try:
                scores[name] = _statistics(own[name], raw[plain], stored=file.parsed.ours)
            except (TypeError, ValueError, LookupError) as error:
                left_out.append(f"{task.name}: {name} is {raw.get(plain)!r:.40} ({error})")
                del own[name]
                continue
            if not scores[name]:
                values[name] = raw[plain]
            if own[name].share and len(record.continuations) > 1:
                chance[name] = 1 / len(record.continuations)
        records[key] = replace(earlier, scores=scores, values=values, chance=chance)
    complete = [_narrowed(record, own.__contains__) for record in records.values()]
    return _Part(file=file, task=task, metrics=own, records=complete)


def _narrowed(record: Record, keep: Callable[[str], bool]) -> Record:
    """Return a record with the metrics that are kept."""
    scores = {name: statistics for name, statistics in record.scores.items() if keep(name)}
    values = {name: value for name, value in record.values.items() if keep(name)}
    chance = {name: share for name, share in record.chance.items() if keep(name)}
    return replace(record, scores=scores, values=values, chance=chance)


def _placed(file: _File, raw: Mapping[str, Any], record: Record) -> Record:
    """Return a record with its cell, and what evalkit's own samples say of the document."""
    seed = raw.get("evalkit_seed", file.seed)
    protocol = str(file.about(record.cell.task).get("protocol") or LM_EVAL)
    cell = replace(record.cell, protocol=protocol, seed=seed if type(seed) is int else 1)
    doc = raw.get("doc") if file.parsed.ours else None
    if not isinstance(doc, dict):
        return replace(record, cell=cell, scores={})
    return replace(
        record, cell=cell, scores={}, doc_id=str(doc.get("id", record.doc_id)), cluster=str(doc.get("cluster", "")),
        level=str(doc.get("level", "")), gold=str(doc.get("gold", record.gold)),
    )  # fmt: skip


def _statistics(metric: metrics.Metric, value: Any, *, stored: bool) -> tuple[float, ...]:
    """Return a document's statistics. stored: the value is what evalkit exported, the statistics themselves.

    Raises TypeError or ValueError where they are no finite numbers.
    """
    if isinstance(metric, ValueMetric) and (not stored or isinstance(metric, Listed)):
        statistics = metric.of(value)
    else:
        statistics = tuple(map(float, value)) if isinstance(value, list) else (float(value),)
    if not all(map(math.isfinite, statistics)):
        raise ValueError("not a finite number")
    return statistics


def _metrics_of(file: _File, task: TaskResults, *, options: int) -> _Metrics:
    """Return the metrics of a task that have a value, by their names in results. options: the most of any document."""
    config = file.config(task.name)
    entries = config.get("metric_list")
    listed = {str(e.get("metric")): e for e in (entries if isinstance(entries, list) else []) if isinstance(e, dict)}
    choosing = config.get("output_type") == "multiple_choice" and not config.get("process_results")
    own: _Metrics = {}
    for score in task.scores:
        if file.is_evalkits(task.name):
            name = _NAMES.get(score.metric, score.metric)
            if name in metrics.METRICS:
                own[name] = metrics.get(name)
            continue
        default, better = BUILT_IN.get(score.metric, ("mean", True))
        aggregation = listed.get(score.metric, {}).get("aggregation", default)
        name = metric_name(score.metric, score.filter or "none")
        own[name] = make(
            name,
            aggregation=aggregation if aggregation in AGGREGATIONS else "mean",
            higher_is_better=task.higher.get(score.metric, better),
            share=score.metric in SHARES and not config.get("process_results"),
            classes=options if choosing else None,
        )
    return own


def _settings(files: Sequence[_File], parts: Sequence[_Part]) -> dict[str, Any]:
    """Return the settings of the run, as evalkit's own runs of these tasks have them."""
    first = files[0]
    version = first.raw.get("lm_eval_version") or first.raw.get("evalkit_version")
    limit = first.raw["config"].get("limit")
    tasks: dict[str, Any] = {}
    for part in parts:
        tasks.setdefault(part.name, _about(part))
    return {
        "evalkit": __version__,
        "imported": {"from": "evalkit" if first.parsed.ours else "lm-eval", "version": str(version or "unknown")},
        "model": first.model,
        "tasks": tasks,
        "shots": sorted({part.shots for part in parts}),
        "seeds": sorted({record.cell.seed for part in parts for record in part.records}),
        "limit": int(limit) if isinstance(limit, int | float) and limit >= 1 else None,
    }


def _about(part: _Part) -> dict[str, Any]:
    """Return a task's entry in the settings; of a file of evalkit, as in the run that it was exported from."""
    file, config = part.file, part.file.config(part.name)
    hashes = file.raw.get("task_hashes")
    about = {
        "version": int(part.task.version) if part.task.version.isdecimal() else 1,
        "family": "lm" if config.get("output_type") == "loglikelihood_rolling" else "imported",
        "protocol": LM_EVAL,
        "data": str(hashes.get(part.name, ""))[:16] if isinstance(hashes, dict) else "",
        "documents": len({record.doc_id for record in part.records}),
        "limit": "first",
    }
    exported = {name: value for name, value in file.about(part.name).items() if name in _EXPORTED}
    notes = {} if file.is_evalkits(part.name) else {"lm_eval": {"config": dict(config)}}
    if exported:
        del about["limit"]
    return about | exported | notes | {"metrics": list(part.metrics)}


# What an export says of a task beside its configuration.
_EXPORTED = ("version", "family", "protocol", "data", "scored", "documents", "pool", "levels", "limit")


def _agrees(row: Result, parts: Sequence[_Part], own: Mapping[str, _Metrics], left_out: list[str]) -> bool:
    """Whether a result on all documents is the one in the file; those of levels and baselines are not in it."""
    if row.source != "model" or row.level:
        return True
    [part] = [part for part in parts if (part.name, part.shots) == (row.task, row.shots)]
    value, reported = row.value / own[row.task][row.metric].scale, part.value(row.metric)
    if math.isclose(value, reported, rel_tol=_NEAR, abs_tol=_NEAR):
        return True
    left_out.append(f"{row.task}: {row.metric} of the samples is {value:.6g}, but {reported:.6g} in the results")
    return False


def _groups(
    files: Sequence[_File],
    scores: Scores,
    settings: Mapping[str, Any],
    rows: Sequence[Result],
    own: Mapping[str, _Metrics],
    left_out: list[str],
) -> dict[str, Any]:
    """Return the settings' entry for groups, with the weights that give the file's value: by documents, or equal."""
    groups: dict[str, Any] = {}
    done: set[str] = set()
    for file in files:
        for task in file.parsed.tasks:
            members = [name for name in task.members if name in settings["tasks"]]
            for score in task.scores if members and task.name not in done else ():
                metric = metric_name(score.metric, score.filter or "none")
                for weights in ("size", "equal"):
                    trial = {task.name: {"tasks": members, "metrics": {metric: weights}}}
                    means = group_results(scores, {**settings, "groups": trial}, results=rows, own=own)
                    scale = max((own[name][metric].scale for name in members if metric in own[name]), default=1.0)
                    if any(math.isclose(mean.value / scale, score.value, rel_tol=_NEAR) for mean in means):
                        entry = groups.setdefault(task.name, {"tasks": members, "metrics": {}})
                        entry["metrics"][metric] = weights
                        break
                else:
                    left_out.append(f"{task.name}: {metric} is neither mean of its tasks' values")
            done.add(task.name)
    return groups


def _timing(files: Sequence[_File], items: int) -> dict[str, float]:
    """Return when the evaluations began and how long they took, where the files say so."""
    seconds = 0.0
    for file in files:
        spent = str(file.raw.get("total_evaluation_time_seconds", ""))
        seconds += float(spent) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", spent) else 0.0
    dates = [date for file in files if isinstance(date := file.raw.get("date"), int | float)]
    return {"started": min(dates, default=0.0), "seconds": seconds, "items": items}
