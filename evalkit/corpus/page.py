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
    """Return the page: the result, what was left out and why, each source's share, the tasks whose text was found."""
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
            + [("passages with evaluation text, and the pieces that they leave too short", "", statistics.cut)],
        ),
        "",
        "## Sources",
        "",
        *_sources(statistics),
    ]
    return "\n".join(lines + _tasks(statistics)) + "\n"


def held_out(statistics: Statistics) -> str:
    """Describe in a sentence what is held out for validation."""
    count = statistics.validation_documents
    if not statistics.split:
        return f"{count:,} documents are held out for validation."
    if count:
        stretches = "stretch of a long one is" if count == 1 else "stretches of long ones are"
        return f"Too few documents to hold some out: {count:,} {stretches} held out for validation."
    return (
        "Nothing is held out for validation: there are too few documents, and none is long enough to hold out a part."
    )


def page_of(folder: Path) -> str:
    """Return the page of a corpus folder; if it has none (text written without a build), a summary of its index."""
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
        (name, counts.documents, counts.characters, counts.tokens, f"{counts.bytes / counts.tokens:.3f}")
        for name, counts in statistics.sources.items()
    ]
    remark = [f"\nand {len(rows) - _MOST_SOURCES:,} more in stats.json"] if len(rows) > _MOST_SOURCES else []
    return _table(("source", "documents", "characters", "tokens", "bytes per token"), rows[:_MOST_SOURCES]) + remark


def _tasks(statistics: Statistics) -> list[str]:
    """Describe the search for evaluation text, and list the tasks of which some was found."""
    if not statistics.tasks:
        return ["", "Evaluation text was not searched for."]
    found = [(name, task) for name, task in statistics.tasks.items() if task.places]
    not_found = [name for name, task in statistics.tasks.items() if not task.places]
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
        f"Searched for without a match: {', '.join(not_found) or 'none'}.",
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table, its numbers with commas and aligned to the right."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    for row in rows:
        cells = (f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return lines
