"""The tables of models and of results: by task, by level, every other metric; and the verdict on each trend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.report.measurements import Measurement, Series
from evalkit.report.models import ModelFacts
from evalkit.report.pages.cells import EMPTY, Entry, Grid, examples, number, words
from evalkit.report.run_table import figure
from evalkit.report.selection import Selection, mean
from evalkit.report.trends.verdict import Verdict, judge

_LOSS = "held-out loss ↓"
_LOSS_CAPTION = (
    "The loss is in nats per token: losses by two tokenizers are not comparable. ±: its standard error, over the "
    "tokens it was measured on."
)

Verdicts = Mapping[tuple[str, int | None], Sequence[tuple[Series, Verdict]]]  # (task, shots) -> one per ladder


def judged(selection: Selection) -> dict[tuple[str, int | None], list[tuple[Series, Verdict]]]:
    """Judge every series of a task's main metric that has more than one size; nothing where all have too few sizes."""
    verdicts: dict[tuple[str, int | None], list[tuple[Series, Verdict]]] = {}
    for series in selection.series:
        if len(series.points) > 1:
            verdicts.setdefault((series.task, series.shots), []).append((series, judge(series)))
    if all(verdict.kind == "too few sizes" for group in verdicts.values() for _, verdict in group):
        return {}
    return verdicts


def models(selection: Selection) -> Grid:
    """Return the models as they were measured last: their size, their training and its held-out loss."""
    last_facts: dict[tuple[object, ...], ModelFacts] = {}
    for m in selection.final:
        last_facts.setdefault(m.model.training, m.model)
    order = {name: i for i, name in enumerate(selection.sizes)}
    chosen = sorted(last_facts.values(), key=lambda facts: (order[facts.name], facts.seed or 0))
    columns: dict[str, list[tuple[float | None, str]]] = {
        "parameters": [(facts.parameters, ",.0f") for facts in chosen],
        "without embeddings": [(facts.block_parameters, ",.0f") for facts in chosen],
        "tokens read": [(facts.tokens, ",.0f") for facts in chosen],
        "FLOPs of training": [(facts.flops, ".3g") for facts in chosen],
        _LOSS: [(facts.loss, ".3f") for facts in chosen],
    }
    filled = {
        name: cells for name, cells in columns.items() if any(figure_known is not None for figure_known, _ in cells)
    }
    types = [dict(facts.provenance.reading).get("dtype", "") for facts in chosen]
    several = len(set(types)) > 1
    rows = [
        [
            words(selection.labels[facts.name]),
            *([words(kind)] if several else []),
            *(
                number(figure_known, f"{figure_known:{form}}", small=_error(facts) if name == _LOSS else "")
                if figure_known is not None
                else EMPTY
                for name, (figure_known, form) in zip(filled, cells, strict=True)
            ),
        ]
        for facts, kind, *cells in zip(chosen, types, *filled.values(), strict=True)
    ]
    return Grid(
        name="models",
        title="Models",
        caption=_LOSS_CAPTION if _LOSS in filled else "",
        header=["model", *(["run in"] if several else []), *filled],
        rows=rows if filled or several else (),
    )


def _error(facts: ModelFacts) -> str:
    """Return the standard error of a held-out loss, where the training's record has one."""
    if facts.loss_stderr is None:
        return ""
    return f"± {facts.loss_stderr:.3f}" + (f" ({facts.loss_tokens:,} tokens)" if facts.loss_tokens else "")


def results(selection: Selection, verdicts: Verdicts) -> Grid:
    """Return the main table: a row per task and number of shots, a column per model."""
    rows = []
    for key, group in _groups(selection, [m for m in selection.final if not m.level]):
        task, shots = key[1], key[4]
        labels = [(s, v.label) for s, v in verdicts.get((task, shots), ())]
        verdict = ", ".join(f"{s.ladder}: {label}" if len(labels) > 1 else label for s, label in labels)
        row = _row(selection, group)
        rows.append([*row[:3], *([words(verdict)] if verdicts else []), *row[3:], words(_beside(selection, group))])
    return Grid(
        name="results",
        title="Results by task",
        caption=(
            "Each model at its last checkpoint, with the 95% interval over documents, and over trainings where several "
            "are averaged, in small type (none for a single document or passage); the best of a row is bold. "
            "↓: less is better." + (" Verdicts are explained under Fits." if verdicts else "")
        ),
        header=[*_header(selection)[:3], *(["verdict"] if verdicts else []), *_header(selection)[3:], "beside it"],
        rows=rows,
    )


def levels(selection: Selection) -> Grid:
    """Return the table of the tasks' levels."""
    groups = _groups(selection, [m for m in selection.final if m.level])
    return Grid(
        name="levels",
        title="Results by level",
        caption="Named slices of the tasks, and the parts of imported ones.",
        header=_header(selection, level=True),
        rows=[_row(selection, group, level=True) for _, group in groups],
    )


def other_metrics(selection: Selection) -> Grid:
    """Return the table of the metrics that are not their task's main one."""
    chosen = [
        m
        for m in selection.measurements
        if m.source == "model" and not m.level and m.metric != selection.metrics[m.task] and not math.isnan(m.value)
        and m.model.checkpoint in selection.ends
    ]  # fmt: skip
    return Grid(
        name="metrics",
        title="Other metrics",
        header=_header(selection),
        rows=[_row(selection, group) for _, group in _groups(selection, chosen)],
    )


def verdict_table(selection: Selection, verdicts: Verdicts) -> Grid:
    """Return the verdicts with their tests."""
    rows = []
    several = len({series.ladder for group in verdicts.values() for series, _ in group}) > 1
    for (task, shots), group in verdicts.items():
        for series, verdict in group:
            slope = Entry(text="") if math.isnan(verdict.slope) else number(
                verdict.slope, f"{verdict.slope:+.2f}", small=f"[{verdict.low:+.2f}, {verdict.high:+.2f}]"
            )  # fmt: skip
            above = EMPTY
            if verdict.above_chance is not None:
                above = number(verdict.above_chance, f"{verdict.above_chance} of {verdict.points}")
            rows.append(
                [
                    words(task), *([words(series.ladder)] if several else []), words(series.metric),
                    examples(shots), number(verdict.sizes, str(verdict.sizes)), words(verdict.label),
                    number(verdict.tau, f"{verdict.tau:+.2f}"),
                    number(verdict.p, f"{verdict.p:.2g}", small="" if verdict.exact else "sampled"), slope,
                    words("ln(value)" if verdict.logarithmic else "points"), above,
                ]
            )  # fmt: skip
    ladder = ["ladder"] if several else []
    return Grid(
        name="verdicts",
        title="Is the trend real?",
        caption=(
            "Kendall's tau of value against size (positive: ability grows) with its exact permutation p, and the slope "
            "per tenfold size with its 95% interval. trend: both tests agree. flat: the slope lies within 5% of the "
            "range. saturated: the two largest sizes are at 95% of the range. too noisy: inconclusive."
        ),
        header=["task", *ladder, "metric", "shots", "sizes", "verdict", "tau", "p", "slope", "of", "above chance"],
        rows=rows,
    )


def value(m: Measurement, *, best: bool = False, seeds: int = 1) -> Entry:
    """Return a measurement as an entry with its interval."""
    small = "" if math.isnan(m.low) or math.isnan(m.high) else f"[{figure(m.low)}, {figure(m.high)}]"
    return number(m.value, figure(m.value), small=small + (f" {seeds} seeds" if seeds > 1 else ""), best=best)


def values(names: Sequence[str], group: Sequence[Measurement]) -> list[Entry]:
    """Return an entry per model, the best in bold; several seeds of one model are averaged."""
    pooled: dict[str, tuple[Measurement, int]] = {}
    for name in names:
        same = [m for m in group if m.model.name == name]
        if same:
            pooled[name] = measured_mean(same), len({m.model.seed for m in same})
    sign = 1 if group[0].higher_is_better else -1
    top = max((sign * m.value for m, _ in pooled.values()), default=math.nan)
    bold = len(pooled) > 1 and len({m.value for m, _ in pooled.values()}) > 1
    return [
        value(pooled[name][0], seeds=pooled[name][1], best=bold and sign * pooled[name][0].value == top)
        if name in pooled
        else EMPTY
        for name in names
    ]


def measured_mean(same: Sequence[Measurement]) -> Measurement:
    """Average measurements that differ in the training's seed alone; the bounds are seeds.with_seeds."""
    value, low, high = mean(same)
    return replace(same[0], value=value, low=low, high=high)


Key = tuple[str, str, str, str, int | None, str]  # family, task, level, metric, shots, protocol


def _groups(selection: Selection, chosen: Sequence[Measurement]) -> list[tuple[Key, list[Measurement]]]:
    """Group by everything but the model, tasks in the order of the selection."""
    groups: dict[Key, list[Measurement]] = {}
    for m in chosen:
        groups.setdefault((m.family, m.task, m.level, m.metric, m.shots, m.protocol), []).append(m)
    order = {task: i for i, task in enumerate(selection.tasks)}
    return sorted(
        groups.items(),
        key=lambda item: (order.get(item[0][1], len(order)), *item[0][2:4], item[1][0].order, item[0][5]),
    )


def _header(selection: Selection, *, level: bool = False) -> list[str]:
    names = [selection.labels[name] for name in selection.sizes]
    return ["task", *(["level"] if level else []), "metric", "shots", *names, "n", "chance", "family"]


def _row(selection: Selection, group: Sequence[Measurement], *, level: bool = False) -> list[Entry]:
    m = group[0]
    arrow = "" if m.higher_is_better else " ↓"
    n = max(m.n for m in group)
    return [
        words(m.task), *([words(m.level)] if level else []), words(m.metric + arrow),
        examples(m.shots), *values(selection.sizes, group), number(n, f"{n:,}") if n else EMPTY,
        EMPTY if m.chance is None else number(m.chance, figure(m.chance)), words(m.family),
    ]  # fmt: skip


def _beside(selection: Selection, group: Sequence[Measurement]) -> str:
    """Name baselines and controls with their values, and what failed."""
    notes = [
        f"{m.source.partition(':')[2].replace('_', ' ')} {figure(m.value)}" for m in selection.beside(group[0].task)
    ]
    failed = {m.model.name: m.failed for m in group if m.failed}
    notes += [f"{count:,} failed ({selection.labels[name]})" for name, count in failed.items()]
    return ", ".join(notes)
