"""How many documents find a real regression: `evalkit compare` against lm-eval's unpaired z-test.

    python tests/benchmarks/measure_power.py LATER EARLIER [--power 0.8] [--simulations 1000] [--seed 0]

LATER and EARLIER are runs of two checkpoints of one training. Documents (whole passages where they share one) are
drawn with replacement from what both runs scored, so that the effect and the correlation between the checkpoints are
the real ones; the smallest number that finds the loss with the wanted power is searched for each test. The z-test is
that of lm-evaluation-harness's comparison script: the difference over the root of the summed squared standard errors.
Only metrics whose value is a mean over documents have such an error there; tasks where EARLIER is not worse are left
out, and so are losses of less than --least standardised units, which neither test would find in a benchmark's size.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np

from evalkit import metrics
from evalkit.comparison.baseline import read
from evalkit.comparison.comparable import pair_up
from evalkit.metrics.base import Array, Metric
from evalkit.stats.mcnemar import mcnemar
from evalkit.stats.paired import Units, randomisation

_LARGEST = 200_000


def z_test(rows: Array) -> float:
    """Return the p of the unpaired test on (n, 2) scores."""
    error = np.sqrt((rows.var(axis=0, ddof=1) / len(rows)).sum())
    z = abs(rows[:, 1].mean() - rows[:, 0].mean()) / error if error else 0.0
    return 2 * (1 - NormalDist().cdf(z))


def paired_test(metric: Metric) -> Callable[[Array], float]:
    """Return the test that `evalkit compare` makes of (n, 2) scores."""

    def test(rows: Array) -> float:
        if metric.binary and np.isin(rows, (0.0, 1.0)).all():
            step = rows[:, 1] - rows[:, 0]
            return mcnemar(int((step > 0).sum()), int((step < 0).sum()))
        ones = np.ones(len(rows))
        units = Units(base=np.column_stack([rows[:, 0], ones]), new=np.column_stack([rows[:, 1], ones]), single=True)
        return 1.0 if units.identical else randomisation(metric, units, resamples=399)[0]

    return test


def power(test: Callable[[Array], float], rows: Array, n: int, *, simulations: int, seed: int) -> float:
    """Return how often a test of n drawn documents is significant and has the sign right."""
    rng = np.random.default_rng(seed)
    sign = np.sign(rows[:, 1].mean() - rows[:, 0].mean())
    hits = 0
    for _ in range(simulations):
        drawn = rows[rng.integers(len(rows), size=n)]
        hits += bool((drawn[:, 1].mean() - drawn[:, 0].mean()) * sign > 0 and test(drawn) <= 0.05)
    return hits / simulations


def needed(test: Callable[[Array], float], rows: Array, *, wanted: float, simulations: int, seed: int) -> float:
    """Return the smallest number of documents with the wanted power, to about 3%."""
    low, high = 4, 8
    while power(test, rows, high, simulations=simulations // 4, seed=seed) < wanted:
        low, high = high, 2 * high
        if high > _LARGEST:
            return float("inf")
    low //= 2
    while high - low > max(1, high // 33):
        middle = (low + high) // 2
        if power(test, rows, middle, simulations=simulations, seed=seed) < wanted:
            low = middle
        else:
            high = middle
    return high


def main() -> None:
    """Search both numbers for every task, print them and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, metavar="LATER")
    parser.add_argument("new", type=Path, metavar="EARLIER")
    parser.add_argument("--power", type=float, default=0.8)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--least", type=float, default=0.03, help="smallest loss in standard deviations of the change")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pairs, _ = pair_up(read(arguments.base), read(arguments.new))
    print(f"{'task':18}{'metric':16}{'n':>5}{'base':>9}{'new':>9}{'r':>6}{'paired':>9}{'z-test':>9}{'ratio':>7}")
    for pair in pairs:
        for name in pair.metrics:
            metric, units = metrics.get(name), pair.units(name)
            if units.base.shape[1] != 2:  # a corpus metric
                continue
            # The mean of a passage stands for it; of single documents it is the score itself.
            rows = np.column_stack([units.base[:, 0] / units.base[:, 1], units.new[:, 0] / units.new[:, 1]])
            step = rows[:, 1] - rows[:, 0]
            if not step.std() or -step.mean() / step.std() < arguments.least:
                continue
            search = {"wanted": arguments.power, "simulations": arguments.simulations, "seed": arguments.seed}
            ours, theirs = needed(paired_test(metric), rows, **search), needed(z_test, rows, **search)
            before, after = (value * metric.scale for value in units.values(metric))
            r = np.corrcoef(rows.T)[0, 1]
            told = f"{pair.base.task:18}{name:16}{len(rows):5}{before:9.3f}{after:9.3f}{r:6.2f}"
            print(f"{told}{ours:9,.0f}{theirs:9,.0f}{ours / theirs:7.2f}", flush=True)


if __name__ == "__main__":
    main()
