"""Contamination as text: the columns that the terminal, Markdown and CSV share."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evalkit import sinks
from evalkit.contamination.verdicts import Overlap
from evalkit.papers.contamination import contaminations, overlaps


def percent(share: float | None) -> str:
    """Return a share in percent; "-" for none."""
    return "-" if share is None else f"{100 * share:.2f}%"


def _paper_own(overlap: Overlap) -> str:
    paper = overlaps().get(overlap.task)
    return "-" if paper is None or paper.own is None else f"{paper.own:.2f}%"


def _paper_webtext(overlap: Overlap) -> str:
    paper = overlaps().get(overlap.task)
    return "-" if paper is None else f"{paper.webtext:.2f}%"


def _paper_dirty(overlap: Overlap) -> str:
    paper = contaminations().get(overlap.task)
    return "-" if paper is None else f"{100 * paper.dirty / paper.documents:.0f}%"


# Columns of the terminal: 80 characters are enough for them.
COLUMNS: Mapping[str, Callable[[Overlap], str]] = {
    "task": lambda o: o.task,
    "docs": lambda o: f"{o.documents:,}",
    "8-grams": lambda o: percent(o.share),
    "GPT-2": _paper_webtext,
    "own": lambda o: percent(o.own_share),
    "N": lambda o: str(o.n),
    "dirty": lambda o: f"{o.dirty:,}",
    "share": lambda o: f"{o.dirty / o.documents:.0%}",
    "GPT-3": _paper_dirty,
}

FULL: Mapping[str, Callable[[Overlap], str]] = {
    "task": COLUMNS["task"],
    "documents": COLUMNS["docs"],
    "8-grams": lambda o: f"{o.overlap:,}",
    "in training text": COLUMNS["8-grams"],
    "GPT-2: in WebText": COLUMNS["GPT-2"],
    "in own training split": COLUMNS["own"],
    "GPT-2: in own": _paper_own,
    "mean of documents": lambda o: percent(o.mean_share),
    "N": COLUMNS["N"],
    "dirty": COLUMNS["dirty"],
    "dirty share": lambda o: f"{o.dirty / o.documents:.1%}",
    "GPT-3: dirty": _paper_dirty,
    "too short": lambda o: f"{o.short:,}",
}

_CSV = (
    "task", "n", "document", "words", "overlap_seen", "overlap", "runs_seen", "runs", "verdict", "passage", "source",
    "training_document",
)  # fmt: skip


def as_csv(overlaps: Sequence[Overlap]) -> str:
    """Return a row per document."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_CSV)
    for overlap in overlaps:
        for row in _rows(overlap):
            cells = (row[name] for name in _CSV)
            writer.writerow([sinks.csv_cell(cell) if isinstance(cell, str) else cell for cell in cells])
    return file.getvalue()


def _rows(overlap: Overlap) -> list[dict[str, Any]]:
    return [
        {
            "task": overlap.task, "n": overlap.n, "document": v.document, "words": v.length,
            "overlap_seen": v.overlap_seen, "overlap": v.overlap, "runs_seen": v.seen, "runs": v.runs,
            "verdict": "dirty" if v.dirty else "clean", "passage": v.passage, "source": v.source,
            "training_document": v.training_document if v.training_document >= 0 else None,
        }
        for v in overlap.verdicts
    ]  # fmt: skip


def as_json(overlaps: Sequence[Overlap], facts: Mapping[str, Any]) -> str:
    """Return everything. facts: about the corpus and the scores, any JSON values."""
    tasks = [
        {
            "task": o.task, "n": o.n, "documents": o.documents, "dirty": o.dirty, "short": o.short,
            "overlap_seen": o.overlap_seen, "overlap": o.overlap, "own_seen": o.own_seen,
            "mean_share": o.mean_share,
            "verdicts": [{name: value for name, value in row.items() if name not in ("task", "n")} for row in _rows(o)],
        }
        for o in overlaps
    ]  # fmt: skip
    return json.dumps({**facts, "tasks": tasks}, indent=1, ensure_ascii=False) + "\n"
