"""The peak speed of matrix products on this machine, of which a training's speed is reported as a share."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

_SECONDS = 0.1  # for each kind of product


def matmul_peak(*, dtype: torch.dtype, device: str) -> float:
    """Return floating-point operations per second of large products, the best within a fifth of a second.

    Square matrices and a layer over many rows are tried: torch multiplies them by different libraries, one of which can
    be many times slower on a given processor. A product of N x M and M x K matrices counts 2 N M K. On a CPU all
    threads of this process take part.
    """
    size, rows, inner = (768, 4096, 256) if device == "cpu" else (8192, 65536, 2048)
    left, right = torch.ones(2, size, size, dtype=dtype, device=device)
    x = torch.ones(rows, inner, dtype=dtype, device=device)
    weight = torch.ones(4 * inner, inner, dtype=dtype, device=device)
    return max(
        2 * size**3 / _shortest(lambda: left @ right, device),
        2 * rows * inner * 4 * inner / _shortest(lambda: torch.nn.functional.linear(x, weight), device),
    )


def _shortest(product: Callable[[], Tensor], device: str) -> float:
    """Return the least of the seconds that a product takes."""
    best, beginning = float("inf"), time.perf_counter()
    while time.perf_counter() - beginning < _SECONDS:
        start = time.perf_counter()
        product()
        if device != "cpu":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best
