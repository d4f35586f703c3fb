"""Ladders of known laws, to choose predictors on and to test them: losses, scores, noise, breaks, plateaus and jumps.

A model's loss is Chinchilla's L(N, D) with constants drawn per ladder, times luck of its own. Its ability is -ln of the
loss above some floor; every task's score is a law of the ability: a power law of the error, a sigmoid, a line, a line
with a break, a jump, nothing; and for perplexities a power law, one with a floor, or nearly nothing. Scores are counts
of right answers; models share a part of their noise, since they answer the same documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from evalkit.forecasts.links import Array
from evalkit.forecasts.observations import Observation

Rng = np.random.Generator

LAWS = ("power", "sigmoid", "flat", "jump", "break", "line")
_OFTEN = (0.3, 0.25, 0.2, 0.08, 0.09, 0.08)


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A ladder's observations, and those of the larger models that are to be forecast."""

    observed: list[Observation]
    targets: list[Observation]


def _sizes(rng: Rng, count: int, smallest: tuple[float, float], steps: tuple[float, float]) -> Array:
    return np.asarray(10 ** rng.uniform(*smallest) * np.cumprod(rng.uniform(*steps, count)))


def _equal_tokens(rng: Rng) -> tuple[Array, Array, int]:
    n = _sizes(rng, int(rng.integers(7, 11)), (7.3, 8.3), (1.5, 3.0))
    return n, np.full(len(n), 10 ** rng.uniform(10.5, 12)), 2


def _proportional(rng: Rng) -> tuple[Array, Array, int]:
    n = _sizes(rng, int(rng.integers(5, 9)), (7.3, 8.5), (1.5, 2.6))
    return n, n * rng.uniform(15, 60), 1


def _grid(rng: Rng) -> tuple[Array, Array, int]:
    n = 190e6 * np.array([1, 1.9, 3.1, 4, 6.6])[-int(rng.integers(4, 6)) :]
    per_parameter = np.array([10.0, 20.0, 40.0, 100.0, 200.0])[: int(rng.integers(3, 6))]
    larger = n[-1] * rng.uniform(2, 3.2)
    pairs = [(a, a * t) for a in n for t in per_parameter]
    pairs += [(larger, larger * t) for t in (per_parameter[0], per_parameter[-1])]
    sizes, tokens = np.array(pairs).T
    return sizes, tokens, 2


def _far(rng: Rng) -> tuple[Array, Array, int]:
    n = _sizes(rng, int(rng.integers(4, 7)), (7.8, 8.3), (1.6, 2.6))
    per_parameter = rng.uniform(20, 100)
    larger = n[-1] * np.array([2.3, 4.3])
    return np.append(n, larger), np.append(n, larger * 3) * per_parameter, 2


def _few(rng: Rng) -> tuple[Array, Array, int]:
    n = _sizes(rng, int(rng.integers(4, 6)), (7.5, 9.0), (2.0, 3.5))
    return n, np.full(len(n), 10 ** rng.uniform(10.5, 12)), 1


def _tiny(rng: Rng) -> tuple[Array, Array, int]:
    n = _sizes(rng, int(rng.integers(5, 7)), (5.0, 6.0), (1.7, 2.6))
    return n, np.full(len(n), 10 ** rng.uniform(6.5, 8.5)), 1


# Each gives N and D of the models, in the order of size, and how many of the last ones are to be forecast.
SHAPES: Mapping[str, Callable[[Rng], tuple[Array, Array, int]]] = {
    "equal tokens": _equal_tokens, "tokens in proportion": _proportional, "grid of N and D": _grid, "far": _far,
    "few sizes": _few, "tiny, saturating": _tiny,
}  # fmt: skip


def ladder(shape: str, *, seed: int, tasks: int | None = None, laws: tuple[str, ...] | None = None) -> Simulated:
    """Draw a ladder. tasks: how many, None: drawn too; laws: of shares, None for all and for perplexities."""
    rng = np.random.default_rng(seed)
    n, d, held = SHAPES[shape](rng)
    loss, ability = _trained(rng, n, d, steep=shape.startswith("tiny"))
    fitted = ability[:-held]
    # The largest model that is observed stands at 0, the smallest near -1.
    ability = (ability - fitted[-1]) / (np.ptp(fitted) + 1e-9)
    shared = rng.uniform(0.2, 0.7)
    simulated = Simulated(observed=[], targets=[])
    for i in range(tasks or int(rng.choice([2, 6, 12, 30, 60]))):
        ratio = laws is None and rng.random() < 0.2
        law = "perplexity" if ratio else str(rng.choice(laws) if laws else rng.choice(LAWS, p=_OFTEN))
        chance = float(rng.choice([0, 0.25, 0.5], p=[0.3, 0.4, 0.3]))
        count = int(rng.choice([100, 250, 500, 1000, 2000, 10000], p=[0.15, 0.2, 0.15, 0.25, 0.2, 0.05]))
        values, errors = (
            _perplexities(rng, ability, shared) if ratio else _shares(rng, law, ability, chance, count, shared)
        )
        for j, value in enumerate(values):
            observation = Observation(
                model=f"m{j}", family="simulated", parameters=float(n[j]), tokens=float(d[j]), loss=float(loss[j]),
                task=f"{law} {i}", metric="ppl" if ratio else "acc", value=float(value), stderr=float(errors[j]),
                n=count, chance=None if ratio else 100 * chance, ceiling=None if ratio else 100.0,
                higher_is_better=not ratio,
            )  # fmt: skip
            (simulated.observed if j < len(n) - held else simulated.targets).append(observation)
    return simulated


def _trained(rng: Rng, n: Array, d: Array, *, steep: bool) -> tuple[Array, Array]:
    """Return the models' losses and abilities."""
    floor = rng.uniform(1.5, 2.0)
    if steep:
        loss = floor + rng.uniform(0.3, 1.0) * (n / n[0]) ** -rng.uniform(0.5, 1.5)
    else:
        alpha, beta = rng.uniform(0.25, 0.45), rng.uniform(0.22, 0.38)
        loss = floor + rng.uniform(0.5, 1.4) * (n / 1e8) ** -alpha + rng.uniform(0.6, 1.2) * (d / 2e9) ** -beta
    loss = loss * (1 + rng.uniform(0, 0.01) * rng.standard_normal(len(n)))
    return loss, -np.log(loss - floor * (rng.uniform(0, 0.8) if steep else rng.uniform(0.3, 0.9)))


def _true_share(rng: Rng, law: str, u: Array, chance: float) -> Array:
    if law == "power":
        share = 1 - rng.uniform(0.15, 1 - chance) * np.exp(-rng.uniform(0, 0.9) * u)
        return np.asarray(np.where(share < chance, chance + (share - chance) / 10, share))
    if law == "sigmoid":
        height = (1 - chance) * rng.uniform(0.5, 1)
        return np.asarray(chance + height / (1 + np.exp(-rng.uniform(0.5, 5) * (u - rng.normal()))))
    if law == "flat":
        return np.full(len(u), chance + rng.normal(0, 0.03) + (0 if chance else 0.05))
    if law == "jump":
        height = (1 - chance) * rng.uniform(0.2, 0.9)
        return np.asarray(chance + height / (1 + np.exp(-rng.uniform(8, 25) * (u - rng.uniform(-0.7, 0.5)))))
    if law == "break":
        before, after, at = rng.uniform(0, 0.3), rng.uniform(-0.05, 0.5), rng.uniform(-0.8, 0.2)
        return np.asarray(rng.uniform(chance + 0.05, 0.8) + np.where(u < at, before, after) * (u - at))
    assert law == "line"
    return np.asarray(rng.uniform(chance, 0.85) + rng.uniform(-0.02, 0.35) * u)


def _shares(rng: Rng, law: str, u: Array, chance: float, count: int, shared: float) -> tuple[Array, Array]:
    """Return percentages and their standard errors."""
    jitter = rng.choice([0, 0.01, 0.02]) * rng.uniform(0, 2)
    share = np.clip(_true_share(rng, law, u, chance) + jitter * rng.standard_normal(len(u)), 0.005, 0.995)
    noise = np.sqrt(share * (1 - share) / count) * _noise(rng, len(u), shared)
    share = np.clip(np.round((share + noise) * count) / count, 0, 1)
    inside = np.clip(share, 0.5 / count, 1 - 0.5 / count)
    return 100 * share, 100 * np.sqrt(inside * (1 - inside) / count)


def _perplexities(rng: Rng, u: Array, shared: float) -> tuple[Array, Array]:
    """Return perplexities and their standard errors."""
    error = rng.uniform(0.01, 0.06)
    kind = rng.choice(["power", "floor", "flat"], p=[0.5, 0.25, 0.25])
    if kind == "power":
        y = np.log(rng.uniform(3, 60)) - rng.uniform(0.1, 1.5) * u
    elif kind == "floor":
        y = np.log(rng.uniform(2, 5)) + np.logaddexp(0, rng.uniform(-2, 1) - rng.uniform(0.5, 3) * u)
    else:
        y = np.log(rng.uniform(2, 8)) - rng.uniform(-0.1, 0.15) * u
    y = y + rng.choice([0, 0.02, 0.05]) * rng.standard_normal(len(u)) + error * _noise(rng, len(u), shared)
    return np.exp(y), error * np.exp(y)


def _noise(rng: Rng, models: int, shared: float) -> Array:
    """Return standard normal noise of models, of which a share of the variance is common to all."""
    return np.asarray(np.sqrt(shared) * rng.standard_normal() + np.sqrt(1 - shared) * rng.standard_normal(models))
