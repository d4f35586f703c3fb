"""Sums of rows under random signs, fast enough for 10,000 patterns of signs for 10,000 documents.

The trick ("four Russians"): what a random byte does to a group of rows is worked out once for all 256 bytes; then a
byte of randomness is one look-up. Only additions in a fixed order follow, so that a seed gives the
same bits on every machine.
"""

from __future__ import annotations

import numpy as np

from evalkit.metrics.base import Array

# Up to this many rows every pattern of signs is enumerated: 2**16 of them.
EXACT_ROWS = 16
_BYTE = 256


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
