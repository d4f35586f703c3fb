"""What a build has read, left out and produced: for stats.json, stats.md and the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.corpus import contamination, parts
from evalkit.corpus.contamination import EvaluationText
from evalkit.corpus.decisions import REASONS, Decisions
from evalkit.corpus.encoding import Encoded
from evalkit.corpus.formats import BAD_ROWS


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Documents left out for one reason, and their characters."""

    documents: int
    characters: int


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Counts of a source. documents: pieces, if documents were cut. tokens: ends of text included."""

    documents: int = 0
    characters: int = 0
    bytes: int = 0
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Collisions:
    """Where a task's text was found. A run of words that several tasks share counts for the first of them.

    examples: number read from the task; short: those with too few words to be found. documents: of the corpus that
    contain its text; places: runs of 13 words found. removed: documents left out because of it.
    """

    examples: int
    short: int
    documents: int = 0
    places: int = 0
    removed: int = 0


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """All statistics. read: documents. removed: by reason. cut: characters removed around evaluation text.

    validation_documents: whole documents held out or, with `split`, stretches of long ones.
    """

    read: int
    removed: Mapping[str, Removed]
    cut: int
    sources: Mapping[str, Counts]
    validation_documents: int
    split: bool
    tasks: Mapping[str, Collisions]

    @property
    def total(self) -> Counts:
        """All sources together."""
        return Counts(**{name: sum(getattr(made, name) for made in self.sources.values()) for name in asdict(Counts())})

    @property
    def skipped(self) -> int:
        """Bad rows that the build was told to skip."""
        return sum(left_out.documents for reason, left_out in self.removed.items() if reason in BAD_ROWS)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        total = self.total
        return asdict(self) | {"total": asdict(total), "bytes_per_token": round(total.bytes / total.tokens, 4)}


def removed(paths: Iterable[Path], decisions: Decisions) -> tuple[int, dict[str, Removed]]:
    """Return how many documents were read, and how many were left out by reason, in the order of the filters."""
    read = 0
    documents: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for path in paths:
        counts = parts.counts(path)
        read += counts["documents"]
        documents.update(counts["removed"])
        characters.update(counts["characters"])
    for verdict, reason in REASONS.items():
        affected = decisions.verdicts == verdict
        documents[reason] += int(affected.sum())
        characters[reason] += int(decisions.lengths[affected].sum())
    return read, {
        reason: Removed(documents=count, characters=characters[reason]) for reason, count in documents.items() if count
    }


def gather(
    evaluation: EvaluationText, paths: Sequence[Path], decisions: Decisions, encoded: Iterable[Encoded]
) -> Statistics:
    """Sum up the counts of all parts."""
    read, left_out = removed(paths, decisions)
    by_source: dict[str, Counts] = {}
    held_out = 0
    for part in encoded:
        held_out += part.validation_documents
        for source, counts in part.sources.items():
            before = by_source.get(source, Counts())
            summed = {name: value + new for (name, value), new in zip(asdict(before).items(), counts, strict=True)}
            by_source[source] = Counts(**summed)
    kept = sum(counts.characters for counts in by_source.values())
    return Statistics(
        read=read,
        removed=left_out,
        cut=decisions.characters - kept,
        sources=by_source,
        validation_documents=held_out,
        split=decisions.split,
        tasks=_collisions(evaluation, decisions),
    )


def _collisions(evaluation: EvaluationText, decisions: Decisions) -> dict[str, Collisions]:
    """Count by task; a removed document counts for each task whose text it contains."""
    documents: Counter[int] = Counter()
    places: Counter[int] = Counter()
    left_out: Counter[int] = Counter()
    for number, hits in decisions.hits.items():
        tasks, counts = np.unique(contamination.without(hits, decisions.common)[:, 3], return_counts=True)
        for task, count in zip(tasks.tolist(), counts.tolist(), strict=True):
            documents[task] += 1
            places[task] += count
            left_out[task] += REASONS.get(int(decisions.verdicts[number])) == "evaluation text"
    return {
        name: Collisions(examples=read, short=short, documents=documents[i], places=places[i], removed=left_out[i])
        for i, (name, (read, short)) in enumerate(zip(evaluation.names, evaluation.examples, strict=True))
    }
