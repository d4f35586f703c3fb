"""A report's beginning in words: what was evaluated, the best model of each family of tasks, and the trend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from evalkit.report.figures.canvas import count
from evalkit.report.measurements import Measurement
from evalkit.report.pages.result_tables import Verdicts, measured_mean
from evalkit.report.run_table import figure
from evalkit.report.selection import Selection
from evalkit.report.trends.verdict import MIN_SIZES

_NAMED = 3  # models that are named one by one
_TRENDS = {
    "trend": "grows with size",
    "trend (falling)": "falls with size",
    "flat": "stays the same",
    "saturated": "is near the ceiling",
    "too noisy": "is too noisy to tell",
}


def sentences(selection: Selection, verdicts: Verdicts) -> list[str]:
    """Return the summary: first what was evaluated, then a sentence per family and one on the trend."""
    tasks = _fewest(selection)
    best = [text for family in selection.families if (text := _best(selection, family, tasks))]
    return [_evaluated(selection), *best, *_above_chance(selection, tasks), _trend(selection, verdicts, tasks)]


def _many(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def _evaluated(selection: Selection) -> str:
    sizes = {m.model.name: m.model.parameters for m in selection.main}
    known = sorted({size for size in sizes.values() if size})
    models = _many(len(sizes), "model", "models")
    if len(sizes) <= _NAMED:
        named = [selection.labels[n] + (f" ({count(size)} parameters)" if (size := sizes[n]) else "")
                 for n in selection.sizes]  # fmt: skip
        models += f", {_joined(named)}"
    elif known:
        models += f" of {count(known[0])}" + (f" to {count(known[-1])}" if len(known) > 1 else "") + " parameters"
    shots = _joined(list(map(str, selection.shots))) or "an unknown number of"
    tasks = _many(len(selection.tasks), "task", "tasks")
    families = _many(len(selection.families), "family", "families")
    return (
        f"{models}: {tasks} in {families}, with {shots} {'example' if selection.shots == [1] else 'examples'} in the "
        "prompt. Values have 95% intervals over documents."
    )


def _fewest(selection: Selection) -> dict[str, dict[str, Measurement]]:
    """Return each task's values by model, on all its documents, at the fewest shots."""
    groups: dict[str, list[Measurement]] = {}
    for m in selection.final:
        if not m.level:
            groups.setdefault(m.task, []).append(m)
    tasks: dict[str, dict[str, Measurement]] = {}
    for task in selection.tasks:
        group = groups.get(task, [])
        fewest = min((m.order for m in group), default=0)
        by_model: dict[str, list[Measurement]] = {}
        for m in group:
            if m.order == fewest:
                by_model.setdefault(m.model.name, []).append(m)
        tasks[task] = {name: measured_mean(same) for name, same in by_model.items()}
    return tasks


def _best(selection: Selection, family: str, tasks: Mapping[str, Mapping[str, Measurement]]) -> str:
    """Say which model is best at a family's tasks; nothing where no task has two models."""
    ranked = {}
    for task, by_model in tasks.items():
        if len(by_model) > 1 and next(iter(by_model.values())).family == family:
            ranked[task] = sorted(by_model.values(), key=lambda m: -m.value if m.higher_is_better else m.value)
    if not ranked:
        return ""
    if len(ranked) == 1:
        [(task, (first, second, *_))] = ranked.items()
        if first.value == second.value:
            return f"{family}: the best models are equal ({task}, {first.metric} {figure(first.value)})."
        overlap = max(first.low, second.low) <= min(first.high, second.high)  # false where an interval is unknown
        best, other = (selection.labels[m.model.name] for m in (first, second))
        score = f"{task}, {first.metric} {figure(first.value)}; next {other} {figure(second.value)}"
        return f"{family}: {best} is best ({score}{', with intervals that overlap' if overlap else ''})."
    wins = Counter(selection.labels[m[0].model.name] for m in ranked.values() if m[0].value != m[1].value)
    if not wins:
        return f"{family}: no model is ahead on any of {len(ranked)} tasks."
    (name, most), *others = wins.most_common(2)
    if most == len(ranked):
        return f"{family}: {name} is best on {'both' if most == 2 else f'all {most}'} tasks."
    next_best = "".join(f", {model} on {times}" for model, times in others)
    return f"{family}: {name} is best on {most} of {len(ranked)} tasks{next_best}."


def _above_chance(selection: Selection, tasks: Mapping[str, Mapping[str, Measurement]]) -> list[str]:
    """Say of a single model on how many tasks it is better than a guess."""
    values = [m for by_model in tasks.values() for m in by_model.values() if m.chance is not None and m.low == m.low]
    if len(selection.sizes) > 1 or not values:
        return []
    above = sum(m.low > m.chance if m.higher_is_better else m.high < m.chance for m in values if m.chance is not None)
    known = _many(len(values), "task", "tasks")
    return [f"Its whole interval is better than a guess on {above} of the {known} where a guess has a known score."]


def _trend(selection: Selection, verdicts: Verdicts, tasks: Mapping[str, Mapping[str, Measurement]]) -> str:
    sizes = len({m.model.parameters for m in selection.main if m.model.parameters})
    if sizes < MIN_SIZES:
        of = f"{sizes} sizes" if sizes > 1 else "one size" if sizes else "no known size"
        return f"Whether ability grows with size cannot be judged from {of}: that takes at least {MIN_SIZES}."
    labels = Counter(
        verdict.label
        for task, by_model in tasks.items()
        if by_model
        for _, verdict in verdicts.get((task, next(iter(by_model.values())).shots), ())
    )
    judged = [f"{words} on {labels[label]}" for label, words in _TRENDS.items() if labels[label]]
    if not judged:
        return f"Whether ability grows with size cannot be judged: no task has {MIN_SIZES} sizes of one ladder."
    several = _many(sum(labels[label] for label in _TRENDS), "task", "tasks")
    return f"Of {several} at the fewest shots, ability {_joined(judged)}."
