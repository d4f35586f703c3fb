"""A comparison on the terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evalkit import tables
from evalkit.comparison import formatting
from evalkit.comparison.comparison import Comparison, Finding

_STYLES = {"worse": "bold red", "better": "green", "undecided": "yellow", "same": "dim"}
# Characters that a verdict takes at least in a table.
_VERDICT = 30


def show(comparison: Comparison, console: Console) -> None:
    """Print both sides, the findings and the outcome."""
    console.print(Text(f"base  {formatting.side(comparison.base)}  {comparison.base['path']}"))
    console.print(Text(f"new   {formatting.side(comparison.new)}  {comparison.new['path']}"))
    for note in comparison.notes:
        console.print(Text(f"allowed: {note}", style="yellow"))
    console.print(_table(comparison, console))
    if aside := formatting.aside(comparison):
        console.print(Text(f"{aside} (--all-metrics counts them, --json lists them)", style="dim"))
    console.print(Text(comparison.method, style="dim"))
    for remark in comparison.remarks:
        console.print(Text(remark))
    console.print(Text(formatting.headline(comparison), style="bold red" if comparison.failing else "bold green"))


def _table(comparison: Comparison, console: Console) -> Table | Text:
    """Return the findings that gate as a table, or, where the terminal is too narrow for it, one below the other."""
    header, rows = formatting.table(comparison.gating)
    styled: list[list[str | Text]] = [
        [*cells, Text(verdict, style=_STYLES[finding.verdict])]
        for finding, (*cells, verdict) in zip(comparison.gating, rows, strict=True)
    ]
    table = tables.table(header, styled, left=("task", "metric", header[-1]))
    last, longest = table.columns[-1], max(map(len, (header[-1], *(verdict for *_, verdict in rows))))
    last.no_wrap, last.min_width = False, min(_VERDICT, longest)
    return table if tables.fits(table, console) else Text("\n").join(map(_block, comparison.gating))


def _block(finding: Finding) -> Text:
    """Return a finding in two lines."""
    f = finding
    verdict = (formatting.judgement(f), _STYLES[f.verdict])
    return Text.assemble(f"{f.name}: ", verdict, f"\n  {formatting.figures(f)}, n {f.extent}")


def html(comparison: Comparison) -> str:
    """Return the findings and the outcome as HTML, for a notebook."""
    out = [_html_table(comparison.gating), f"<p>{escape(formatting.headline(comparison))}</p>"]
    out += [f"<p>{escape(remark)}</p>" for remark in comparison.remarks]
    if aside := formatting.aside(comparison):
        out.append(f"<details><summary>{escape(aside)}</summary>\n{_html_table(comparison.others)}\n</details>")
    return "\n".join(out)


def _html_table(findings: Sequence[Finding]) -> str:
    header, rows = formatting.table(findings)
    cells = ["".join(f"<td>{escape(text)}</td>" for text in row) for row in (header, *rows)]
    body = "\n".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table>\n{body}\n</table>"
