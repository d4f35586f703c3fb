"""The layouts of two papers' tables: GPT-2's Table 3 (a row per model) and GPT-3's Table H.1 (a row per task)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.harness.task import FINETUNED
from evalkit.report.figures.canvas import count
from evalkit.report.measurements import Measurement
from evalkit.report.pages.cells import EMPTY, Entry, Grid, examples, number, words
from evalkit.report.pages.result_tables import values
from evalkit.report.run_table import figure
from evalkit.report.selection import Selection

_CAPTION = "Printed values are in italics. ↓: less is better. The best of our own in bold, 95% intervals in small type."


def language_modelling(selection: Selection) -> Grid | None:
    """Return language-modelling benchmarks by model, zero-shot, as GPT-2's Table 3; None where there are none.

    Columns are the family lm with all its metrics, and the cloze tasks (as the paper's CBT).
    """
    chosen = [m for m in selection.measurements if m.model.checkpoint in selection.ends and _belongs(selection, m)]
    columns = list(dict.fromkeys((m.task, m.metric) for m in chosen))
    if not any(m.family == "lm" for m in chosen):
        return None
    cells = {}
    for task, metric in columns:
        group = [m for m in chosen if (m.task, m.metric) == (task, metric)]
        for name, entry in zip(selection.sizes, values(selection.sizes, group), strict=True):
            cells[name, task, metric] = entry
    sizes = {m.model.name: m.model.parameters for m in chosen}
    rows = list(_quoted(selection, columns))
    for name in selection.sizes:
        if name in sizes:
            entries = [cells[name, task, metric] for task, metric in columns]
            rows.append([words(selection.labels[name]), _size(sizes[name]), *entries])
    down = {(m.task, m.metric) for m in chosen if not m.higher_is_better}
    return Grid(
        name="table3",
        title="Language modelling, zero-shot (layout of GPT-2's Table 3)",
        caption=_CAPTION,
        header=["model", "parameters", *(f"{t} {m}{' ↓' if (t, m) in down else ''}" for t, m in columns)],
        rows=rows,
    )


def _belongs(selection: Selection, m: Measurement) -> bool:
    if m.source != "model" or m.level or m.shots != 0 or m.value != m.value:
        return False
    return m.family == "lm" or (m.family == "cloze" and m.metric == selection.metrics[m.task])


def _quoted(selection: Selection, columns: Sequence[tuple[str, str]]) -> Iterator[list[Entry]]:
    """Yield a row per model of the papers that has one of the columns zero-shot."""
    zero_shot = [r for r in selection.references if (r.task, r.metric) in columns and not r.shots]
    models = dict.fromkeys((r.paper, r.model, r.parameters) for r in zero_shot)
    for paper, model, parameters in sorted(models, key=lambda key: (key[0], key[2] or 0, key[1])):
        own = {(r.task, r.metric): r.value for r in zero_shot if (r.paper, r.model) == (paper, model)}
        entries = [number(own[c], figure(own[c]), quoted=True) if c in own else EMPTY for c in columns]
        yield [words(f"{paper} {model}", quoted=True), _size(parameters), *entries]


def _size(parameters: int | None) -> Entry:
    return number(parameters, count(parameters)) if parameters else EMPTY


def by_setting(selection: Selection) -> list[Grid]:
    """Return one table per setting (zero-, one-, few-shot) with a row per task and a column per size, as Table H.1."""
    grids = []
    own = [m for m in selection.final if not m.level and m.protocol != FINETUNED]
    most = {m.task: max(o.shots or 0 for o in own if o.task == m.task) for m in own}
    settings = {
        "zero": [m for m in own if m.shots == 0],
        "one": [m for m in own if m.shots == 1],
        "few": [m for m in own if (m.shots or 0) > 1 and m.shots == most[m.task]],
    }
    for setting, chosen in settings.items():
        if chosen:
            grids.append(_setting(selection, setting, chosen))
    return grids


def _setting_of(shots: int | None) -> str:
    return "zero" if shots == 0 else "one" if shots == 1 else "few"


def _setting(selection: Selection, setting: str, chosen: Sequence[Measurement]) -> Grid:
    tasks = list(dict.fromkeys(m.task for m in chosen))
    references = [
        r for r in selection.references if r.parameters and r.task in tasks and _setting_of(r.shots) == setting
    ]
    papers = [r for r in references if r.metric == selection.metrics[r.task]]
    printed = sorted(dict.fromkeys((r.parameters or 0, r.paper, r.model) for r in papers))
    rows = []
    for task in tasks:
        group = [m for m in chosen if m.task == task]
        shots = examples(group[0].shots)
        name = group[0].metric + ("" if group[0].higher_is_better else " ↓")
        quoted = {(r.paper, r.model): r.value for r in papers if r.task == task}
        theirs = [
            number(quoted[p, m], figure(quoted[p, m]), quoted=True) if (p, m) in quoted else EMPTY
            for _, p, m in printed
        ]
        rows.append([words(task), words(name), shots, *values(selection.sizes, group), *theirs])
    labels = [selection.labels[n] for n in selection.sizes] + [f"{paper} {model}" for _, paper, model in printed]
    return Grid(
        name=f"h1-{setting}",
        title=f"All tasks, {setting}-shot (layout of GPT-3's Table H.1)",
        caption=_CAPTION,
        header=["task", "metric", "K", *labels],
        rows=rows,
    )
