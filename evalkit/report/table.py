"""The results table of one or more runs, by family: on the terminal (rich) and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evalkit.harness.task import FAMILIES
from evalkit.types import Result


@dataclass(frozen=True)
class Row:
    """One line: a task's metric for one model, at each number of shots.

    cells: results by shots. beside: controls and baselines of the smallest number of shots.
    """

    cells: dict[int, Result]
    beside: Sequence[Result]

    @property
    def first(self) -> Result:
        """Return the result with the fewest shots."""
        return self.cells[min(self.cells)]

    def texts(self, shots: Sequence[int]) -> list[str]:
        """Return the columns, as many as `header` names."""
        r = self.first
        chance = figure(r.chance) if r.chance is not None else ""
        scores = [scored(self.cells[k]) if k in self.cells else "" for k in shots]
        notes = [f"{b.source.partition(':')[2]} {figure(b.value)}" for b in self.beside]
        notes += [f"{c.failed:,} failed at {k} shots" for k, c in sorted(self.cells.items()) if c.failed]
        notes += [f"{c.truncated:,} shortened at {k} shots" for k, c in sorted(self.cells.items()) if c.truncated]
        task = f"{r.task} ({r.level})" if r.level else r.task
        return [task, r.metric, r.model, *scores, f"{r.n:,}", chance, ", ".join(notes)]


def header(shots: Sequence[int]) -> list[str]:
    """Return the names of the columns."""
    return ["task", "metric", "model", *(f"{k}-shot" for k in shots), "n", "chance", "beside it"]


def figure(value: float) -> str:
    """Return a value with one decimal between 10 and 1,000, two below, none above."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def scored(result: Result) -> str:
    """Return a value with its 95% interval, if it has one."""
    if math.isnan(result.low) or math.isnan(result.high):
        return figure(result.value)
    return f"{figure(result.value)} [{figure(result.low)}, {figure(result.high)}]"


def rows(
    results: Sequence[Result], *, all_metrics: bool = False, levels: bool = False
) -> Iterator[tuple[str, list[Row]]]:
    """Yield (family, rows), in the order of families; of each task its first metric, or all of them."""
    for family in FAMILIES:
        chosen = [r for r in results if r.family == family and r.source == "model" and (levels or not r.level)]
        first = {r.task: r.metric for r in reversed(chosen)}
        tasks = {r.task: i for i, r in enumerate(reversed(chosen))}
        lines: dict[tuple[str, ...], dict[int, Result]] = {}
        for r in chosen:
            if all_metrics or r.metric == first[r.task]:
                lines.setdefault((r.task, r.metric, r.level, r.protocol, r.model), {})[r.shots] = r
        order = sorted(lines, key=lambda key: -tasks[key[0]])  # stable: tasks, then as the results come
        if order:
            yield family, [Row(lines[key], _beside(lines[key], results)) for key in order]


def _beside(cells: dict[int, Result], results: Sequence[Result]) -> list[Result]:
    """Return the controls and baselines that belong to a row; a level has none."""
    r = cells[min(cells)]
    if r.level:
        return []
    cell = (r.model, r.task, r.protocol, r.shots, r.metric)
    return [b for b in results if b.source != "model" and (b.model, b.task, b.protocol, b.shots, b.metric) == cell]


def _shots(results: Sequence[Result]) -> list[int]:
    return sorted({r.shots for r in results})


def show(results: Sequence[Result], console: Console, *, all_metrics: bool = False, levels: bool = False) -> None:
    """Print the table on a terminal."""
    shots = _shots(results)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header(shots):
        table.add_column(name, justify="right" if name in ("n", "chance") else "left", no_wrap=name != "beside it")
    for family, lines in rows(results, all_metrics=all_metrics, levels=levels):
        table.add_row(Text(family, style="bold cyan"))
        for line in lines:
            table.add_row(*map(Text, line.texts(shots)))
    console.print(table)


def markdown(results: Sequence[Result], *, all_metrics: bool = False, levels: bool = False) -> str:
    """Return the table as Markdown, a section per family."""
    shots, out = _shots(results), []
    names = header(shots)
    for family, lines in rows(results, all_metrics=all_metrics, levels=levels):
        out += [f"### {family}", "", "| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
        out += ["| " + " | ".join(text.replace("|", "\\|") for text in line.texts(shots)) + " |" for line in lines]
        out.append("")
    return "\n".join(out)
