"""From raw documents to a part: what one process does with its share of the sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np

from evalkit.corpus import parts
from evalkit.corpus.contamination import EvaluationText
from evalkit.corpus.duplicates import signature
from evalkit.corpus.filters import reason_against, text_of
from evalkit.corpus.formats import Raw
from evalkit.corpus.recipe import Recipe
from evalkit.corpus.word_hashes import WordHasher


@dataclass(frozen=True)
class Reader:
    """Cleans, filters and hashes documents; every process has one, with a cache of word hashes."""

    recipe: Recipe
    evaluation: EvaluationText

    @cached_property
    def _hasher(self) -> WordHasher:
        return WordHasher()

    def write_part(self, path: Path, raws: Sequence[Raw]) -> None:
        """Write the documents that pass the filters, and count the others by reason."""
        entries: list[parts.Entry] = []
        removed: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for raw in raws:
            if raw.left_out:
                removed[raw.left_out] += 1
                continue
            text = text_of(raw)
            if reason := reason_against(text, raw, self.recipe):
                removed[reason] += 1
                characters[reason] += len(text)
            else:
                entries.append(self._entry(text, raw))
        counts = {"documents": len(raws), "removed": removed, "characters": characters}
        parts.write(path, entries, counts)

    def _entry(self, text: str, raw: Raw) -> parts.Entry:
        words = self._hasher(text)
        return parts.Entry(
            text=text,
            source=raw.source,
            key=np.frombuffer(sha256(text.encode()).digest()[:16], dtype="<u8"),
            signature=signature(words) if self.recipe.near_duplicates else None,
            hits=self.evaluation.find(text, words),
        )
