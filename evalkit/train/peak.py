"""How fast this machine multiplies matrices at best: what a training's speed is a share of."""

from __future__ import annotations

import time

import torch

_SECONDS = 0.2


def matmul_peak(*, dtype: torch.dtype, device: str) -> float:
    """Return floating-point operations per second of a large square product, the best of a fifth of a second's.

    A product of N x N matrices counts 2 N^3. On a processor all threads of this process take part.
    """
    size = 768 if device == "cpu" else 8192
    left, right = torch.ones(2, size, size, dtype=dtype, device=device)
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        left @ right
        if device != "cpu":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return float(2 * size**3 / best)
