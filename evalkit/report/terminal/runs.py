"""The results table on a terminal: one table where it fits, otherwise a block per task.

No name and no number is ever shortened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evalkit.harness.failures import MAX_FAILED
from evalkit.report import run_table
from evalkit.report.run_table import Columns, Row, figure, scored
from evalkit.tables import fits
from evalkit.types import Result

_INDENT = 2
_NOTES = 24  # columns that the notes need to be readable beside the scores


def show(
    results: Sequence[Result],
    console: Console,
    *,
    all_metrics: bool = False,
    levels: bool = False,
    allowed: float = MAX_FAILED,
) -> None:
    """Print the table. allowed: the share of failed items beyond which a score is marked."""
    families = [*run_table.rows(results, all_metrics=all_metrics, levels=levels, allowed=allowed)]
    columns = Columns.of(results)
    if fits(table := _wide(families, columns), console):
        console.print(table)
    else:
        _show_blocks(families, console)
    if note := run_table.legend(results, allowed=allowed):
        console.print(Text(note, style="bold red"))
    if places := run_table.sources(run_table.shown(results, all_metrics=all_metrics, levels=levels)):
        console.print(Text(f"paper: {places}", style="dim"))


def _wide(families: Sequence[tuple[str, Sequence[Row]]], columns: Columns) -> Table:
    """Return the table with a row per task, metric and model."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    *names, beside = run_table.header(columns)
    for name in names:
        table.add_column(name, justify="right" if name in ("n", "chance") else "left", no_wrap=True)
    noted = any(True for _, rows in families for row in rows for _ in row.notes())
    table.add_column(beside, min_width=_NOTES if noted else None)
    for family, rows in families:
        table.add_row(Text(family, style="bold cyan"))
        for row in rows:
            table.add_row(*map(Text, row.texts(columns)))
    return table


def _show_blocks(families: Sequence[tuple[str, Sequence[Row]]], console: Console) -> None:
    """Print a heading per family and, below it, a block per task and metric: a line per model, then the notes."""
    for family, rows in families:
        console.print(Text(family, style="bold cyan"))
        for (title, _), block in groupby(rows, key=lambda row: (row.title, row.first.metric)):
            lines = list(block)
            console.print(Text.assemble((title, "bold"), " ", _about(lines)))
            console.print(Padding(_scores(lines, console), (0, 0, 0, _INDENT), expand=False))
            for note in _notes(lines):
                console.print(Padding(Text(note, style="dim"), (0, 0, 0, 2 * _INDENT), expand=False))


def _about(rows: Sequence[Row]) -> str:
    """Return the metric, and what the block's rows have in common."""
    parts = [rows[0].first.metric]
    if len(counts := {row.first.n for row in rows}) == 1:
        parts.append(f"n {counts.pop():,}")
    if len(chances := {row.first.chance for row in rows}) == 1 and (chance := chances.pop()) is not None:
        parts.append(f"chance {figure(chance)}")
    return ", ".join(parts)


def _scores(rows: Sequence[Row], console: Console) -> Table:
    """Return a line per model with its scores side by side, or, where they do not fit, one below the other."""
    beside = _table(rows, stacked=False)
    return beside if fits(beside, console, console.width - _INDENT) else _table(rows, stacked=True)


def _table(rows: Sequence[Row], *, stacked: bool) -> Table:
    shots = sorted({k for row in rows for k in row.cells})
    apart = {"n": len({row.first.n for row in rows}) > 1, "chance": len({row.first.chance for row in rows}) > 1}
    names = ["model", *(["shots", "score"] if stacked else [f"{k}-shot" for k in shots])]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in (*names, *(name for name, differs in apart.items() if differs)):
        table.add_column(name, justify="right" if name in (*apart, "shots") else "left", no_wrap=True)
    for row in rows:
        n, chance = f"{row.first.n:,}", "" if row.first.chance is None else figure(row.first.chance)
        own = [text for name, text in (("n", n), ("chance", chance)) if apart[name]]
        scores = {k: scored(result, allowed=row.allowed) for k, result in row.cells.items()}
        if stacked:
            lines: list[list[str]] = [[str(k), scores[k]] for k in sorted(scores)]
        else:
            lines = [[scores.get(k, "") for k in shots]]
        for i, line in enumerate(lines):
            table.add_row(*map(Text, ["" if i else row.first.model, *line, *([] if i else own)]))
    return table


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what stands beside the rows, once for models that have the same."""
    notes: dict[str, list[str]] = {}
    for row in rows:
        for text in filter(None, [", ".join(row.notes())]):
            notes.setdefault(text, []).append(row.first.model)
    for text, models in notes.items():
        yield text if len(models) == len(rows) else f"{', '.join(models)}: {text}"
