"""Signal, noise, and how often small models rank alternatives as large ones do: on plain numbers.

Signal and noise are those of Heineman et al. (2025), "Signal and Noise: A Framework for Reducing Uncertainty in
Language Model Evaluation", in the form of the authors' code (allenai/signal-and-noise, snr/metrics.py): the relative
dispersion of the scores over models, and the relative standard deviation (of the population, not of a sample) of the
last checkpoints' scores. Decision accuracy is that of Magnusson et al. (2025), DataDecide.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from evalkit.stats.intervals import binomial

# Checkpoints, or seeds, from which a spread is computed.
LEAST_CHECKPOINTS, LEAST_SEEDS = 3, 2


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The share of pairs that are ranked alike, with its 95% interval; NaN without pairs, and without an interval.

    A pair that is a tie on one side counts as half. comparisons: how many of the pairs are independent of each other.
    """

    share: float
    low: float
    high: float
    pairs: int
    comparisons: float


NO_AGREEMENT = Agreement(share=math.nan, low=math.nan, high=math.nan, pairs=0, comparisons=0.0)


def signal(scores: Sequence[float]) -> float:
    """Return the relative dispersion of the models' scores: max |m_j - m_k| / mean. NaN for fewer than two models."""
    values = np.asarray(scores, dtype=np.float64)
    if len(values) < 2 or not values.mean():
        return math.nan
    return float(np.ptp(values) / abs(values.mean()))


def noise(scores: Sequence[float], *, last: int) -> float:
    """Return the relative standard deviation of a training's last scores; NaN for fewer than three."""
    values = np.asarray(scores, dtype=np.float64)[-last:]
    if len(values) < LEAST_CHECKPOINTS or not values.mean():
        return math.nan
    return float(values.std() / abs(values.mean()))


def seed_noise(scores: Sequence[float]) -> float:
    """Return the relative standard deviation over trainings with other seeds, of a sample as they are few."""
    values = np.asarray(scores, dtype=np.float64)
    if len(values) < LEAST_SEEDS or not values.mean():
        return math.nan
    return float(values.std(ddof=1) / abs(values.mean()))


def decision_accuracy(small: Mapping[str, float], large: Mapping[str, float]) -> Agreement:
    """Return how often two alternatives rank alike at a small and at a large size.

    small, large: the score of each alternative. Of n alternatives n - 1 comparisons are independent.
    """
    shared = sorted(small.keys() & large.keys())
    alike = [_alike(small[a] - small[b], large[a] - large[b]) for a, b in combinations(shared, 2)]
    return agreement(alike, comparisons=len(shared) - 1.0)


def seed_agreement(sizes: Sequence[Sequence[float]]) -> Agreement:
    """Return how often one training of each of two neighbouring sizes ranks them as the other seeds' means do.

    sizes: the scores of each size's seeds, the smallest size first. Sizes with a single seed are skipped.
    """
    alike, comparisons = [], 0.0
    for small, large in pairwise(sizes):
        if min(len(small), len(large)) < LEAST_SEEDS:
            continue
        for i, one in enumerate(small):
            for j, other in enumerate(large):
                rest = _mean_without(large, j) - _mean_without(small, i)
                alike.append(_alike(other - one, rest))
        comparisons += min(len(small), len(large))
    return agreement(alike, comparisons=comparisons)


def checkpoint_agreement(trajectories: Sequence[Sequence[float]], *, last: int) -> tuple[Agreement, Agreement]:
    """Return how often neighbouring sizes are ranked alike by one checkpoint and by the mean of the others; and by the
    means of two halves, every other checkpoint in each: what averaging buys.

    trajectories: the scores of each size, the smallest first, at the same steps.
    """
    single, halves, pairs = [], [], 0
    for small, large in pairwise(trajectories):
        gaps = (np.asarray(large, dtype=np.float64) - np.asarray(small, dtype=np.float64))[-last:]
        if len(gaps) < LEAST_CHECKPOINTS + 1:
            continue
        pairs += 1
        single += [_alike(gap, (gaps.sum() - gap) / (len(gaps) - 1)) for gap in gaps]
        halves.append(_alike(float(gaps[::2].mean()), float(gaps[1::2].mean())))
    return agreement(single, comparisons=pairs), agreement(halves, comparisons=pairs)


def agreement(alike: Sequence[float], *, comparisons: float) -> Agreement:
    """Return the share of pairs that are alike, with the mid-p interval of as many trials as are independent."""
    if not alike:
        return NO_AGREEMENT
    share = float(np.mean(alike))
    low, high = binomial(share, size=comparisons) if comparisons > 0 else (math.nan, math.nan)
    return Agreement(share=share, low=low, high=high, pairs=len(alike), comparisons=comparisons)


def pooled(agreements: Iterable[Agreement]) -> Agreement:
    """Return the agreement over several sizes. They are ranked against the same large one, so they count once."""
    known = [a for a in agreements if a.pairs]
    if not known:
        return NO_AGREEMENT
    pairs = sum(a.pairs for a in known)
    share = sum(a.share * a.pairs for a in known) / pairs
    comparisons = max(a.comparisons for a in known)
    low, high = binomial(share, size=comparisons) if comparisons > 0 else (math.nan, math.nan)
    return Agreement(share=share, low=low, high=high, pairs=pairs, comparisons=comparisons)


def _alike(one: float, other: float) -> float:
    if not one or not other:
        return 0.5
    return float((one > 0) == (other > 0))


def _mean_without(values: Sequence[float], place: int) -> float:
    return (sum(values) - values[place]) / (len(values) - 1)
