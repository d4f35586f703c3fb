"""A comparison as Markdown: for a comment on a pull request and for a job's summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.comparison import formatting
from evalkit.comparison.comparison import Comparison
from evalkit.comparison.evidence import label
from evalkit.comparison.flips import Flip
from evalkit.sinks import markdown, markdown_code

_MARKS: Mapping[str, str] = {"worse": "❌", "better": "✅", "same": "✅", "undecided": "❔"}
_TEXT = 120  # characters shown of a document's texts


def page(comparison: Comparison, flips: Sequence[Flip]) -> str:
    """Return the findings as a table, and a folded list of the documents that flipped, worst first."""
    out = [f"### evalkit: {formatting.headline(comparison)}", ""]
    out += [
        f"base {markdown_code(formatting.side(comparison.base))}, new {markdown_code(formatting.side(comparison.new))}",
        "",
    ]
    out += [f"- allowed: {markdown(note)}" for note in comparison.notes] + [""] * bool(comparison.notes)
    header, rows = formatting.table(comparison.gating)
    rows = [
        [*map(markdown, row[:-1]), f"{_MARKS[f.verdict]} {row[-1]}"]
        for f, row in zip(comparison.gating, rows, strict=True)
    ]
    out += [*_table(header, rows), "", comparison.method, ""]
    out += [f"- {markdown(remark)}" for remark in comparison.remarks] + [""] * bool(comparison.remarks)
    if aside := formatting.aside(comparison):
        header, rows = formatting.table(comparison.others)
        out += _folded(aside, _table(header, [[markdown(cell) for cell in row] for row in rows]))
    if flips:
        out += _folded(f"Documents that changed, worst first ({len(flips)})", _flips(flips))
    return "\n".join(out).rstrip() + "\n"


def failure(message: str) -> str:
    """Return the page of a comparison that could not be made."""
    return f"### evalkit: not compared\n\n{markdown(message)}\n"


def _flips(flips: Sequence[Flip]) -> list[str]:
    header = ("task", "shots", "document", "score", "gold", "base said", "new said")
    rows = []
    for f in flips:
        score = f"{formatting.figure(f.base)} → {formatting.figure(f.new)}"
        texts = (markdown_code(_short(text)) for text in (f.gold, f.base_prediction, f.new_prediction))
        rows.append([markdown(label(f.task, f.template)), str(f.shots), markdown_code(f.document), score, *texts])
    return _table(header, rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    numbers = ("shots", "n", "base", "new", "change", "95% interval", "p (Holm)", "score")
    rule = "|".join(" ---: " if name in numbers else " --- " for name in header)
    return [f"| {' | '.join(header)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _TEXT else flat[: _TEXT - 1] + "…"
