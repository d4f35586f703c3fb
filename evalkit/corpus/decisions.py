"""Which documents stay: the one step that looks at all of them at once.

In memory it takes about 100 bytes a document; the signatures, 512 bytes each, lie in a file that is read in turn.
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
from evalkit.corpus.encoding import Kept
from evalkit.corpus.recipe import Recipe
from evalkit.corpus.shards import is_held_out

KEEP, DUPLICATE, NEAR_DUPLICATE, EVALUATION = range(4)
REASONS = {DUPLICATE: "duplicate", NEAR_DUPLICATE: "near-duplicate", EVALUATION: "evaluation text"}


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """verdicts: of every document, in order. lengths: their characters. bounds: where each part begins, and the end.

    hits: the collisions of the documents that have some, by their number. common: grams that are none.
    split: whether no document is held out as a whole, so that stretches of long ones are.
    """

    verdicts: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    bounds: Sequence[int]
    hits: Mapping[int, Hits]
    common: NDArray[np.uint64]
    split: bool

    @property
    def characters(self) -> int:
        """Characters of the documents that stay, before passages are cut."""
        return int(self.lengths[self.verdicts == KEEP].sum())

    @property
    def part_characters(self) -> list[int]:
        """Characters of each part's documents that stay."""
        kept = np.where(self.verdicts == KEEP, self.lengths, 0)
        return [int(kept[start:end].sum()) for start, end in zip(self.bounds, self.bounds[1:], strict=False)]

    def kept(self, part: int, recipe: Recipe) -> Kept:
        """Return what is done with the documents of a part."""
        start, end = self.bounds[part : part + 2]
        keep = self.verdicts[start:end] == KEEP
        first = bool(keep.any() and not (self.verdicts[:start] == KEEP).any())
        return Kept(keep=keep, common=self.common, validation=recipe.validation, first=first, split=self.split)


def decide(paths: Sequence[Path], recipe: Recipe) -> Decisions:
    """Go over all parts' facts and decide on each document."""
    lengths, keys, have = [], [], []
    hits: dict[int, Hits] = {}
    bounds = [0]
    with tempfile.TemporaryFile(dir=paths[0].parent if paths else None) as file:
        for path in paths:
            facts = parts.facts(path)
            hits |= {bounds[-1] + i: found for i, found in enumerate(facts.hits) if len(found)}
            lengths.append(facts.lengths)
            keys.append(facts.keys)
            have.append(facts.has_signature)
            file.write(facts.signatures.tobytes())
            bounds.append(bounds[-1] + len(facts.keys))
        verdicts = np.full(bounds[-1], KEEP, dtype=np.uint8)
        if recipe.duplicates and paths:
            verdicts[duplicates.same(np.concatenate(keys))] = DUPLICATE
        if recipe.near_duplicates and paths and file.tell():
            file.flush()
            _mark_near(verdicts, np.flatnonzero(np.concatenate(have)), file, recipe.near_duplicates)
    kept = {number: found for number, found in hits.items() if verdicts[number] == KEEP}
    common = contamination.common_grams(kept.values())
    every = np.concatenate([*lengths, np.zeros(0, dtype=np.int64)])
    for number, found in kept.items():
        if not contamination.pieces(int(every[number]), contamination.without(found, common)):
            verdicts[number] = EVALUATION
    stay = np.concatenate([*keys, np.zeros((0, 2), dtype=np.uint64)])[verdicts == KEEP, 0]
    whole = any(is_held_out(int(key), recipe.validation) for key in stay[1:])  # the first is trained on
    split = recipe.validation > 0 and not whole
    return Decisions(verdicts=verdicts, lengths=every, bounds=bounds, hits=kept, common=common, split=split)


def _mark_near(verdicts: NDArray[np.uint8], numbers: NDArray[np.int64], file: IO[bytes], threshold: float) -> None:
    """Mark the near-duplicates among the documents of these numbers, whose signatures lie in the file in that order."""
    signatures = np.memmap(file, dtype=np.uint32, mode="r", shape=(len(numbers), duplicates.PERMUTATIONS))
    near = numbers[duplicates.alike(signatures, threshold=threshold)]
    verdicts[near[verdicts[near] == KEEP]] = NEAR_DUPLICATE
