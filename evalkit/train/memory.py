"""Keeps freed memory in the process, so that a step's tensors reuse the pages of the step before."""

from __future__ import annotations

import ctypes
import sys

# glibc's malloc.h: how much of the heap may be unused, the number of blocks outside it, the number of heaps.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> None:
    """Tell glibc's allocator not to return large blocks to the system; do nothing on other platforms.

    By default a block of some MB is unmapped when it is freed, and its pages are cleared one by one at the next use.
    A training step frees and allocates the same blocks again and again: clearing them takes a tenth of its time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_MMAP_MAX, 0)
        mallopt(_ARENA_MAX, 1)  # heaps of other threads are returned whatever the threshold
