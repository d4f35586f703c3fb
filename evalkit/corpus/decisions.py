"""Which documents are kept: the one step that considers all of them at once.

It takes about 100 bytes of memory per document; the signatures, 512 bytes each, are in a file that is read in blocks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from evalkit.corpus import contamination, duplicates, parts
from evalkit.corpus.contamination import Hits
from evalkit.corpus.encoding import Selection
from evalkit.corpus.recipe import Recipe
from evalkit.corpus.shards import is_held_out

KEEP, DUPLICATE, NEAR_DUPLICATE, EVALUATION = range(4)
REASONS = {DUPLICATE: "duplicate", NEAR_DUPLICATE: "near-duplicate", EVALUATION: "evaluation text"}


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """verdicts: of every document, in order. lengths: in characters. bounds: where each part begins, and the end.

    hits: the collisions of documents, by their number, if they have any. common: grams that do not count as collisions.
    split: whether stretches of long documents are held out, because no whole document is.
    """

    verdicts: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    bounds: Sequence[int]
    hits: Mapping[int, Hits]
    common: NDArray[np.uint64]
    split: bool

    @property
    def characters(self) -> int:
        """Characters of the documents that are kept, before passages are cut out."""
        return int(self.lengths[self.verdicts == KEEP].sum())

    @property
    def part_characters(self) -> list[int]:
        """Characters of each part's documents that are kept."""
        lengths = np.where(self.verdicts == KEEP, self.lengths, 0)
        return [int(lengths[start:end].sum()) for start, end in zip(self.bounds, self.bounds[1:], strict=False)]

    def selection(self, part: int, recipe: Recipe) -> Selection:
        """Return which documents of a part are kept, and how they are split."""
        start, end = self.bounds[part : part + 2]
        keep = self.verdicts[start:end] == KEEP
        first = bool(keep.any() and not (self.verdicts[:start] == KEEP).any())
        return Selection(keep=keep, common=self.common, validation=recipe.validation, first=first, split=self.split)


def decide(paths: Sequence[Path], recipe: Recipe) -> Decisions:
    """Read the facts of all parts and decide on each document."""
    lengths, keys, has_signature = [], [], []
    hits: dict[int, Hits] = {}
    bounds = [0]
    with tempfile.TemporaryFile(dir=paths[0].parent if paths else None) as file:
        for path in paths:
            facts = parts.facts(path)
            hits |= {bounds[-1] + i: document_hits for i, document_hits in enumerate(facts.hits) if len(document_hits)}
            lengths.append(facts.lengths)
            keys.append(facts.keys)
            has_signature.append(facts.has_signature)
            file.write(facts.signatures.tobytes())
            bounds.append(bounds[-1] + len(facts.keys))
        verdicts = np.full(bounds[-1], KEEP, dtype=np.uint8)
        if recipe.duplicates and paths:
            verdicts[duplicates.same(np.concatenate(keys))] = DUPLICATE
        if recipe.near_duplicates and paths and file.tell():
            file.flush()
            _mark_near(verdicts, np.flatnonzero(np.concatenate(has_signature)), file, recipe.near_duplicates)
    kept_hits = {number: document_hits for number, document_hits in hits.items() if verdicts[number] == KEEP}
    common = contamination.common_grams(kept_hits.values())
    all_lengths = np.concatenate([*lengths, np.zeros(0, dtype=np.int64)])
    for number, document_hits in kept_hits.items():
        if not contamination.pieces(int(all_lengths[number]), contamination.without(document_hits, common)):
            verdicts[number] = EVALUATION
    kept_keys = np.concatenate([*keys, np.zeros((0, 2), dtype=np.uint64)])[verdicts == KEEP, 0]
    any_held_out = any(
        is_held_out(int(key), recipe.validation) for key in kept_keys[1:]
    )  # the first is always trained on
    split = recipe.validation > 0 and not any_held_out
    return Decisions(verdicts=verdicts, lengths=all_lengths, bounds=bounds, hits=kept_hits, common=common, split=split)


def _mark_near(verdicts: NDArray[np.uint8], numbers: NDArray[np.int64], file: IO[bytes], threshold: float) -> None:
    """Mark the near-duplicates among the documents of these numbers, whose signatures the file holds in that order."""
    signatures = np.memmap(file, dtype=np.uint32, mode="r", shape=(len(numbers), duplicates.PERMUTATIONS))
    near = numbers[duplicates.alike(signatures, threshold=threshold)]
    verdicts[near[verdicts[near] == KEEP]] = NEAR_DUPLICATE
