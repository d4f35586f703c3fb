"""A comparison as Markdown: for a comment on a pull request and for a job's summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.comparison import formatting
from evalkit.comparison.comparison import Comparison, Finding
from evalkit.comparison.evidence import label
from evalkit.comparison.flips import Flip
from evalkit.sinks import markdown, markdown_code

_MARKS: Mapping[str, str] = {"worse": "❌", "better": "✅", "same": "✅", "undecided": "❔"}
_TEXT = 120  # characters shown of a document's texts

# A comment that is longer is not read.
LINES = 60
FLIPS = 20  # the most that have room
_NOTES = 5


def page(comparison: Comparison, flips: Sequence[Flip]) -> str:
    """Return the findings as a table, worst first, and the documents that changed, folded: at most LINES lines.

    What has no room is counted. flips: as they are to be listed, FLIPS at most.
    """
    sides = (markdown_code(formatting.side(side)) for side in (comparison.base, comparison.new))
    head = [f"### evalkit: {formatting.headline(comparison)}", "", "base {}, new {}".format(*sides), ""]
    notes = [f"- allowed: {markdown(note)}" for note in comparison.notes]
    if notes:
        head += [*_cut(notes, _NOTES, what="- {} more differences were allowed"), ""]
    method = ["", comparison.method, ""]
    if comparison.remarks:
        remarks = [f"- {markdown(remark)}" for remark in comparison.remarks]
        method += [*_cut(remarks, _NOTES, what="- and {} more"), ""]
    room = LINES - len(head) - len(method)
    changed = _changed(flips[:FLIPS])
    findings = _findings(comparison.gating, room - len(changed))
    out = [*head, *findings, *method]
    return "\n".join([*out, *_others(comparison, LINES - len(out) - len(changed)), *changed]).rstrip() + "\n"


def failure(message: str) -> str:
    """Return the page of a comparison that could not be made."""
    return f"### evalkit: not compared\n\n{markdown(message)}\n"


def _findings(findings: Sequence[Finding], room: int) -> list[str]:
    header, rows = formatting.table(findings)
    marked = [
        [*map(markdown, row[:-1]), f"{_MARKS[f.verdict]} {markdown(row[-1])}"]
        for f, row in zip(findings, rows, strict=True)
    ]
    table = _table(header, marked)
    if len(table) <= room:
        return table
    kept = room - 2  # without an empty line and what the rest are
    left = findings[kept - len(_table((), ())) :]
    return [*table[:kept], "", f"and {len(left)} more: {formatting.counted(left)}"]


def _others(comparison: Comparison, room: int) -> list[str]:
    """Return the findings that do not gate, folded; only their number where there is no room for them."""
    aside = formatting.aside(comparison)
    if not aside:
        return []
    header, rows = formatting.table(comparison.others)
    folded = _folded(aside, _table(header, [[markdown(cell) for cell in row] for row in rows]))
    return folded if len(folded) <= room else [aside, ""][: max(0, room)]


def _changed(flips: Sequence[Flip]) -> list[str]:
    """Return the documents that changed, folded, without the columns in which none has anything."""
    if not flips:
        return []
    header = ("task", "shots", "document", "score", "gold", "base said", "new said")
    rows = []
    for f in flips:
        score = f"{formatting.figure(f.base)} → {formatting.figure(f.new)}"
        texts = (markdown_code(_short(text)) for text in (f.gold, f.base_prediction, f.new_prediction))
        rows.append([markdown(label(f.task, f.template)), str(f.shots), markdown_code(f.document), score, *texts])
    filled = [i for i in range(len(header)) if any(row[i] for row in rows)]
    table = _table([header[i] for i in filled], [[row[i] for i in filled] for row in rows])
    tasks = len({(f.task, f.shots, f.template) for f in flips})
    return _folded(f"Changed answers, worst first: {len(flips)} of {tasks} task{'s' * (tasks > 1)}", table)


def _cut(lines: Sequence[str], most: int, *, what: str) -> list[str]:
    """Return at most so many lines, the last of which counts the rest."""
    return [*lines] if len(lines) <= most else [*lines[: most - 1], what.format(len(lines) - most + 1)]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    numbers = ("shots", "n", "base", "new", "change", "95% interval", "p (Holm)", "score")
    rule = "|".join(" ---: " if name in numbers else " --- " for name in header)
    return [f"| {' | '.join(header)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _TEXT else flat[: _TEXT - 1] + "…"
