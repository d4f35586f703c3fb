"""How well `evalkit compare` decides: size, power, coverage and false "same" of its verdicts, on simulated systems.

    python tests/benchmarks/measure_verdicts.py [--samples 500] [--seed 0] [--only TEXT]

Each row is a kind of score and a number of documents, or of passages with ten questions each. A pair of systems is
equal, worse by the margin, or worse or better by twice the margin; documents differ in difficulty, and passages change
as a whole. "Losses only": nothing changes but that a few documents lose everything. In percent of samples:

    size           equal systems called better or worse; the same in any of twenty tasks, after Holm's correction
    power          systems that differ by twice the margin called worse, or better; z: by the unpaired z-test of
                   lm-evaluation-harness
    cover          intervals that hold the true change, of equal systems and of those at the margin
    false "same"   systems at the margin called the same; the same in any of twenty tasks
    "same"         equal systems shown to be within the margin, as the only task and as one of twenty
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from evalkit import metrics
from evalkit.comparison.verdicts import holm
from evalkit.metrics.base import Array
from evalkit.stats.paired import LEAST_UNITS, Units, equivalence, gather, interval, p_value

Rng = np.random.Generator
# Draws `samples` pairs of systems of n documents, the new one worse by so many margins -> base and new, each
# (samples, n, k) statistics.
Population = Callable[[Rng, int, int, float], tuple[Array, Array]]

ALPHA = 0.05
DOCUMENTS, PASSAGES = (10, 30, 100, 300, 1000), (3, 5, 10, 20, 50)
_QUESTIONS = 10
_TASKS = 20
_RESAMPLES = 999
_TAILS = 8  # times as many samples of equal systems and of those at the margin, for what twenty tasks rest on
_MANY = 1_000_000  # documents of which the true change of a metric of sums is taken


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of score. margin: in the metric's points; NaN: what the population's documents make of it."""

    metric: str
    population: Population
    margin: float = math.nan
    passages: bool = False


def accuracy(*, gained: float, margin: float, alike: float = 0.0) -> Population:
    """0/1 scores of which a share `gained` is gained and lost anyway, and more is lost. alike: within passages."""

    def draw(rng: Rng, samples: int, n: int, margins: float) -> tuple[Array, Array]:
        lost, gains = (_rates(rng, share, samples, n, alike) for share in (gained + margin * margins, gained))
        outcome, right = rng.random((samples, n)), rng.random((samples, n)) < 0.6
        losing, gaining = outcome < lost, outcome > 1.0 - gains
        base, new = (right | losing) & ~gaining, (right | gaining) & ~losing
        return base[..., None].astype(float), new[..., None].astype(float)

    return draw


def overlap(*, redrawn: float, margin: float, alike: float = 0.0) -> Population:
    """F1, many of 0 and 1, a share of them drawn anew, and more lost entirely."""

    def draw(rng: Rng, samples: int, n: int, margins: float) -> tuple[Array, Array]:
        base, other = (rng.binomial(8, rng.beta(0.4, 0.6, (samples, n))) / 8.0 for _ in range(2))
        new = np.where(rng.random((samples, n)) < _rates(rng, redrawn, samples, n, alike), other, base)
        lost = _rates(rng, margin * margins / 0.4, samples, n, alike)
        return base[..., None], np.where(rng.random((samples, n)) < lost, 0.0, new)[..., None]

    return draw


def texts(*, noise: float, margin: float, rare: float = 1.0) -> Population:
    """Log-likelihoods and words of texts of very unequal length; a share `rare` of them loses `margin` nats a word."""

    def draw(rng: Rng, samples: int, n: int, margins: float) -> tuple[Array, Array]:
        words = np.maximum(5.0, np.round(rng.lognormal(4.0, 1.0, (samples, n))))
        base = -words * rng.normal(3.5, 0.5, (samples, n))
        moved = noise * (words + 6.0 * np.sqrt(words)) * rng.standard_normal((samples, n))
        share, loss = (1.0, margin * margins) if rare == 1.0 else (rare * margins, margin)
        lost = words * np.where(rng.random((samples, n)) < share, loss, 0.0)
        return np.stack([base, words], axis=-1), np.stack([base + moved - lost, words], axis=-1)

    return draw


def translations(*, redrawn: float, margin: float = 0.0, rare: float = 0.0) -> Population:
    """Matches of n-grams, some sentences `redrawn`, by a share `margin` worse, and a `rare` share of them lost."""

    def draw(rng: Rng, samples: int, n: int, margins: float) -> tuple[Array, Array]:
        words = rng.integers(8, 45, (samples, n))
        totals = np.stack([words - order for order in range(4)], axis=-1)
        ease = rng.beta(4, 4, (samples, n))
        rates = np.stack([0.3 + 0.5 * ease, 0.1 + 0.5 * ease, 0.02 + 0.4 * ease, 0.3 * ease], axis=-1)
        base, other = (rng.binomial(totals, share * rates) for share in (1.0, 1.0 - margin * margins))
        anew, lost = ((rng.random((samples, n)) < share)[..., None] for share in (redrawn, rare * margins))
        new = np.where(lost, 0, np.where(anew, other, base))
        lengths = np.repeat(words[..., None], 2, axis=-1)
        base, new = (np.concatenate([lengths, side, totals], axis=-1).astype(float) for side in (base, new))
        return base, new

    return draw


def _rates(rng: Rng, share: float, samples: int, n: int, alike: float) -> Array:
    """Return the chance of each document, alike within passages by this correlation."""
    if not alike or not share:
        return np.full((samples, n), share)
    size = (1.0 - alike) / alike
    drawn = rng.beta(share * size, (1.0 - share) * size, (samples, n // _QUESTIONS))
    return np.repeat(drawn, _QUESTIONS, axis=1)


KINDS = {
    "accuracy": Kind(metric="acc", population=accuracy(gained=0.05, margin=0.05), margin=5.0),
    "accuracy, losses only": Kind(metric="acc", population=accuracy(gained=0.0, margin=0.05), margin=5.0),
    "F1": Kind(metric="f1", population=overlap(redrawn=0.2, margin=0.03), margin=3.0),
    "F1, rare losses only": Kind(metric="f1", population=overlap(redrawn=0.0, margin=0.012), margin=1.2),
    "perplexity per word": Kind(metric="ppl_word", population=texts(noise=0.05, margin=0.02)),
    "perplexity, rare losses only": Kind(metric="ppl_word", population=texts(noise=0.0, margin=1.0, rare=0.03)),
    "BLEU": Kind(metric="bleu", population=translations(redrawn=0.5, margin=0.03)),
    "BLEU, rare losses only": Kind(metric="bleu", population=translations(redrawn=0.0, rare=0.03)),
    "accuracy, passages": Kind(
        metric="acc", population=accuracy(gained=0.05, margin=0.15, alike=0.2), margin=15.0, passages=True
    ),
    "F1, passages": Kind(
        metric="f1", population=overlap(redrawn=0.2, margin=0.1, alike=0.2), margin=10.0, passages=True
    ),
}  # fmt: skip


def units_of(base: Array, new: Array, *, passages: bool) -> Units:
    """Pair (n, k) statistics."""
    n = len(base)
    clusters: NDArray[np.int64] = np.arange(n) // (_QUESTIONS if passages else 1)
    return gather(base[:, None], new[:, None], np.ones((n, 1), dtype=np.bool_), clusters)


def true_change(kind: Kind, margins: float) -> float:
    """Return new - base of a large sample, in the metric's own units."""
    base, new = kind.population(np.random.default_rng(99), 1, _MANY, margins)
    before, after = units_of(base[0], new[0], passages=False).values(metrics.get(kind.metric))
    return after - before


def z_test(units: Units) -> float:
    """Return the p of lm-evaluation-harness's comparison script: the systems' documents as if unpaired."""
    error = math.sqrt((units.base[:, 0].var(ddof=1) + units.new[:, 0].var(ddof=1)) / len(units))
    z = abs(float(units.gains.mean())) / error if error else 0.0
    return 2.0 * (1.0 - NormalDist().cdf(z))


def any_of(ps: list[float], level: float, rng: Rng) -> tuple[float, float]:
    """Return how often any of twenty tasks is rejected after Holm's correction, and how often each of them is."""
    drawn = np.asarray(ps)[rng.integers(len(ps), size=(len(ps), _TASKS))]
    groups = [[p <= level for p in holm(row)] for row in drawn.tolist()]
    return float(np.any(groups, axis=1).mean()), float(np.mean(groups))


def row(kind: Kind, count: int, *, samples: int, rng: Rng, margin: float) -> list[float]:
    """Return the figures of one row, as shares; NaN where a kind has none. margin: in the metric's own units."""
    metric, n = metrics.get(kind.metric), count * (_QUESTIONS if kind.passages else 1)
    sign = 1.0 if metric.higher_is_better else -1.0

    def pairs(margins: float, times: int = 1) -> Iterator[Units]:
        for _ in range(times):
            for base, new in zip(*kind.population(rng, samples, n, margins), strict=True):
                yield units_of(base, new, passages=kind.passages)

    ps, shown = [], []
    for i, units in enumerate(pairs(0.0, times=_TAILS)):
        ps.append(p_value(metric, units, resamples=_RESAMPLES, seed=i)[0])
        shown.append(equivalence(metric, units, margin))
    false = [equivalence(metric, units, margin) for units in pairs(1.0, times=_TAILS)]
    worse = list(pairs(2.0))
    powers = [_power(metric, worse, -sign), _power(metric, [_swapped(u) for u in pairs(2.0)], sign)]
    z = float(np.mean([z_test(u) <= ALPHA for u in worse])) if metric.share and not kind.passages else math.nan
    covers = [_cover(metric, pairs(margins), -sign * margins * margin) for margins in (0.0, 1.0)]
    (any_called, _), (any_false, _) = any_of(ps, ALPHA, rng), any_of(false, ALPHA / 2.0, rng)
    alone = [float(np.mean(np.asarray(tail) <= ALPHA / 2.0)) for tail in (false, shown)]
    return [
        float(np.mean(np.asarray(ps) <= ALPHA)), any_called, *powers, z, *covers, alone[0], any_false, alone[1],
        any_of(shown, ALPHA / 2.0, rng)[1],
    ]  # fmt: skip


def _swapped(units: Units) -> Units:
    """Exchange the systems."""
    documents = units.documents and _swapped(units.documents)
    return Units(base=units.new, new=units.base, single=units.single, documents=documents)


def _power(metric: metrics.Metric, pairs: Iterable[Units], sign: float) -> float:
    """Return how often a change is significant in the true direction."""
    found = ((p_value(metric, u, resamples=_RESAMPLES, seed=i)[0], u.values(metric)) for i, u in enumerate(pairs))
    return float(np.mean([p <= ALPHA and sign * (new - base) > 0 for p, (base, new) in found]))


def _cover(metric: metrics.Metric, pairs: Iterable[Units], change: float) -> float:
    """Return how many of the intervals hold the true change; NaN where fewer than half of the samples have one."""
    bounds = [interval(metric, u) for u in pairs]
    inside = [low <= change <= high for low, high in bounds if not math.isnan(low)]
    return float(np.mean(inside)) if 2 * len(inside) > len(bounds) else math.nan


HEADER = (
    "scores", "n", "size", "of 20", "power: worse", "better", "z", "cover: equal", "at margin", 'false "same"', "of 20",
    '"same"', "of 20",
)  # fmt: skip


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--samples",
        type=int,
        default=500,
        help="per figure; 500 leave an error of one point at 95%%, of 0.3 points in sizes",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose name holds this text")
    arguments = parser.parse_args()
    began = time.time()
    print(f"| {' | '.join(HEADER)} |\n| --- |{' ---: |' * (len(HEADER) - 1)}")
    for name, kind in KINDS.items():
        if arguments.only not in name:
            continue
        rng, metric = np.random.default_rng(arguments.seed), metrics.get(kind.metric)
        margin = abs(true_change(kind, 1.0)) if math.isnan(kind.margin) else kind.margin / metric.scale
        for count in PASSAGES if kind.passages else DOCUMENTS:
            assert count >= LEAST_UNITS
            figures = row(kind, count, samples=arguments.samples, rng=rng, margin=margin)
            cells = ("-" if math.isnan(x) else f"{100 * x:.1f}" for x in figures)
            print(f"| {name} (margin {metric.scale * margin:.2g}) | {count:,} | {' | '.join(cells)} |", flush=True)
    tails = _TAILS * arguments.samples
    print(f'\n{arguments.samples:,} samples a figure, {tails:,} of sizes and "same", {time.time() - began:.0f} s')


if __name__ == "__main__":
    main()
