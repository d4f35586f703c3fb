"""A report as files: report.html, report.md, tables.tex, results.csv and figures/."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from evalkit import sinks
from evalkit.files import make_folder, write_atomic
from evalkit.report.figures import canvas
from evalkit.report.measurements import Measurement
from evalkit.report.models import last_checkpoints
from evalkit.report.pages import cells, page
from evalkit.report.pages.compact import Paper
from evalkit.report.pages.compact import latex as compact_table
from evalkit.report.pages.page import Content
from evalkit.report.selection import Selection

_COLUMNS = (
    "ladder", "model", "parameters", "block_parameters", "tokens", "flops", "seed", "step", "loss", "loss_stderr",
    "loss_tokens", "family", "task", "level", "protocol", "shots", "metric", "source", "value", "low", "high", "n",
    "failed", "chance",
)  # fmt: skip


def write(
    out: Path, content: Content, selection: Selection, *, paper: Paper | None = None, compact: bool = False
) -> list[Path]:
    """Write the files of a report and return their paths. Raises StoreError where the folder cannot be written.

    paper: also write the figures as PDF of its width. compact: tables.tex is one table for that paper.
    """
    files: dict[str, str | bytes] = {
        "report.html": page.html(content),
        "report.md": markdown(content),
        "tables.tex": latex(content, compact_table(selection, paper) if compact and paper else ""),
        "results.csv": long_form(selection),
    }
    for drawn in content.figures:
        name = drawn.figure.name
        files[f"figures/{name}.svg"] = drawn.svg
        files[f"figures/{name}.png"] = drawn.png
        sheets = canvas.pdf(drawn.figure, width=paper.width) if paper else []
        for i, sheet in enumerate(sheets, start=1):
            files[f"figures/{name}{f'-{i}' if len(sheets) > 1 else ''}.pdf"] = sheet
    make_folder(out / "figures")
    for name, body in files.items():
        write_atomic(out / name, body)
    return [out / name for name in files]


def markdown(content: Content) -> str:
    """Return the report as Markdown, figures linked."""
    out = [
        f"# {sinks.markdown(content.title)}",
        "",
        sinks.markdown(content.summary[0]),
        "",
        *(f"- {sinks.markdown(sentence)}" for sentence in content.summary[1:]),
        "",
        "```",
        sinks.terminal(content.command),
        "```",
        "",
    ]
    if content.problems:
        left_out = [f"- {sinks.markdown_code(str(p.path))}: {sinks.markdown(p.reason)}" for p in content.problems]
        out += ["Left out:", "", *left_out, ""]
    out += [*(f"- {sinks.markdown(warning)}" for warning in content.warnings), ""] if content.warnings else []
    for drawn in content.figures:
        name = drawn.figure.name
        link = f"[![{sinks.markdown(drawn.alternative)}](figures/{name}.png)](figures/{name}.svg)"
        out += [f"## {drawn.figure.title}", "", link, "", drawn.figure.caption, ""]
    for table in [*content.tables, *content.fits]:
        out += [f"## {table.title}", "", *([table.caption, ""] if table.caption else []), cells.markdown(table), ""]
    out += [*map(sinks.markdown, content.notes), ""] if content.notes else []
    if content.missing:
        without_data = [f"- {name}: {sinks.markdown(reason)}." for name, reason in content.missing]
        out += ["## Without data", "", *without_data, ""]
    return "\n".join(out)


def latex(content: Content, table: str = "") -> str:
    """Return the tables as LaTeX, or a given one."""
    head = ["% Made by: " + " ".join(content.command.split())]
    if table:
        return "\n".join([*head, "% Needs \\usepackage{booktabs,array}.", "", table])
    head += [
        "% Needs \\usepackage{booktabs,longtable}. The tables are wide; `--latex compact` makes one that fits a page.",
        "",
    ]
    return "\n".join([*head, *(cells.latex(table) + "\n" for table in [*content.tables, *content.fits])])


def long_form(selection: Selection) -> str:
    """Return the measurements as CSV, one line each.

    All of them at the last checkpoint of a training; of earlier checkpoints, each task's main metric without levels.
    """
    main = {id(m) for m in selection.main if not m.level}
    last = last_checkpoints(m.model for m in selection.measurements)
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for m in selection.measurements:
        if id(m) in main or m.model.checkpoint in last:
            rows.writerow(map(sinks.csv_cell, _fields(m)))
    return out.getvalue()


def _fields(m: Measurement) -> Sequence[str]:
    facts = m.model
    about = (
        facts.parameters, facts.block_parameters, facts.tokens, facts.flops, facts.seed, facts.step, facts.loss,
        facts.loss_stderr, facts.loss_tokens,
    )  # fmt: skip
    values = (m.value, m.low, m.high)
    return [
        facts.family, facts.name, *map(_cell, about), m.family, m.task, m.level, m.protocol, _cell(m.shots), m.metric,
        m.source, *map(_cell, values), str(m.n), str(m.failed), _cell(m.chance),
    ]  # fmt: skip


def _cell(value: float | None) -> str:
    """Write a number: whole ones as they are, others in six digits; nothing for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"
