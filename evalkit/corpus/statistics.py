"""What a build read, left out and made: for stats.json, for the page stats.md, and for the terminal."""

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


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Documents left out for one reason, and their characters."""

    documents: int
    characters: int


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a source gave. documents: the pieces of those that were cut singly. tokens: ends of text among them."""

    documents: int = 0
    characters: int = 0
    bytes: int = 0
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Collisions:
    """What a task's text was found in. A run of words that several tasks have counts for the first of them.

    examples: of the task that were read; short: of these the ones with too few words to be found.
    documents: of the corpus that hold its text; places: runs of 13 words. removed: documents left out for it.
    """

    examples: int
    short: int
    documents: int = 0
    places: int = 0
    removed: int = 0


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The whole account. read: documents. removed: by reason. cut: characters cut around evaluation text.

    validation_documents: held out as a whole, or (split) stretches of long ones.
    """

    read: int
    removed: Mapping[str, Removed]
    cut: int
    sources: Mapping[str, Made]
    validation_documents: int
    split: bool
    tasks: Mapping[str, Collisions]

    @property
    def total(self) -> Made:
        """All sources together."""
        return Made(**{name: sum(getattr(made, name) for made in self.sources.values()) for name in asdict(Made())})

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        total = self.total
        return asdict(self) | {"total": asdict(total), "bytes_per_token": round(total.bytes / total.tokens, 4)}


def removed(paths: Iterable[Path], decided: Decisions) -> tuple[int, dict[str, Removed]]:
    """Return how many documents were read, and which were left out for which reason, in the order of the filters."""
    read = 0
    documents: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for path in paths:
        counts = parts.counts(path)
        read += counts["documents"]
        documents.update(counts["removed"])
        characters.update(counts["characters"])
    for verdict, reason in REASONS.items():
        chosen = decided.verdicts == verdict
        documents[reason] += int(chosen.sum())
        characters[reason] += int(decided.lengths[chosen].sum())
    return read, {
        reason: Removed(documents=count, characters=characters[reason]) for reason, count in documents.items() if count
    }


def gather(
    evaluation: EvaluationText, paths: Sequence[Path], decided: Decisions, encoded: Iterable[Encoded]
) -> Statistics:
    """Sum up what all parts gave."""
    read, out = removed(paths, decided)
    made: dict[str, Made] = {}
    held_out = 0
    for part in encoded:
        held_out += part.validation_documents
        for source, counts in part.sources.items():
            before = made.get(source, Made())
            summed = {name: value + new for (name, value), new in zip(asdict(before).items(), counts, strict=True)}
            made[source] = Made(**summed)
    kept = sum(one.characters for one in made.values())
    return Statistics(
        read=read,
        removed=out,
        cut=decided.characters - kept,
        sources=made,
        validation_documents=held_out,
        split=decided.split,
        tasks=_collisions(evaluation, decided),
    )


def _collisions(evaluation: EvaluationText, decided: Decisions) -> dict[str, Collisions]:
    """Count by task; a document that is removed counts for each task whose text it holds."""
    documents: Counter[int] = Counter()
    places: Counter[int] = Counter()
    gone: Counter[int] = Counter()
    for number, hits in decided.hits.items():
        tasks, counts = np.unique(contamination.without(hits, decided.common)[:, 3], return_counts=True)
        for task, count in zip(tasks.tolist(), counts.tolist(), strict=True):
            documents[task] += 1
            places[task] += count
            gone[task] += REASONS.get(int(decided.verdicts[number])) == "evaluation text"
    return {
        name: Collisions(examples=read, short=short, documents=documents[i], places=places[i], removed=gone[i])
        for i, (name, (read, short)) in enumerate(zip(evaluation.names, evaluation.examples, strict=True))
    }
