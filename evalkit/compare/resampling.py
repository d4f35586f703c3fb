"""Sums of rows under random signs and under resampling, fast enough for 10,000 resamples of 10,000 documents.

Both use the same trick ("four Russians"): what a random byte does to a group of rows is worked out once for all 256
bytes; then a byte of randomness is one look-up. Only additions in a fixed order follow, so that a seed gives the
same bits on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.base import Array

# Up to this many rows every pattern of signs is enumerated: 2**16 of them.
EXACT_ROWS = 16
_BYTE = 256
# Draws held at once: bounds memory.
_DRAWS = 1 << 19


def signed_sums(rows: Array, *, resamples: int, seed: int = 0) -> tuple[Array, bool]:
    """Give each of (m, k) rows a random sign and sum -> (resamples, k), and whether the list is complete.

    With at most EXACT_ROWS rows that are not zero every pattern of signs comes once, (2**rows, k).
    """
    rows = rows[(rows != 0).any(axis=1)]
    exact = len(rows) <= EXACT_ROWS
    count = 1 << len(rows) if exact else resamples
    sums = np.zeros((count, rows.shape[1]))
    rng = np.random.default_rng(seed)
    signs = np.where(np.unpackbits(np.arange(_BYTE, dtype=np.uint8)[:, None], axis=1, bitorder="little"), 1.0, -1.0)
    for i, start in enumerate(range(0, len(rows), 8)):
        group = rows[start : start + 8]
        table = sum(signs[:, j, None] * row for j, row in enumerate(group))
        drawn = (np.arange(count) >> 8 * i) & 255 if exact else rng.integers(_BYTE, size=count, dtype=np.uint8)
        sums += np.asarray(table)[drawn]
    return sums, exact


def resampled_sums(rows: Array, *, resamples: int, seed: int = 0) -> Array:
    """Sum m rows drawn with replacement from (m, k) rows -> (resamples, k): the bootstrap's sums.

    Rows stand in blocks of 256. How many of the m draws fall into each block is multinomial; within a block a draw is
    a random byte, and two of them index a table of the sums of pairs.
    """
    m = len(rows)
    assert m, "nothing to resample"
    rng = np.random.default_rng(seed)
    blocks = [rows[start : start + _BYTE] for start in range(0, m, _BYTE)]
    counts = rng.multinomial(m, [len(block) / m for block in blocks], size=resamples)
    sums = np.zeros((resamples, rows.shape[1]))
    for block, wanted in zip(blocks, counts.T, strict=True):
        step = max(1, int(_DRAWS / max(1.0, wanted.mean())))
        table = np.zeros((_BYTE, rows.shape[1]))
        table[: len(block)] = block
        pairs = np.ascontiguousarray((table[:, None] + table).reshape(_BYTE * _BYTE, -1).T)
        for start in range(0, resamples, step):
            part = slice(start, start + step)
            sums[part] += _block_sums(table, pairs, wanted[part], size=len(block), rng=rng)
    return sums


def _block_sums(table: Array, pairs: Array, wanted: NDArray[np.int64], *, size: int, rng: np.random.Generator) -> Array:
    """Draw `wanted` rows of one block for each resample and sum them -> (len(wanted), k)."""
    singles = rng.integers(size, size=len(wanted), dtype=np.uint8)
    sums = np.where((wanted % 2 == 1)[:, None], table[singles], 0.0)
    half = wanted // 2
    some = np.flatnonzero(half)
    if len(some):
        drawn = rng.integers(size, size=2 * int(half.sum()), dtype=np.uint8).view(np.uint16).astype(np.intp)
        starts = np.concatenate([[0], np.cumsum(half[some])[:-1]])
        for column, values in enumerate(pairs):
            sums[some, column] += np.add.reduceat(values.take(drawn), starts)
    return sums
