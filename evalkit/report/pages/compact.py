"""The table of a paper in LaTeX: task by model at the chosen shots, no wider than a column or a page.

It is set in the largest of three sizes at which it fits; where it does not fit at the smallest, the models are divided
into blocks, one below the other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.errors import UsageError
from evalkit.report.measurements import Measurement, by_shots
from evalkit.report.pages.cells import EMPTY, Entry, number, tex
from evalkit.report.pages.result_tables import values
from evalkit.report.pages.typesetting import COLUMN, POINTS, width
from evalkit.report.run_table import figure
from evalkit.report.selection import Selection, mean

_SIZES = ((9, 7), (8, 6), (7, 5))  # points of the text and of the intervals
_GAP = 6.0 / POINTS  # between two columns: twice \tabcolsep


@dataclass(frozen=True, kw_only=True)
class Paper:
    """How results are set on paper.

    width: of a table and a figure, in inches. shots: the numbers of examples that are shown, () for each task's fewest.
    ends: the ends of the intervals rather than half of their width.
    """

    width: float
    shots: tuple[int, ...] = ()
    ends: bool = False


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A row: the task with its metric and shots where they vary, and an entry per model."""

    labels: tuple[str, ...]
    entries: Sequence[Entry]


def latex(selection: Selection, paper: Paper) -> str:
    """Return the table (package booktabs). Raises UsageError for shots that no task was asked with."""
    groups = _groups(selection, paper)
    varied = [len({m[0].metric for m in groups}) > 1, len({m[0].shots for m in groups}) > 1]
    heads = ["Task", *(head for head, shown in zip(("Metric", "Shots"), varied, strict=True) if shown)]
    rows = [_row(selection, group, paper, varied) for group in groups]
    names = [selection.labels[name] for name in selection.sizes]
    points, small, blocks = _layout(heads, rows, names, paper.width)
    environment = "table" if paper.width <= COLUMN + 0.25 else "table*"
    tabulars = [_tabular(heads, rows, names, block, points, small, paper.width) for block in blocks]
    return "\n".join(
        [
            rf"\begin{{{environment}}}[t]",
            r"\centering",
            rf"\caption{{{_caption(groups[0][0], varied, paper)}}}\label{{tab:results}}",
            rf"\fontsize{{{points}}}{{{points * 1.2:.1f}}}\selectfont\setlength{{\tabcolsep}}{{3pt}}",
            "\n\\par\\medskip\n".join(tabulars),
            rf"\end{{{environment}}}",
            "",
        ]
    )


def _groups(selection: Selection, paper: Paper) -> list[list[Measurement]]:
    """Return the measurements of each row: a task at its fewest shots, or at each of the chosen ones."""
    groups: dict[tuple[str, str, int | None], list[Measurement]] = {}
    for m in selection.final:
        if not m.level:
            groups.setdefault((m.task, m.protocol, m.shots), []).append(m)
    fewest = {task: min((k for t, _, k in groups if t == task), key=by_shots) for task in selection.tasks
              if any(t == task for t, _, _ in groups)}  # fmt: skip
    for shots in paper.shots:
        if shots not in selection.shots:
            known = ", ".join(map(str, selection.shots)) or "none is known"
            raise UsageError(f"--shots {shots}: no task was asked with {shots} examples (there are: {known})")
    chosen = [key for key in groups if (key[2] in paper.shots if paper.shots else key[2] == fewest[key[0]])]
    order = {task: i for i, task in enumerate(selection.tasks)}
    return [groups[key] for key in sorted(chosen, key=lambda key: (order[key[0]], key[1], by_shots(key[2])))]


def _row(selection: Selection, group: Sequence[Measurement], paper: Paper, varied: Sequence[bool]) -> _Row:
    m = group[0]
    shots = "?" if m.shots is None else str(m.shots)
    arrow = "" if m.higher_is_better else " ↓"
    extra = [text for text, shown in zip((m.metric + arrow, shots), varied, strict=True) if shown]
    entries = values(selection.sizes, group)
    if not paper.ends:
        halves = _halves(selection, group)
        entries = [e if e is EMPTY or e.key is None else number(float(e.key), e.text, small=half, best=e.best)
                   for e, half in zip(entries, halves, strict=True)]  # fmt: skip
    return _Row(labels=(m.task, *extra), entries=entries)


def _halves(selection: Selection, group: Sequence[Measurement]) -> list[str]:
    """Return half of each model's interval, with the decimals of its value."""
    halves = []
    for name in selection.sizes:
        same = [m for m in group if m.model.name == name]
        half, decimals = math.nan, 0
        if same:
            value, low, high = mean(same)
            half, decimals = (high - low) / 2, len(figure(value).partition(".")[2])
        halves.append("" if math.isnan(half) else f"±{half:.{decimals}f}")
    return halves


def _caption(first: Measurement, varied: Sequence[bool], paper: Paper) -> str:
    parts = []
    if not varied[0]:
        parts.append(first.metric + ("" if first.higher_is_better else " (less is better)"))
    if not varied[1] and first.shots is not None:
        parts.append(f"{first.shots}-shot")
    of = f" ({', '.join(parts)})" if parts else ""
    interval = "in brackets: 95% intervals" if paper.ends else "±: half the width of the 95% interval"
    down = " ↓: less is better." if varied[0] else ""
    return tex(f"Results by task{of}; {interval} over documents. The best of a row is bold.{down}")


def _layout(
    heads: Sequence[str], rows: Sequence[_Row], names: Sequence[str], room: float
) -> tuple[int, int, list[list[int]]]:
    """Return the points of text and intervals, and the models of each block."""
    every = list(range(len(names)))
    for points, small in _SIZES:
        if sum(_widths(heads, rows, names, every, points, small)) <= room:
            return points, small, [every]
    for most in range(len(every) - 1, 0, -1):
        alike = -(-len(every) // -(-len(every) // most))  # as many in each block, up to one
        blocks = [every[start : start + alike] for start in range(0, len(every), alike)]
        if all(sum(_widths(heads, rows, names, block, points, small)) <= room for block in blocks):
            break
    else:
        blocks = [[i] for i in every]
    return points, small, blocks


def _widths(
    heads: Sequence[str], rows: Sequence[_Row], names: Sequence[str], block: Sequence[int], points: int, small: int
) -> list[float]:
    """Return the widths of the columns in inches, each with the gap before it."""
    labels = [
        max(width(text, points) for text in (head, *(row.labels[i] for row in rows))) for i, head in enumerate(heads)
    ]
    columns = []
    for i in block:
        cells = max((_entry_width(row.entries[i], points, small) for row in rows), default=0.0)
        columns.append(max(cells, *(width(line, points) for line in _lines(names[i], cells, points))))
    return [labels[0], *(w + _GAP for w in (*labels[1:], *columns))]


def _entry_width(entry: Entry, points: int, small: int) -> float:
    space = 0.2 * points / POINTS if entry.small else 0.0
    return width(entry.text, points, bold=entry.best) + space + width(entry.small, small)


def _lines(name: str, room: float, points: int) -> list[str]:
    """Break a model's name at its marks into lines no wider than its column, where the parts allow it."""
    lines = [""]
    for part in re.findall(r"[^-_/ (]*[-_/ ]?|\(", name):
        if lines[-1] and width(lines[-1] + part, points) > room:
            lines.append("")
        lines[-1] += part
    return [line.strip() for line in lines if line.strip()] or [name]


def _tabular(
    heads: Sequence[str], rows: Sequence[_Row], names: Sequence[str], block: Sequence[int], points: int, small: int,
    room: float,
) -> str:  # fmt: skip
    widths = _widths(heads, rows, names, block, points, small)
    task = "l"
    if (over := sum(widths) - room) > 0:  # one model alone is too wide: the tasks' names are broken
        task = rf">{{\raggedright\arraybackslash}}p{{{max(widths[0] - over, 0.5):.2f}in}}"
    columns = task + "l" * (len(heads) - 1) + "r" * len(block)
    titles = [*heads, *(_title(names[i], rows, i, points, small) for i in block)]
    out = [rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule", " & ".join(titles) + r" \\", r"\midrule"]
    for row in rows:
        first = tex(row.labels[0]).replace(r"\_", r"\_\allowbreak ") if task != "l" else tex(row.labels[0])
        entries = [_entry(row.entries[i], small) for i in block]
        out.append(" & ".join([first, *map(tex, row.labels[1:]), *entries]) + r" \\")
    return "\n".join([*out, r"\bottomrule", r"\end{tabular}"])


def _title(name: str, rows: Sequence[_Row], column: int, points: int, small: int) -> str:
    room = max((_entry_width(row.entries[column], points, small) for row in rows), default=0.0)
    lines = _lines(name, room, points)
    return tex(lines[0]) if len(lines) == 1 else r"\shortstack[r]{" + r"\\".join(map(tex, lines)) + "}"


def _entry(entry: Entry, small: int) -> str:
    text = rf"\textbf{{{tex(entry.text)}}}" if entry.best else tex(entry.text)
    if not entry.small:
        return text
    return rf"{text}\,{{\fontsize{{{small}}}{{{small}}}\selectfont {tex(entry.small)}}}"
