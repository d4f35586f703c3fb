"""How often the 90% intervals of a fit cover the true constants: in 85 to 95% of simulations, they should.

Minutes of computing: `pytest tests/benchmarks/test_coverage.py --benchmark-only -s` prints the shares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evalkit.report.trends import scaling

Benchmark = Callable[..., Any]
TRUE = {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}  # Hoffmann et al. 2022, equation 10
NOISE = 0.01  # standard deviation of log L
SIMULATIONS = 150
ERROR = (0.9 * 0.1 / SIMULATIONS) ** 0.5  # standard error of a share: 0.024


def grid(rng: np.random.Generator, points: int) -> scaling.Law:
    """Sizes and tokens drawn over the range of Hoffmann et al."""
    n, d = np.exp(rng.uniform(np.log([[4e7], [5e9]]), np.log([[1.6e10], [5e11]]), (2, points)))
    curve = TRUE["E"] + TRUE["A"] * n ** -TRUE["alpha"] + TRUE["B"] * d ** -TRUE["beta"]
    return scaling.chinchilla(n, d, curve * np.exp(NOISE * rng.standard_normal(points)), refits=200)


def ladder(rng: np.random.Generator, points: int) -> scaling.Law:
    """Sizes only, evenly spaced on the logarithmic axis."""
    n = np.geomspace(1e6, 1e10, points)
    curve = TRUE["E"] + TRUE["A"] * n ** -TRUE["alpha"]
    return scaling.power_law(n, curve * np.exp(NOISE * rng.standard_normal(points)), refits=400)


def coverage(
    make: Callable[[np.random.Generator, int], scaling.Law], points: int, simulations: int
) -> dict[str, float]:
    """Return the share of simulations in which each constant's interval covers the true one."""
    laws = [make(np.random.default_rng(seed), points) for seed in range(simulations)]
    inside = {
        name: [law.interval(name)[0] <= TRUE[name] <= law.interval(name)[1] for law in laws] for name in laws[0].names
    }
    return {name: sum(hits) / simulations for name, hits in inside.items()}


@pytest.mark.parametrize(
    ("make", "points"), [(ladder, 5), (ladder, 6), (ladder, 8), (ladder, 40), (grid, 60), (grid, 200)]
)
def test_coverage(make: Any, points: int, benchmark: Benchmark) -> None:
    found = benchmark.pedantic(coverage, args=(make, points, SIMULATIONS), rounds=1)
    print(f"\n{make.__name__} of {points} points, {SIMULATIONS} simulations: {found}")
    assert all(0.85 - 2 * ERROR <= share <= 0.95 + 2 * ERROR for share in found.values())
