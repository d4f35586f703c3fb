"""The statistics of a corpus as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from evalkit.corpus import shards
from evalkit.corpus.contamination import COMMON, MARGIN, MOST_PIECES, N
from evalkit.corpus.shards import CorpusInfo
from evalkit.corpus.statistics import Statistics

_MOST_SOURCES = 50


def markdown(info: CorpusInfo, statistics: Statistics) -> str:
    """Return the page: what was made, what was left out and why, what each source gave, which tasks' text was found."""
    total = statistics.total
    lines = [
        f"# The corpus {info.name}",
        "",
        _summary(info),
        "",
        f"{total.bytes / total.tokens:.3f} bytes of UTF-8 per token. {held_out(statistics)}",
        "",
        f"## Left out, of {statistics.read:,} documents read",
        "",
        *_table(
            ("reason", "documents", "characters"),
            [(reason, out.documents, out.characters) for reason, out in statistics.removed.items()]
            + [("passages with evaluation text, and what too short a piece they leave", "", statistics.cut)],
        ),
        "",
        "## Sources",
        "",
        *_sources(statistics),
    ]
    return "\n".join(lines + _tasks(statistics)) + "\n"


def held_out(statistics: Statistics) -> str:
    """Say in a sentence what is held out for validation."""
    count = statistics.validation_documents
    if not statistics.split:
        return f"{count:,} documents are held out for validation."
    if count:
        return f"Too few documents to hold some out: {count:,} stretches of long ones are held out for validation."
    return "Nothing is held out for validation: too few documents, and none long enough to hold out a part of it."


def page_of(folder: Path) -> str:
    """Return the page of a corpus folder; where it has none (text written as it is), what its index says."""
    path = folder / "stats.md"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    info = shards.load(folder).info
    return f"# The corpus {info.name}\n\n{_summary(info)}\n"


def _summary(info: CorpusInfo) -> str:
    return (
        f"{info.documents:,} documents, {info.characters:,} characters, {info.tokens:,} tokens, of them "
        f"{info.validation_tokens:,} for validation. Fingerprint {info.fingerprint}."
    )


def _sources(statistics: Statistics) -> list[str]:
    rows = [
        (name, made.documents, made.characters, made.tokens, f"{made.bytes / made.tokens:.3f}")
        for name, made in statistics.sources.items()
    ]
    more = [f"\nand {len(rows) - _MOST_SOURCES:,} more in stats.json"] if len(rows) > _MOST_SOURCES else []
    return _table(("source", "documents", "characters", "tokens", "bytes per token"), rows[:_MOST_SOURCES]) + more


def _tasks(statistics: Statistics) -> list[str]:
    """Say how evaluation text was looked for, and list the tasks of which some was found."""
    if not statistics.tasks:
        return ["", "Evaluation text was not looked for."]
    found = [(name, task) for name, task in statistics.tasks.items() if task.places]
    vain = [name for name, task in statistics.tasks.items() if not task.places]
    rows = [(name, t.examples, t.short, t.documents, t.places, t.removed) for name, t in found]
    return [
        "",
        "## Evaluation text",
        "",
        f"Runs of {N} words that a document shares with a task are cut out with {MARGIN} characters on either side, "
        f"and documents that fall into more than {MOST_PIECES} pieces are left out (Brown et al. 2020, appendix C); "
        f"runs in more than {COMMON} documents are common phrases. A run that several tasks have counts for the first.",
        "",
        *_table(("task", "examples", "too short to find", "documents", "runs found", "documents left out"), rows),
        "",
        f"Looked for in vain: {', '.join(vain) or 'none'}.",
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lay a table out in Markdown, numbers with commas and to the right."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    for row in rows:
        cells = (f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return lines
