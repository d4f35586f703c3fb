"""Contamination on the terminal, as Markdown, and as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from evalkit import sinks, tables
from evalkit.contamination import figure, texts
from evalkit.contamination.scores import Split
from evalkit.contamination.verdicts import Overlap
from evalkit.files import write_files
from evalkit.report.figures import canvas

# Passages that a page lists for each task, and the characters of one.
_LISTED, _CHARACTERS = 5, 200

_LEGEND = (
    "8-grams: the share of the test's different runs of 8 words that the training text has (Radford et al. 2019, "
    "section 4); GPT-2: the paper's figure for WebText; own: the share in the task's own training split. "
    "Dirty: documents with a run of N words that the training text has, N being the 5th percentile of their lengths, "
    "8 to 13, for made tasks 2 to 13 (Brown et al. 2020, appendix C); GPT-3: the paper's share of dirty documents."
)


_SCORES = (
    "K: shots. Clean - dirty: with its 95% interval, of two sets of different documents; p: that both have one score "
    "(Fisher's exact test for right and wrong, else Welch's t), for each task by itself. Change: of the clean score "
    "relative to that of all documents (Brown et al. 2020, appendix C)."
)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found in a corpus. documents, words: of the corpus. bound: of the chance that a run is falsely seen.

    splits: scores of runs. notes: what a reader has to know besides.
    """

    corpus: str
    documents: int
    words: int
    bound: float
    overlaps: Sequence[Overlap]
    splits: Sequence[Split] = ()
    notes: Sequence[str] = ()

    @property
    def heading(self) -> str:
        """What was searched, in one line."""
        return (
            f"{self.corpus}: {self.documents:,} documents, {self.words:,} words; a run of words is falsely seen with a "
            f"probability below {max(self.bound, 1e-18):.0e}"
        )


def show(findings: Findings, console: Console) -> None:
    """Print what fits a terminal of 80 columns."""
    console.print(Text(findings.heading))
    print_table(console, list(texts.COLUMNS), [[cell(o) for cell in texts.COLUMNS.values()] for o in findings.overlaps])
    console.print(Text(_LEGEND, style="dim"))
    for model in dict.fromkeys(split.model for split in findings.splits):
        console.print(Text(f"\n{model}", style="bold"))
        rows = [[cell(s) for cell in texts.SCORES.values()] for s in findings.splits if s.model == model]
        print_table(console, list(texts.SCORES), rows)
    if findings.splits:
        console.print(Text(_SCORES, style="dim"))
    for note in findings.notes:
        console.print(Text(note, style="yellow"))


def print_table(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table without lines; its first column is a task."""
    tables.show(tables.table(header, rows, gap=1), console)


def write(findings: Findings, out: Path, *, command: str) -> list[Path]:
    """Write the page, the tables and the figure into a folder, and return their paths. Raises StoreError, DiskError."""
    drawn = canvas.render(made) if (made := figure.figure(findings.splits)) else None
    files: dict[str, str | bytes] = {
        "contamination.md": "\n".join(_lines(findings, command, drawn)) + "\n",
        "contamination.csv": texts.as_csv(findings.overlaps),
        "contamination.json": texts.as_json(findings.overlaps, findings.splits, _facts(findings)),
    }
    if findings.splits:
        files["scores.csv"] = texts.scores_csv(findings.splits)
    if drawn:
        files |= {"clean.svg": drawn.svg, "clean.png": drawn.png}
    return write_files(out, files)


def _facts(findings: Findings) -> Mapping[str, Any]:
    return {
        "corpus": findings.corpus, "corpus_documents": findings.documents, "corpus_words": findings.words,
        "false_positives": findings.bound, "notes": list(findings.notes),
    }  # fmt: skip


def _lines(findings: Findings, command: str, drawn: canvas.Drawn | None) -> Iterator[str]:
    yield from ["# Contamination", "", f"Made by {sinks.markdown_code(command)}.", ""]
    yield from [f"{sinks.markdown(findings.heading)}.", "", _LEGEND, ""]
    yield from [f"{sinks.markdown(note)}\n" for note in findings.notes]
    rows = [[cell(overlap) for cell in texts.FULL.values()] for overlap in findings.overlaps]
    yield from sinks.markdown_table(list(texts.FULL), rows)
    yield from ["", "contamination.csv has the verdict on every document.", ""]
    if findings.splits:
        yield from ["## Scores", ""]
        if drawn:
            yield from [f"[![{drawn.figure.title}](clean.png)](clean.svg)", "", drawn.figure.caption, ""]
        yield from [_SCORES, ""]
        scores = [[cell(split) for cell in texts.FULL_SCORES.values()] for split in findings.splits]
        yield from [*sinks.markdown_table(list(texts.FULL_SCORES), scores, left=3), ""]
    for overlap in findings.overlaps:
        if overlap.dirty:
            yield from _passages(overlap)


def _passages(overlap: Overlap) -> Iterator[str]:
    """Yield the dirty documents with the most of their N-grams seen."""
    dirty = sorted((v for v in overlap.verdicts if v.dirty), key=lambda v: (-v.seen / v.runs, v.document))
    more = f", the {_LISTED} most seen of {len(dirty):,}" if len(dirty) > _LISTED else ""
    yield from [f"## {sinks.markdown(overlap.task)}: dirty documents{more}", ""]
    rows = [
        [v.document, f"{v.seen / v.runs:.0%}", v.source or "-", _cut(v.passage)]
        for v in dirty[:_LISTED]
    ]  # fmt: skip
    yield from [*sinks.markdown_table(["document", f"{overlap.n}-grams seen", "source", "passage"], rows, left=4), ""]


def _cut(passage: str) -> str:
    return passage if len(passage) <= _CHARACTERS else f"{passage[:_CHARACTERS]}…"
