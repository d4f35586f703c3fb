"""Which measurements a report shows, in which order and under which names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from evalkit.errors import UsageError, unknown
from evalkit.harness.task import FAMILIES
from evalkit.report import measurements as measured
from evalkit.report.identity import tell_apart
from evalkit.report.measurements import Measurement, Series
from evalkit.report.models import ModelFacts, last_checkpoints
from evalkit.report.pages.reference import Reference
from evalkit.stats.seeds import with_seeds


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The measurements of a report.

    raw: all of them, as read. measurements: the same with the parts of a task as its levels (see `nest`).
    metrics: the main metric of each task. held_out: names of the models that the fits do not see.
    twins: what a second run repeats; its samples are shown, its values count once. labelled: names that the user gave.
    notes: what a reader must know about how models and tasks were told apart.
    """

    raw: Sequence[Measurement]
    measurements: Sequence[Measurement]
    metrics: Mapping[str, str]
    held_out: frozenset[str] = frozenset()
    references: Sequence[Reference] = ()
    twins: Sequence[Measurement] = ()
    labelled: frozenset[str] = frozenset()
    notes: Sequence[str] = ()

    @cached_property
    def main(self) -> list[Measurement]:
        """The models' own values of each task's main metric, over all levels and checkpoints."""
        return [
            m
            for m in self.measurements
            if m.source == "model" and m.metric == self.metrics[m.task] and not math.isnan(m.value)
        ]

    @cached_property
    def final(self) -> list[Measurement]:
        """The same at the last checkpoint of each training."""
        return [m for m in self.main if m.model.checkpoint in self.ends]

    @cached_property
    def ends(self) -> set[tuple[tuple[str, str, int | None], int]]:
        """The last checkpoint of each training, by the tasks' main metrics."""
        return last_checkpoints(m.model for m in self.main)

    @cached_property
    def sizes(self) -> list[str]:
        """The names of the models, by size; those of unknown size come last."""
        order: dict[str, tuple[float, str]] = {}
        for m in self.main:
            order.setdefault(m.model.name, (m.model.parameters or math.inf, m.model.name))
        return sorted(order, key=lambda name: order[name])

    @cached_property
    def labels(self) -> dict[str, str]:
        """A short name for each model: without what all names begin with; the user's own labels stay as they are."""
        return {**short_names([n for n in self.sizes if n not in self.labelled]), **{n: n for n in self.labelled}}

    @cached_property
    def families(self) -> list[str]:
        """The families of tasks that occur, in the house's order, then by name."""
        present = {m.family for m in self.main}
        return [f for f in FAMILIES if f in present] + sorted(present - set(FAMILIES))

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks, family by family, in the order in which they were run."""
        rank = {family: i for i, family in enumerate(self.families)}
        first: dict[str, int] = {}
        for m in self.main:
            first.setdefault(m.task, rank[m.family])
        return sorted(first, key=lambda task: first[task])

    def family_of(self, task: str) -> str:
        """Return a task's family."""
        return next(m.family for m in self.main if m.task == task)

    @cached_property
    def series(self) -> list[Series]:
        """The series of each task's main metric, parts of tasks included, in the order of tasks."""
        order = {task: i for i, task in enumerate(self.tasks)}
        nested = {m.task: n.task for m, n in zip(self.raw, self.measurements, strict=True)}
        chosen = [s for s in measured.series(self.raw) if s.metric == self.metrics[s.task]]
        rank = {s.task: (order.get(nested[s.task], len(order)), s.task != nested[s.task], s.task) for s in chosen}
        return sorted(chosen, key=lambda s: (rank[s.task], s.ladder, measured.by_shots(s.shots)))

    @cached_property
    def shots(self) -> list[int]:
        """The counts of shots that occur and are known."""
        return sorted({m.shots for m in self.main if m.shots is not None})

    def beside(self, task: str) -> list[Measurement]:
        """Return one measurement per baseline and control of a task: of the largest model, with its fewest shots."""
        fewest = min((m.order for m in self.main if m.task == task), default=0)
        chosen: dict[str, Measurement] = {}
        for m in self.measurements:
            fits = m.task == task and m.source != "model" and m.metric == self.metrics[task] and m.order == fewest
            if fits and not math.isnan(m.value):
                current = chosen.get(m.source)
                if current is None or (m.model.parameters or 0) > (current.model.parameters or 0):
                    chosen[m.source] = m
        return list(chosen.values())


def select(
    measurements: Iterable[Measurement],
    *,
    families: Sequence[str] = (),
    metrics: Sequence[str] = (),
    predict: Sequence[str] | None = (),
    references: Sequence[Reference] = (),
    labels: Mapping[Path, str] | None = None,
) -> Selection:
    """Choose what a report shows.

    families: of tasks or of models, () for all. metrics: the preferred ones; a task without any of them keeps its
    first. predict: the models to hold out of the fits, by name, short name or size; () holds out the largest of each
    ladder, None nothing. labels: names for the models of the runs at or below a path.

    Raises UsageError for an unknown family, metric or model.
    """
    chosen = list(measurements)
    for family in families:
        allowed = ({m.family for m in chosen} | {m.model.family for m in chosen}) - {""}
        if family not in allowed:
            raise unknown("family", family, allowed)
    if families:
        chosen = [m for m in chosen if m.family in families or m.model.family in families]
    identified = tell_apart(chosen, labels=labels)
    chosen = list(identified.measurements)
    for metric in metrics:
        if metric not in (allowed := {m.metric for m in chosen}):
            raise unknown("metric", metric, allowed)
    best: dict[str, str] = {}
    for m in chosen:
        best.setdefault(m.task, m.metric)
    for metric in reversed(metrics):
        best.update({m.task: metric for m in chosen if m.metric == metric})
    plain = Selection(
        raw=chosen, measurements=nest(chosen), metrics=best, references=references, twins=identified.twins,
        labelled=identified.labelled, notes=identified.notes,
    )  # fmt: skip
    return replace(plain, held_out=_held_out(plain, predict))


def _held_out(selection: Selection, predict: Sequence[str] | None) -> frozenset[str]:
    """Return the names of the models to hold out."""
    if predict is None:
        return frozenset()
    if not predict:
        largest: dict[str, ModelFacts] = {}
        for m in selection.main:
            size = m.model.parameters or 0
            if m.model.family not in largest or size > (largest[m.model.family].parameters or 0):
                largest[m.model.family] = m.model
        return frozenset(facts.name for facts in largest.values())
    models = {name: name for name in selection.sizes}
    models |= {short: name for name, short in selection.labels.items()}
    for name in predict:
        if name not in models:
            raise unknown("model", name, models, where="to predict")
    held = frozenset(models[name] for name in predict)
    if held >= set(selection.sizes):
        raise UsageError("--predict names every model; the fits need some to start from")
    return held


# Tasks that lm-evaluation-harness counts as parts of another, although their names do not show it.
_PARTS = {"hendrycksTest-": "mmlu"}


def nest(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Make the parts of an imported task its levels: mmlu_anatomy of mmlu, where mmlu itself was measured."""
    names = [m.task_in_run or m.task for m in measurements]
    imported = sorted(
        {n for n, m in zip(names, measurements, strict=True) if m.protocol == "lm-eval"}, key=len, reverse=True
    )
    starts = {f"{task}_": task for task in imported} | {s: task for s, task in _PARTS.items() if task in imported}
    owner: dict[str, tuple[str, str]] = {}
    for task in imported:
        start = next((start for start in starts if task.startswith(start)), None)
        if start:
            owner[task] = starts[start], task.removeprefix(start)
    return [
        replace(m, task=owner[name][0] + m.task.removeprefix(name), level=owner[name][1]) if name in owner else m
        for name, m in zip(names, measurements, strict=True)
    ]


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Shorten names by what they all begin with, at a mark between words.

    >>> short_names(["hf:org/pythia-70m", "hf:org/pythia-1.4b"])
    {'hf:org/pythia-70m': '70m', 'hf:org/pythia-1.4b': '1.4b'}
    >>> short_names(["nano", "nine"])
    {'nano': 'nano', 'nine': 'nine'}
    >>> short_names(["nano (run-1)", "nano (run-2)"])
    {'nano (run-1)': 'nano (run-1)', 'nano (run-2)': 'nano (run-2)'}
    """
    bases = {
        name: name.partition(" (")[0] for name in names
    }  # what tells two models of one name apart is not shortened
    if len(names) < 2:
        return {name: name[base.rfind("/") + 1 :] for name, base in bases.items()}
    common = bases[names[0]]
    while not all(base.startswith(common) for base in bases.values()):
        common = common[:-1]
    cut = max((common.rfind(mark) + 1 for mark in "-_/:"), default=0)
    return {name: name[cut:] or name for name in names}


def mean(group: Sequence[Measurement]) -> tuple[float, float, float]:
    """Return the mean over tasks and training seeds with an interval; NaN bounds where one is unknown.

    Tasks are independent samples of documents. Trainings measured on one task share its documents, so the reach of
    their documents is averaged; the seeds' own spread is that of each seed's mean over the tasks (seeds.with_seeds).
    """
    by_task: dict[str, list[Measurement]] = {}
    by_seed: dict[int | None, list[float]] = {}
    for m in group:
        by_task.setdefault(m.task, []).append(m)
        by_seed.setdefault(m.model.seed, []).append(m.value)
    tasks = [_over_documents(same) for same in by_task.values()]
    value = sum(of_task[0] for of_task in tasks) / len(tasks)
    below, above = (math.sqrt(sum(of_task[side] ** 2 for of_task in tasks)) / len(tasks) for side in (1, 2))
    complete = max(len(values) for values in by_seed.values())
    seeds = [sum(values) / complete for values in by_seed.values() if len(values) == complete]
    low, high = with_seeds(value, below, above, per_seed=seeds)
    shares = all(m.ceiling is not None for m in group)
    most = max(m.ceiling or math.inf for m in group)
    return value, *((max(low, 0.0), min(high, most)) if shares and low <= high else (low, high))


def _over_documents(same: Sequence[Measurement]) -> tuple[float, float, float]:
    """Return the mean of a task's measurements, and how far their documents alone reach below and above it."""
    n = len(same)
    return (
        sum(m.value for m in same) / n, sum(m.value - m.low for m in same) / n, sum(m.high - m.value for m in same) / n
    )  # fmt: skip


def training_points(group: Sequence[Measurement]) -> list[tuple[float, float, float, float]]:
    """Return (tokens, value, low, high) of one training's checkpoints, the mean over tasks that all of them have."""
    tasks = set.intersection(*({m.task for m in group if m.model.tokens == t} for t in {m.model.tokens for m in group}))
    by_tokens: dict[int, list[Measurement]] = {}
    for m in group:
        if m.task in tasks:
            by_tokens.setdefault(m.model.tokens or 0, []).append(m)
    return [(float(tokens), *mean(by_tokens[tokens])) for tokens in sorted(by_tokens)]
