"""Stored fine-tunings side by side: per task the whole training set, the ablations, the K-shot curve and the prompts.

Runs of `evalkit finetune` are read as records, so that their seeds and draws count; runs of `evalkit run` of the same
model, whose examples are in the prompt, as results.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit import metrics
from evalkit.errors import StoreError
from evalkit.files import check_regular
from evalkit.runs.store import StoredRun, open_run
from evalkit.stats.seeds import Scored, Spread, difference, over_seeds, value_of
from evalkit.types import Result

_Rows = dict[int, list[Scored]]  # by seed


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A task of a fine-tuning run. about: its entry in the run's manifest. units: the cost of each fine-tuning.

    rows: by number of training examples. majority: the same documents answered with the most frequent class, if any.
    """

    task: str
    metric: metrics.Metric
    about: Mapping[str, Any]
    units: Sequence[Mapping[str, Any]]
    rows: Mapping[int, _Rows]
    majority: Sequence[Scored]

    @property
    def counts(self) -> list[int]:
        """Return the numbers of training examples, without the whole set."""
        return sorted(count for count in self.rows if count != self.about["training"])

    @property
    def whole(self) -> _Rows | None:
        """Return the rows of the whole training set, if it was used."""
        return self.rows.get(self.about["training"])

    def score(self, count: int) -> Spread:
        """Return the value with so many training examples, over seeds or draws."""
        return over_seeds(self.metric, self.rows[count])

    def over_majority(self) -> Spread:
        """Return what the whole training set brings over the majority class."""
        assert self.whole
        return difference(self.metric, self.whole, {0: self.majority})


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One run of `evalkit finetune`: the paper's way or an ablation. base: the name of the model it started from."""

    name: str
    base: str
    settings: Mapping[str, Any]
    training: Mapping[str, Any]
    tasks: Mapping[str, Tuned]

    @property
    def short(self) -> str:
        """Return what distinguishes it, for a column."""
        return self.name.removeprefix(self.base).strip()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All runs: the paper's way first. prompted: by task and number of examples in the prompt.

    runs: every run's settings, as they were given.
    """

    variants: Sequence[Variant]
    prompted: Mapping[str, Mapping[int, Result]]
    runs: Sequence[Mapping[str, Any]]

    @property
    def tasks(self) -> list[str]:
        """Return the tasks in the order in which they were run."""
        return list(dict.fromkeys(task for variant in self.variants for task in variant.tasks))


def read(folders: Iterable[Path]) -> Comparison:
    """Read run folders, or folders of them; several of one variant, of other tasks or numbers of examples, become one.

    Raises StoreError for a broken one, when none is a fine-tuning, or when they are of several models or settings.
    """
    variants, runs = [], []
    others: list[tuple[Path, str, Sequence[Result]]] = []
    for folder in _runs(folders):
        run = open_run(folder)
        runs.append(run.settings)
        if "finetune" in run.settings:
            variants.append(_variant(run))
        else:
            others.append((folder, run.settings["model"].get("hash", ""), run.results))
    if not variants:
        raise StoreError("none of the runs is one of evalkit finetune")
    if len(bases := {variant.base for variant in variants}) > 1:
        raise StoreError(f"the runs fine-tune several models ({', '.join(sorted(bases))}); expected one")
    begun = {v.settings["model"].get("hash", "") for v in variants if v.settings["finetune"]["pretrained"]}
    if len(begun) > 1:
        raise StoreError(f"the runs fine-tune several models named {variants[0].base}: their contents differ")
    merged: dict[str, Variant] = {}
    for variant in variants:
        merged[variant.name] = _joined(merged[variant.name], variant) if variant.name in merged else variant
    ordered = sorted(merged.values(), key=lambda variant: len(variant.name))
    return Comparison(variants=ordered, prompted=_prompted(others, ordered[0], begun), runs=runs)


def _prompted(
    others: Sequence[tuple[Path, str, Sequence[Result]]], first: Variant, begun: Container[str]
) -> Mapping[str, Mapping[int, Result]]:
    """Return the results of prompts by task and shots, from (folder, content of its model, results).

    Raises StoreError for a run whose model has the base's name and another content than the base, in `begun`.
    """
    by_task: dict[str, dict[int, Result]] = defaultdict(dict)
    for folder, content, results in others:
        for result in (r for r in results if r.model == first.base):
            if begun and content not in begun:
                raise StoreError(f"{folder}: not the {first.base} that was fine-tuned: their contents differ")
            if result.source == "model" and not (result.level or result.template):
                own = first.tasks.get(result.task)
                # The task's own metric where the prompts have it too, else the prompts' first.
                if result.shots not in by_task[result.task] or (own and result.metric == own.metric.name):
                    by_task[result.task][result.shots] = result
    return by_task


def _runs(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        inside = sorted(path.parent for path in folder.glob("*/manifest.json"))
        yield from [folder] if (folder / "manifest.json").is_file() or not inside else inside


def _joined(first: Variant, other: Variant) -> Variant:
    """Put the tasks of two runs of one variant together, and of one task the numbers of training examples.

    Learning rates may differ: they are kept by unit.
    """
    mine, theirs = ({**variant.settings["finetune"], "learning_rate": None} for variant in (first, other))
    if mine != theirs:
        raise StoreError(f"two runs of {first.name} have different settings; give runs with the same settings")
    tasks = dict(first.tasks)
    for task, added in other.tasks.items():
        if existing := tasks.get(task):
            if existing.about != added.about or existing.rows.keys() & added.rows.keys():
                raise StoreError(
                    f"two runs of {first.name} both have {task}, alike or on different data; give one of them"
                )
            added = replace(existing, rows={**existing.rows, **added.rows}, units=[*existing.units, *added.units])
        tasks[task] = added
    return replace(first, tasks=tasks)


def _variant(run: StoredRun) -> Variant:
    settings = run.settings
    rows: dict[str, dict[int, _Rows]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    majority: dict[str, dict[str, Scored]] = defaultdict(dict)
    for record in run.records():
        name = settings["tasks"][record.cell.task]["metrics"][0]
        cluster = record.cluster or record.doc_id
        scored = Scored(statistics=record.scores[name], cluster=cluster)
        rows[record.cell.task][record.cell.shots][record.cell.seed].append(scored)
        if "majority" in record.baselines:
            answer = Scored(statistics=record.baselines["majority"][name], cluster=cluster)
            majority[record.cell.task][record.doc_id] = answer
    units = _units(run.folder / "units.jsonl")
    return Variant(
        name=settings["model"]["model"],
        base=settings["model"]["base"],
        settings=settings,
        training=run.training,
        tasks={
            task: Tuned(
                task=task,
                metric=metrics.get(about["metrics"][0]),
                about=about,
                units=[unit for (name, *_), unit in units.items() if name == task],
                rows=rows[task],
                majority=list(majority[task].values()),
            )
            for task, about in settings["tasks"].items()
            if task in rows
        },
    )


def _units(path: Path) -> dict[tuple[str, int, int], Mapping[str, Any]]:
    """Read the cost of each unit; the last entry of a unit counts."""
    check_regular(path, StoreError)
    try:
        units = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {(unit["task"], unit["shots"], unit["seed"]): unit for unit in units}
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{path} cannot be read ({error})") from None


def gains(comparison: Comparison) -> Iterator[tuple[Tuned, Variant, Spread]]:
    """Yield the difference between the first variant and each other one, per task that both ran on all examples."""
    first, *others = comparison.variants
    for task, tuned in first.tasks.items():
        for other in others:
            theirs = other.tasks.get(task)
            if tuned.whole and theirs and theirs.whole:
                yield tuned, other, difference(tuned.metric, tuned.whole, theirs.whole)


def majority(tuned: Tuned) -> float | None:
    """Return what the most frequent class of the training set gets, in points."""
    return value_of(tuned.metric, tuned.majority) if tuned.majority else None
