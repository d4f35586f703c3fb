"""The peak speed of matrix products on this machine, of which a training's speed is reported as a share."""

from __future__ import annotations

import time

import torch

_SECONDS = 0.2


def matmul_peak(*, dtype: torch.dtype, device: str) -> float:
    """Return floating-point operations per second of a large square product, the best within a fifth of a second.

    A product of N x N matrices counts 2 N^3. On a CPU all threads of this process take part.
    """
    size = 768 if device == "cpu" else 8192
    left, right = torch.ones(2, size, size, dtype=dtype, device=device)
    best, beginning = float("inf"), time.perf_counter()
    while time.perf_counter() - beginning < _SECONDS:
        start = time.perf_counter()
        left @ right
        if device != "cpu":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return float(2 * size**3 / best)
