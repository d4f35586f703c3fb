"""Freed memory stays with the process: a step's tensors land on pages that the step before has left."""

from __future__ import annotations

import ctypes
import sys

# glibc's malloc.h: what the heap may hold unused, blocks outside of it, heaps.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> None:
    """Tell glibc's allocator not to give large blocks back to the system; elsewhere do nothing.

    By default a block of some MB is unmapped when it is freed, and its pages are cleared one by one at the next use.
    A training step frees and takes the same blocks again and again: this is a tenth of its time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_MMAP_MAX, 0)
        mallopt(_ARENA_MAX, 1)  # the heaps of further threads are given back whatever the threshold
