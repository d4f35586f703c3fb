"""A comparison on the terminal and in a notebook."""

from __future__ import annotations

from html import escape

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evalkit.comparison import formatting
from evalkit.comparison.comparison import Comparison

_STYLES = {"worse": "bold red", "better": "green", "undecided": "yellow", "same": "dim"}


def show(comparison: Comparison, console: Console) -> None:
    """Print both sides, the findings and the outcome."""
    console.print(Text(f"base  {formatting.side(comparison.base)}  {comparison.base['path']}"))
    console.print(Text(f"new   {formatting.side(comparison.new)}  {comparison.new['path']}"))
    for note in comparison.notes:
        console.print(Text(f"allowed: {note}", style="yellow"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in formatting.HEADER:
        table.add_column(name, justify="left" if name in ("task", "metric", "verdict") else "right", no_wrap=True)
    for finding in comparison.findings:
        *cells, verdict = formatting.columns(finding)
        table.add_row(*map(Text, cells), Text(verdict, style=_STYLES[finding.verdict] if finding.gates else "dim"))
    console.print(table)
    console.print(Text(formatting.method(comparison), style="dim"))
    console.print(Text(formatting.headline(comparison), style="bold red" if comparison.failing else "bold green"))


def html(comparison: Comparison) -> str:
    """Return the findings and the outcome as HTML, for a notebook."""
    rows = [formatting.HEADER, *(formatting.columns(finding) for finding in comparison.findings)]
    cells = ["".join(f"<td>{escape(text)}</td>" for text in row) for row in rows]
    body = "\n".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table>\n{body}\n</table>\n<p>{escape(formatting.headline(comparison))}</p>"
