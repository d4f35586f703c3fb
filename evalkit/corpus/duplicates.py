"""Duplicates of earlier documents: the same text, or nearly the same words.

Near-duplicates are found by MinHash (Broder 1997) over runs of five words, in bands of locality-sensitive hashing, as
in GPT-3 (Brown et al. 2020, appendix A). A signature has 512 bytes and stays on disk; a document of any length takes
about 100 bytes of memory while the bands are processed one at a time.
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
    """Return the MinHash signature, (PERMUTATIONS,), of a document's words; None if they are too few to compare."""
    import rensa

    shingles = grams(words, n=SHINGLE)
    if not len(shingles):
        return None
    bounds = np.array([*range(0, len(shingles), _BLOCK), len(shingles)], dtype=np.uint64)
    # The minima of the blocks' minima are those of all shingles.
    rows = rensa.RMinHash.digest_matrix_from_flat_token_hashes(shingles, bounds, PERMUTATIONS, _SEED).to_rows()
    minima: NDArray[np.uint32] = np.array(rows, dtype=np.uint32).min(axis=0)
    return minima


def same(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return for each document whether an earlier one has the same key. keys: (documents, 2), 128 bits of a hash."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable, so equal keys stay in their order
    repeated = np.zeros(len(keys), dtype=bool)
    ordered = keys[order]
    repeated[order[1:]] = (ordered[1:] == ordered[:-1]).all(axis=1)
    return repeated


def alike(signatures: NDArray[np.uint32], *, threshold: float) -> NDArray[np.bool_]:
    """Return for each document whether an earlier one is similar, directly or through a chain of similar documents.

    signatures: (documents, PERMUTATIONS), possibly on disk. threshold: the least Jaccard similarity of two signatures,
    estimated by the share of their values that are equal.
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
    """Return the most rows per band with which two documents at the threshold share a band in 95% of cases or more."""
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
    """Link the pairs whose signatures are similar; the earliest document of a group is its root."""
    similar = (signatures[earlier] == signatures[later]).mean(axis=1) >= threshold
    for a, b in zip(earlier[similar].tolist(), later[similar].tolist(), strict=True):
        root_a, root_b = _root(parents, a), _root(parents, b)
        parents[max(root_a, root_b)] = min(root_a, root_b)


def _root(parents: NDArray[np.int64], index: int) -> int:
    """Follow the links to the first document of a group, halving the path for later calls."""
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = int(parents[index])
    return index
