"""Everything that is drawn at random to judge a value: signs for the paired test, points for the bootstrap of a fit.

Scores have intervals without resampling (stats.intervals). lm_eval/stderr.py alone draws otherwise, because it repeats
the draws of lm-evaluation-harness.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.base import Array

# Up to this many rows every pattern of signs is enumerated: 2**16 of them.
EXACT_ROWS = 16
_BYTE = 256


def signed_sums(rows: Array, *, resamples: int, seed: int = 0) -> tuple[Array, bool]:
    """Give each of (m, k) rows a random sign and sum -> (resamples, k), and whether the list is complete.

    With at most EXACT_ROWS rows that are not zero every pattern of signs comes once, (2**rows, k).

    Fast enough for 10,000 patterns of 10,000 documents ("four Russians"): what a random byte does to a group of rows is
    worked out once for all 256 bytes, after which a byte of randomness is one look-up. Only additions in a fixed order
    follow, so a seed gives the same bits on every machine.
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


def monte_carlo_p(extreme: int, *, resamples: int) -> float:
    """Return the p of a test by resampling, `extreme` being how many are at least as extreme as what was observed.

    The observation counts as one of them, which makes the test valid at any number of resamples (Phipson and Smyth
    2010).
    """
    return (extreme + 1) / (resamples + 1)


def with_replacement(n: int, *, resamples: int, seed: int) -> NDArray[np.int64]:
    """Draw n of n points, with replacement -> (resamples, n) places."""
    return np.random.default_rng(seed).integers(0, n, (resamples, n))


def counts_with_replacement(n: int, *, resamples: int, rng: np.random.Generator) -> Array:
    """Draw n of n points, with replacement -> (resamples, n), how often each was drawn.

    For fits that weigh their points, all resamples at once.
    """
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def percentile_interval(replicates: Array, *, level: float) -> tuple[Array, Array]:
    """Return the percentile interval of (resamples, ...) values of resampled fits; NaN where there are none."""
    if not len(replicates):
        return np.full(replicates.shape[1:], np.nan), np.full(replicates.shape[1:], np.nan)
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
