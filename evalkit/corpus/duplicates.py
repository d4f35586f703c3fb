"""Documents that came before: the same text, or nearly the same words.

Near-duplicates are found by MinHash (Broder 1997) over runs of five words, in bands of locality-sensitive hashing, as
GPT-3 did it (Brown et al. 2020, appendix A). A signature has 512 bytes and stays on disk; in memory a document costs
about 100 bytes while the bands are gone through one at a time, whatever its length.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evalkit.corpus.word_hashes import grams

PERMUTATIONS = 128
SHINGLE = 5
_SEED = 1
_BLOCK = 1 << 20  # shingles hashed at a time
_PAIRS = 1 << 16  # signatures compared at a time


def signature(words: NDArray[np.uint64]) -> NDArray[np.uint32] | None:
    """Return the MinHash signature, (PERMUTATIONS,), of a document's words; None where they are too few to compare."""
    import rensa

    shingles = grams(words, n=SHINGLE)
    if not len(shingles):
        return None
    bounds = np.array([*range(0, len(shingles), _BLOCK), len(shingles)], dtype=np.uint64)
    # The minima of the blocks' minima are those of the whole.
    rows = rensa.RMinHash.digest_matrix_from_flat_token_hashes(shingles, bounds, PERMUTATIONS, _SEED).to_rows()
    minima: NDArray[np.uint32] = np.array(rows, dtype=np.uint32).min(axis=0)
    return minima


def same(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Say of each document whether an earlier one has the same key. keys: (documents, 2), 128 bits of a hash."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable, so equal keys stay in their order
    repeated = np.zeros(len(keys), dtype=bool)
    ordered = keys[order]
    repeated[order[1:]] = (ordered[1:] == ordered[:-1]).all(axis=1)
    return repeated


def alike(signatures: NDArray[np.uint32], *, threshold: float) -> NDArray[np.bool_]:
    """Say of each document whether an earlier one is alike, or is linked to it by documents alike one by one.

    signatures: (documents, PERMUTATIONS), perhaps on disk. threshold: the Jaccard similarity that two signatures have
    to show, by the share of their places that are equal.
    """
    parents = np.arange(len(signatures))
    rows = _rows(threshold)
    for start in range(0, PERMUTATIONS - rows + 1, rows):
        keys = np.concatenate(
            [grams(block.T.astype(np.uint64), n=rows)[0] for block in _blocks(signatures[:, start : start + rows])]
            or [np.zeros(0, dtype=np.uint64)]
        )
        order = np.argsort(keys, kind="stable")
        equal = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
        for first in range(0, len(equal), _PAIRS):
            places = equal[first : first + _PAIRS]
            _join(parents, order[places], order[places + 1], signatures, threshold)
    linked: NDArray[np.bool_] = parents != np.arange(len(parents))
    return linked


def _rows(threshold: float) -> int:
    """Return the rows of a band such that two documents at the threshold share a band with a chance of 95% or more."""
    for rows in range(PERMUTATIONS, 1, -1):
        if 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= 0.95:
            return rows
    return 1


def _blocks(signatures: NDArray[np.uint32]) -> Iterator[NDArray[np.uint32]]:
    for start in range(0, len(signatures), _PAIRS):
        yield signatures[start : start + _PAIRS]


def _join(
    parents: NDArray[np.int64],
    earlier: NDArray[np.int64],
    later: NDArray[np.int64],
    signatures: NDArray[np.uint32],
    threshold: float,
) -> None:
    """Link the pairs whose signatures are alike; the earliest document of a group is its root."""
    similar = (signatures[earlier] == signatures[later]).mean(axis=1) >= threshold
    for a, b in zip(earlier[similar].tolist(), later[similar].tolist(), strict=True):
        one, other = _root(parents, a), _root(parents, b)
        parents[max(one, other)] = min(one, other)


def _root(parents: NDArray[np.int64], index: int) -> int:
    """Follow the links to the first document of a group, halving the way for the next."""
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = int(parents[index])
    return index
