"""Contamination as text: the columns that the terminal, Markdown and CSV share."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from evalkit import sinks
from evalkit.contamination.scores import Split
from evalkit.contamination.verdicts import Overlap
from evalkit.papers.contamination import contaminations, overlaps
from evalkit.stats.intervals import Interval


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


def _figure(value: float, scale: float) -> str:
    return "-" if math.isnan(value) else f"{value * scale:.{1 if abs(scale) > 1 else 2}f}"


def _interval(value: float, low: float, high: float, scale: float, *, brief: bool = False) -> str:
    """Return a value with its interval. brief: the interval of a percentage in whole percent."""
    ends = ["-" if math.isnan(end) else f"{end * scale:.0f}" if brief and scale > 1 else _figure(end, scale)
            for end in (low, high)]  # fmt: skip
    return f"{_figure(value, scale)}{'' if math.isnan(low) else f' [{ends[0]}, {ends[1]}]'}"


def _clean(split: Split, *, brief: bool = False) -> str:
    return _side(split.clean_minus_dirty.first, split.scale, brief=brief) if split.clean else "-"


def _dirty(split: Split, *, brief: bool = False) -> str:
    return _side(split.clean_minus_dirty.second, split.scale, brief=brief) if split.dirty else "-"


def _side(side: Interval, scale: float, *, brief: bool = False) -> str:
    return _interval(side.value, side.low, side.high, scale, brief=brief)


def _difference(split: Split, *, brief: bool = False) -> str:
    d = split.clean_minus_dirty
    return _interval(d.size, d.low, d.high, split.scale, brief=brief)


def _change(split: Split) -> str:
    return "-" if math.isnan(split.change) else f"{100 * split.change:+.1f}%"


def _paper_change(split: Split) -> str:
    paper = contaminations().get(split.task)
    return "-" if paper is None else f"{paper.change:+.0f}%"


def _p(split: Split) -> str:
    p = split.clean_minus_dirty.p
    return "-" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


# Columns of the terminal, then those of the page.
SCORES: Mapping[str, Callable[[Split], str]] = {
    "task": lambda s: s.task,
    "K": lambda s: str(s.shots),
    "clean": partial(_clean, brief=True),
    "dirty": partial(_dirty, brief=True),
    "clean - dirty": partial(_difference, brief=True),
    "p": _p,
    "change": _change,
}
FULL_SCORES: Mapping[str, Callable[[Split], str]] = {
    "model": lambda s: s.model,
    "task": lambda s: f"{s.task} ({s.template})" if s.template else s.task,
    "metric": lambda s: s.metric,
    "shots": SCORES["K"],
    "all": lambda s: _side(s.whole, s.scale),
    "clean documents": lambda s: f"{s.clean:,}",
    "clean": _clean,
    "dirty documents": lambda s: f"{s.dirty:,}",
    "dirty": _dirty,
    "clean - dirty": _difference,
    "p": _p,
    "test": lambda s: s.clean_minus_dirty.method,
    "change": _change,
    "GPT-3: change": _paper_change,
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


def scores_csv(splits: Sequence[Split]) -> str:
    """Return a row per score."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    rows = [_split(split) for split in splits]
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([sinks.csv_cell(cell) if isinstance(cell, str) else cell for cell in row.values()])
    return file.getvalue()


def _split(split: Split) -> dict[str, Any]:
    """Return a score in plain values, percent where the metric is; None for what there is not."""
    d = split.clean_minus_dirty
    values = {
        f"{name}{end}": getattr(side, end.removeprefix("_") or "value") * split.scale
        for name, side in (("all", split.whole), ("clean", d.first), ("dirty", d.second))
        for end in ("", "_low", "_high")
    }
    values |= {"difference": d.size * split.scale, "low": d.low * split.scale, "high": d.high * split.scale, "p": d.p}
    values |= {"change": split.change}
    return {
        "model": split.model, "task": split.task, "shots": split.shots, "template": split.template,
        "metric": split.metric, "clean_documents": split.clean, "dirty_documents": split.dirty, "test": d.method,
        **{name: None if math.isnan(value) else value for name, value in values.items()},
    }  # fmt: skip


def as_json(overlaps: Sequence[Overlap], splits: Sequence[Split], facts: Mapping[str, Any]) -> str:
    """Return everything. facts: about the corpus, any JSON values."""
    tasks = [
        {
            "task": o.task, "n": o.n, "documents": o.documents, "dirty": o.dirty, "short": o.short,
            "overlap_seen": o.overlap_seen, "overlap": o.overlap, "own_seen": o.own_seen,
            "mean_share": o.mean_share,
            "verdicts": [{name: value for name, value in row.items() if name not in ("task", "n")} for row in _rows(o)],
        }
        for o in overlaps
    ]  # fmt: skip
    return (
        json.dumps({**facts, "scores": [_split(s) for s in splits], "tasks": tasks}, indent=1, ensure_ascii=False)
        + "\n"
    )
