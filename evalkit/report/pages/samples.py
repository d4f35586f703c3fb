"""The samples in the browser: the same documents with the prompt and the answer of each model."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from evalkit import metrics
from evalkit.errors import EvalkitError, StoreError
from evalkit.files import digest
from evalkit.report.measurements import Measurement, Problem
from evalkit.report.selection import Selection
from evalkit.runs.signature import Signature
from evalkit.runs.store import open_run
from evalkit.types import Record

# To keep the page small: the most characters of all samples, and of one context or continuation.
BUDGET = 600_000
_CONTEXT, _CONTINUATION = 4_000, 1_500
_CAP, _MODELS = 50, 8

Group = tuple[str, int, str]  # task, shots, variant


@dataclass
class Samples:
    """Samples as the page embeds them.

    cap: documents per task, number of shots and control; of: the most that a run has. models: names, by size.
    """

    models: list[str] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    cap: int = 0
    cut: bool = False

    def script(self) -> str:
        """Return JSON that is safe inside a script element: no character of it can end the element or the string."""
        body = json.dumps(
            {"models": self.models, "groups": self.groups, "texts": self.texts},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        for mark in "<>&\u2028\u2029":
            body = body.replace(mark, f"\\u{ord(mark):04x}")
        return body.encode("utf-8", "replace").decode("utf-8")


def collect(selection: Selection) -> tuple[Samples, list[Problem]]:
    """Read the records of the runs at each training's last checkpoint. Unreadable ones are left out and reported."""
    records_of: dict[str, dict[Group, list[Record]]] = {}
    problems = []
    for label, folder in _runs(selection):
        try:
            groups = _smallest(open_run(folder).records(), _names(selection, folder))
            _check_scores(groups, _rules(selection))
        except (EvalkitError, OSError) as error:
            problems.append(Problem(path=folder, reason=f"no samples: {error}"))
            continue
        # Runs of different tasks or shots are merged; runs of the same are shown apart.
        names = (label if i == 1 else f"{label} #{i}" for i in count(1))
        name = next(name for name in names if not records_of.get(name, {}).keys() & groups.keys())
        records_of.setdefault(name, {}).update(groups)
    cap = _CAP
    samples = _build(records_of, selection, cap)
    while len(samples.script()) > BUDGET and cap > 1:
        cap = max(1, int(cap * min(0.9, BUDGET / len(samples.script()))))
        samples = _build(records_of, selection, cap)
    return samples, problems


def _runs(selection: Selection) -> Iterator[tuple[str, Path]]:
    """Yield (model, run folder) of the models that have records, at most _MODELS of them, the sizes spread evenly."""
    folders: dict[tuple[object, ...], dict[Path, Measurement]] = {}
    again = [m for m in selection.twins if m.model.checkpoint in selection.ends]
    for m in (*selection.final, *again):
        if (m.origin / "records.jsonl").is_file():
            folders.setdefault(m.model.training, {})[m.origin] = m
    trainings = [(next(iter(runs.values())).model, sorted(runs)) for runs in folders.values()]
    trainings.sort(key=lambda pair: (pair[0].parameters or 0, pair[0].name, pair[0].seed or 0))
    if len(trainings) > _MODELS:
        trainings = [trainings[round(i * (len(trainings) - 1) / (_MODELS - 1))] for i in range(_MODELS)]
    alike = Counter(model.name for model, _ in trainings)
    for model, runs in trainings:
        label = f"{model.name} (seed {model.seed})" if alike[model.name] > 1 else model.name
        yield from ((label, folder) for folder in runs)


TaskKey = tuple[str, str, str]  # task as the run names it, protocol, template


def _names(selection: Selection, folder: Path) -> dict[TaskKey, str]:
    """Return the names in the report of a run's tasks."""
    shown = {(m.task_in_run or m.task, m.protocol, m.template): m.task for m in selection.raw}
    own = {(m.task_in_run or m.task, m.protocol, m.template): m.task for m in selection.raw if m.origin == folder}
    return {**shown, **own}


def _smallest(records: Iterable[Record], names: Mapping[TaskKey, str]) -> dict[Group, list[Record]]:
    """Keep of each group the documents whose ids have the smallest hashes: the same ones for every model."""
    heaps: dict[Group, list[tuple[int, str, Record]]] = {}
    seeds: dict[Group, int] = {}
    for record in records:
        task = names.get((record.cell.task, record.cell.protocol, record.cell.template))
        if task is None:
            continue
        group = (task, record.cell.shots, record.cell.variant)
        if record.cell.seed != seeds.setdefault(group, record.cell.seed):
            continue
        heap = heaps.setdefault(group, [])
        rank = -int(digest(record.doc_id), 16)
        if len(heap) < _CAP:
            heapq.heappush(heap, (rank, record.doc_id, record))
        elif rank > heap[0][0]:
            heapq.heapreplace(heap, (rank, record.doc_id, record))
    return {group: [item[2] for item in sorted(heap, key=lambda i: (-i[0], i[1]))] for group, heap in heaps.items()}


def _rules(selection: Selection) -> dict[tuple[str, str], str]:
    """Return the rule of each task's metrics, as their signatures name it."""
    return {(m.task, m.metric): Signature.parse(m.signature).rule for m in selection.measurements}


def _check_scores(groups: Mapping[Group, Sequence[Record]], rules: Mapping[tuple[str, str], str]) -> None:
    """Raise StoreError for a metric whose number of statistics is wrong."""
    for group, records in groups.items():
        for record in records:
            for name, statistics in record.scores.items():
                if statistics:
                    _score(metrics.get(name, rules.get((group[0], name), "")), statistics)


def _build(records_of: Mapping[str, Mapping[Group, Sequence[Record]]], selection: Selection, cap: int) -> Samples:
    samples = Samples(models=list(records_of), cap=cap)
    places: dict[str, int] = {}

    def text(value: str) -> int:
        if value not in places:
            places[value] = len(samples.texts)
            samples.texts.append(value)
        return places[value]

    rules = _rules(selection)
    order = {task: i for i, task in enumerate(selection.tasks)}
    groups = {group for runs in records_of.values() for group in runs if group[0] in order}
    for group in sorted(groups, key=lambda g: (order[g[0]], g[2], g[1])):
        documents: dict[str, dict[str, Any]] = {}
        own = {metric: rule for (task, metric), rule in rules.items() if task == group[0]}
        for i, runs in enumerate(records_of.values()):
            chosen = runs.get(group, ())
            samples.cut = samples.cut or len(chosen) > cap
            for record in chosen[:cap]:
                entry = documents.setdefault(
                    record.doc_id, {"id": record.doc_id, "level": record.level, "gold": record.gold, "answers": {}}
                )
                entry["answers"][str(i)] = _answer(record, selection.metrics[group[0]], text, own)
        task, shots, variant = group
        samples.groups.append(
            {
                "task": task, "shots": shots, "variant": variant, "metric": selection.metrics[task],
                "documents": list(documents.values()),
            }
        )  # fmt: skip
    return samples


def _answer(record: Record, metric: str, text: Any, rules: Mapping[str, str]) -> dict[str, Any]:
    """Return one model's answer: its prompt, its responses and its scores."""
    scored_by = {name: metrics.get(name, rules.get(name, "")) for name in record.scores}
    scores = {name: _score(scored_by[name], statistics) for name, statistics in record.scores.items() if statistics}
    value = scores.get(metric)
    share = value is not None and scored_by[metric].share
    return {
        "contexts": [text(_tail(context)) for context in record.prompt.contexts],
        "continuations": [text(_head(continuation)) for continuation in record.continuations],
        "responses": [
            {"ll": round(r.loglikelihood, 3), "greedy": r.is_greedy, "tokens": r.tokens, "text": text(_head(r.text))}
            for r in record.responses
        ],
        "prediction": text(_head(record.prediction)),
        "scores": {name: round(score, 2) for name, score in scores.items() if score == score},
        "right": None if value is None or not share else value >= 50,
        "gold": _gold(record),
        "error": record.error,
        "short": record.prompt.dropped + record.prompt.cut,
    }


def _gold(record: Record) -> int:
    """Return the index of the gold option, or -1 where it is unclear.

    The options are the continuations or, under partial scoring, the contexts.
    """
    places = record.continuations if len(set(record.continuations)) > 1 else record.prompt.contexts
    matches = [i for i, place in enumerate(places) if place.strip() == record.gold.strip()]
    if not matches and len(record.prompt.contexts) > 1:
        matches = [i for i, place in enumerate(places) if record.gold.strip() in place]
    return matches[0] if len(matches) == 1 else -1


def _score(metric: metrics.Metric, statistics: Sequence[float]) -> float:
    """Return a document's own score, as shown (percent where the metric is)."""
    try:
        with np.errstate(all="ignore"):
            return float(metric.aggregate(np.asarray(statistics, dtype=np.float64), np.asarray(1.0))) * metric.scale
    except (IndexError, TypeError, ValueError):
        raise StoreError(
            f"its records hold {len(statistics)} statistics of {metric.name}, not as many as it has"
        ) from None


def _tail(text: str) -> str:
    """Shorten a context at its left, where it matters least."""
    return text if len(text) <= _CONTEXT else f"[{len(text) - _CONTEXT:,} characters left out]…{text[-_CONTEXT:]}"


def _head(text: str) -> str:
    return text if len(text) <= _CONTINUATION else f"{text[:_CONTINUATION]}…[{len(text) - _CONTINUATION:,} more]"
