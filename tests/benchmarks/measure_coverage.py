"""How often the 95% intervals hold the true value: of a run's values, of groups, of means over seeds.

    python tests/benchmarks/measure_coverage.py [--samples 1000] [--seed 0] [--only bleu]

Each sample draws units (documents, or passages with their questions) from a population whose value is known, or
measured on some 100,000 units, and takes the interval that `evalkit run` and `report` show. Prints the share
of samples whose interval holds the true value, in percent, as Markdown. Lower than 95 claims too much. Where values are
few and coarse (a share of 0.02 of five documents) no interval can do without covering more often. The share of
independent documents that are right is not drawn: its coverage is the exact sum over all that can be drawn.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from evalkit import metrics
from evalkit.metrics.base import Array
from evalkit.stats import intervals as stats
from evalkit.stats.seeds import with_seeds

UNITS = (2, 3, 5, 10, 20, 60, 200)
# Units that the true value of a ratio is measured on.
_MANY = 120_000

Rng = np.random.Generator
Clusters = NDArray[np.intp]
Sample = tuple[Array, Clusters]  # (n, k) statistics, the unit of each document
Population = Callable[[Rng, int], Sample]


def _questions(rng: Rng, m: int, kind: str) -> Clusters:
    """Give m passages their questions: none beside itself, 20 each, or unlike numbers (1 to about 90)."""
    sizes = {"alone": np.ones(m), "equal": np.full(m, 20), "unlike": np.maximum(1, np.exp(rng.normal(2, 1, m)))}[kind]
    return np.repeat(np.arange(m), np.round(sizes).astype(int))


def right(share: float, *, kind: str = "alone", within: float = 0.0) -> Population:
    """Right or wrong. within: the correlation of two answers on one passage (beta-binomial)."""

    def draw(rng: Rng, m: int) -> Sample:
        unit = _questions(rng, m, kind)
        rates = np.full(m, share)
        if within:
            rates = rng.beta(share * (1 - within) / within, (1 - share) * (1 - within) / within, m)
        return (rng.random(len(unit)) < rates[unit])[:, None].astype(float), unit

    return draw


def shared_words(*, kind: str = "alone", sparse: bool = False) -> Population:
    """F1 of short answers: many nought, many one, sevenths between; sparse: nine in ten are nought."""
    low, high = (1.5, 2.5) if sparse else (-0.5, 0.8)

    def draw(rng: Rng, m: int) -> Sample:
        unit = _questions(rng, m, kind)
        skill = rng.standard_normal(len(unit)) + rng.normal(0, 0 if kind == "alone" else 0.8, m)[unit]
        return np.round(7 * np.clip((skill - low) / (high - low), 0, 1))[:, None] / 7, unit

    return draw


def texts(*, skew: float) -> Population:
    """Log-likelihoods of texts with log-normal lengths; longer ones are easier, some are hard."""

    def draw(rng: Rng, m: int) -> Sample:
        words = np.maximum(3, np.round(np.exp(rng.normal(5, skew, m))))
        nats = 3.3 + rng.normal(0, 0.3, m) + rng.gamma(2, 0.2, m) - 0.1 * np.log(words / 150)
        return np.column_stack([-words * (nats + rng.normal(0, 1.5, m) / np.sqrt(words)), words]), np.arange(m)

    return draw


def last_words(rng: Rng, m: int) -> Sample:
    """Log-likelihoods of one word each: skewed, so that a perplexity of a few is far from that of all."""
    return -rng.gamma(1.2, 2.5, m)[:, None], np.arange(m)


def translations(level: float, *, kind: str = "alone") -> Population:
    """Counts of matching n-grams; level: of the words."""

    def draw(rng: Rng, m: int) -> Sample:
        unit = _questions(rng, m, kind)
        n = len(unit)
        words = np.maximum(4, np.round(np.exp(rng.normal(3, 0.5, n)))).astype(int)
        skill = math.log(level / (1 - level)) + rng.normal(0, 0.7, n) + rng.normal(0, 0.7, m)[unit]
        rates = 1 / (1 + np.exp(-skill))
        totals = np.stack([words - order for order in range(4)], axis=1)
        found = rng.binomial(totals, np.stack([rates ** (1 + 0.8 * order) for order in range(4)], axis=1))
        return np.column_stack([words, np.round(words * np.exp(rng.normal(0.05, 0.15, n))), found, totals]), unit

    return draw


def labels(name: str, *cells: float) -> Population:
    """Classes: how often each (the outer loop) is answered as each, scored by `mcc`, `label_f1` or `macro_f1`."""
    classes = math.isqrt(len(cells))
    marks = np.eye(classes)

    def draw(rng: Rng, m: int) -> Sample:
        gold, answered = np.divmod(rng.choice(len(cells), p=np.asarray(cells) / sum(cells), size=m), classes)
        if name == "mcc":
            rows = np.eye(len(cells))[len(cells) - 1 - (answered * classes + gold)]
        elif name == "label_f1":
            rows = np.column_stack([gold * answered, answered, gold]).astype(float)
        else:
            both = [marks[gold] * marks[answered], marks[gold] + marks[answered]]
            rows = np.stack(both, axis=-1).reshape(m, -1)
        return rows, np.arange(m)

    return draw


def numbers(rng: Rng, m: int) -> Sample:
    """Scores of 0 to 5 that correlate with the right ones."""
    y = rng.integers(0, 26, m) / 5
    x = np.round((0.8 * (y - 2.5) / 1.5 + 0.6 * rng.standard_normal(m)) * 1.5 + 2.5, 1)
    return np.column_stack([x, y, x * x, y * y, x * y]), np.arange(m)


POPULATIONS: Mapping[str, tuple[str, Population]] = {
    **{f"acc {p:g}, passages of 20": ("acc", right(p, kind="equal", within=0.1)) for p in (0.5, 0.1, 0.02, 0.98)},
    **{f"acc {p:g}, unlike passages": ("acc", right(p, kind="unlike", within=0.1)) for p in (0.5, 0.1, 0.02, 0.98)},
    **{f"acc {p:g}, unlike, alike within": ("acc", right(p, kind="unlike", within=0.4)) for p in (0.5, 0.1)},
    "f1, documents": ("f1", shared_words()),
    "f1 mostly 0, documents": ("f1", shared_words(sparse=True)),
    "f1, unlike passages": ("f1", shared_words(kind="unlike")),
    "f1 mostly 0, unlike passages": ("f1", shared_words(kind="unlike", sparse=True)),
    "perplexity per word, like lengths": ("ppl_word", texts(skew=0.3)),
    "perplexity per word, skewed lengths": ("ppl_word", texts(skew=1.0)),
    "perplexity of last words": ("ppl", last_words),
    "bits per byte, skewed lengths": ("bits_per_byte", texts(skew=1.0)),
    "bleu 26, documents": ("bleu", translations(0.5)),
    "bleu 13, documents": ("bleu", translations(0.3)),
    "bleu 26, unlike passages": ("bleu", translations(0.5, kind="unlike")),
    "mcc 0.5": ("mcc", labels("mcc", 30, 15, 10, 45)),
    "mcc 0, one class rare": ("mcc", labels("mcc", 5, 25, 10, 60)),
    "mcc 0, both rare": ("mcc", labels("mcc", 1, 9, 9, 81)),
    "mcc of three classes": ("mcc", labels("mcc", 35, 8, 2, 10, 30, 2, 3, 3, 7)),
    "f1 of a class of 30%": ("label_f1", labels("label_f1", 60, 10, 25, 5)),
    "f1 of a class of 3%": ("label_f1", labels("label_f1", 94, 3, 2, 1)),
    "macro f1, one class rare": ("macro_f1", labels("macro_f1", 85, 5, 3, 7)),
    "macro f1 of three classes": ("macro_f1", labels("macro_f1", 35, 8, 2, 10, 30, 2, 3, 3, 7)),
    "pearson 0.8": ("pearson", numbers),
}


def true_value(metric: metrics.Metric, population: Population) -> float:
    """Score a large sample."""
    rows, _ = population(np.random.default_rng(99), _MANY)
    return float(metric.aggregate(rows.sum(axis=0), np.asarray(float(len(rows)))))


def counted(shares: Iterable[float], n: int) -> float:
    """Return the least chance, over these shares, that the interval of n independent documents holds the share."""
    bounds = [stats.binomial(k / n, size=n) for k in range(n + 1)]
    return min(
        sum(
            chance
            for chance, (low, high) in zip(binom(n, p).pmf(range(n + 1)), bounds, strict=True)
            if low <= p <= high
        )
        for p in shares
    )


def values(name: str, population: Population, m: int, samples: int, rng: Rng) -> float:
    """Return the share of a run's intervals that hold the true value."""
    metric = metrics.get(name)
    true, inside = true_value(metric, population), 0
    for _ in range(samples):
        rows, unit = population(rng, m)
        found = stats.interval(metric, rows, [str(u) for u in unit] if len(unit) > m else None)
        inside += found.low <= true <= found.high
    return inside / samples


def groups(m: int, samples: int, rng: Rng) -> float:
    """Return the share of intervals of a mean of three tasks, one with twice the documents, that hold it."""
    metric, inside = metrics.get("acc"), 0
    for _ in range(samples):
        parts, value = [], 0.0
        for share, size in ((0.3, m), (0.5, m), (0.8, 2 * m)):
            rows = right(share)(rng, size)[0]
            table = np.column_stack([rows, np.ones(size)])
            value += float(rows.mean()) / 3
            parts.append(stats.noise(stats.deviations(metric, table) / 3, np.ones(size)))
        low, high = stats.bounds(value, stats.pooled(parts), least=0.0, most=1.0)
        inside += low <= (0.3 + 0.5 + 0.8) / 3 <= high
    return inside / samples


def seeds(count: int, spread: float, samples: int, rng: Rng) -> float:
    """Return the share of intervals of a mean over trainings; spread: of the seeds in errors of the documents."""
    inside = 0
    for _ in range(100 * samples):
        each = spread * rng.standard_normal(count)
        value = float(each.mean() + rng.standard_normal())
        low, high = with_seeds(value, 1.96, 1.96, per_seed=each.tolist())
        inside += low <= 0 <= high
    return inside / (100 * samples)


def rows(samples: int, seed: int, only: str) -> Iterator[list[str]]:
    """Yield the table's lines."""
    exact = {f"acc {p:g}, documents": (p,) for p in (0.5, 0.1, 0.02, 0.98)}
    for label, shares in (exact | {"acc, documents, the worst of 999 shares": np.arange(1, 1000) / 1000}).items():
        if only in label:
            yield [label, *(f"{100 * counted(shares, m):.1f}" for m in UNITS)]
    for label, (name, population) in POPULATIONS.items():
        if only in label:
            rng = np.random.default_rng(seed)
            sizes = [m for m in UNITS if m >= metrics.get(name).fewest]
            found = [f"{100 * values(name, population, m, samples, rng):.1f}" for m in sizes]
            yield [label, *["none"] * (len(UNITS) - len(found)), *found]
    if only in (label := "group of three tasks, acc"):
        rng = np.random.default_rng(seed)
        yield [label, *(f"{100 * groups(m, samples, rng):.1f}" for m in UNITS)]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000, help="per figure; 1000 leave an error of 0.7 points")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    arguments = parser.parse_args()
    began = time.time()
    print("| units: | " + " | ".join(map(str, UNITS)) + " |\n| --- |" + " ---: |" * len(UNITS))
    for row in rows(arguments.samples, arguments.seed, arguments.only):
        print("| " + " | ".join(row) + " |", flush=True)
    if not arguments.only:
        spreads, rng = (0.0, 0.3, 1.0, 2.0, 5.0), np.random.default_rng(arguments.seed)
        print("\n| seeds' spread / documents' error: | " + " | ".join(map(str, spreads)) + " |")
        print("| --- |" + " ---: |" * len(spreads))
        for count in (2, 3, 5):
            shares = (f"{100 * seeds(count, spread, arguments.samples // 10, rng):.1f}" for spread in spreads)
            print(f"| mean of {count} trainings | " + " | ".join(shares) + " |")
    print(f"\n{arguments.samples:,} samples a figure, {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
