"""How often `evalkit compare` finds a difference between two systems that have none.

    python tests/benchmarks/measure_false_alarms.py [--pairs 2000] [--seed 0]

Each simulated pair is scored on 17 tasks of the sizes and kinds of real benchmarks. Documents differ in difficulty,
and passages are answered well or badly as a whole, apart in each system: a test that takes their documents for
independent would see differences. Prints the share of pairs with any verdict "better" or "worse" (the familywise
error) and with any "worse" (exit code 1), each with its one-sided 95% upper bound, and the same share per task.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np

from evalkit import metrics
from evalkit.comparison.verdicts import holm
from evalkit.metrics.base import Array
from evalkit.stats.paired import gather, p_value

# task, metric, documents, passages (0: every document by itself), mean score
TASKS = (
    ("hellaswag", "acc", 10042, 0, 0.45), ("lambada", "acc", 5153, 0, 0.5), ("nq_open", "exact_match", 3610, 0, 0.08),
    ("boolq", "acc", 3270, 0, 0.6), ("triviaqa", "exact_match", 3000, 0, 0.2), ("piqa", "acc", 1838, 0, 0.7),
    ("winogrande", "acc", 1267, 0, 0.55), ("arc_easy", "acc", 570, 0, 0.5), ("openbookqa", "acc", 500, 0, 0.3),
    ("arc_challenge", "acc", 299, 0, 0.25), ("copa", "acc", 100, 0, 0.7), ("race", "acc", 1000, 281, 0.4),
    ("coqa", "coqa_f1", 7983, 500, 0.5), ("squad", "f1", 1000, 203, 0.4), ("cnn_dailymail", "rougeL", 198, 0, 0.25),
    ("wmt14_fr_en", "bleu", 3003, 0, 0.0), ("wikitext2", "ppl_word", 62, 0, 0.0),
)  # fmt: skip


def scores(metric: str, n: int, clusters: np.ndarray, mean: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw (n, k) statistics of two systems that differ by nothing but chance."""
    difficulty = rng.normal(np.log(mean / (1 - mean)) * 1.7 if mean else 0.0, 2.0, size=n)
    words = rng.integers(8, 45, size=n)
    sides = []
    for _ in range(2):
        rate = 1 / (1 + np.exp(-difficulty - rng.normal(0, 1, size=n)[clusters]))
        if metric == "bleu":
            totals = np.stack([words - order for order in range(4)], axis=1)
            correct = rng.binomial(totals, np.outer(0.3 + 0.4 * rate, [1, 0.6, 0.4, 0.25]))
            sides.append(np.column_stack([words, words + 1, correct, totals]).astype(float))
        elif metric == "ppl_word":
            sides.append(np.column_stack([-words * 40 * (3.2 + 0.2 * difficulty + 0.3 * rate), words * 40.0]))
        elif metrics.get(metric).binary:
            sides.append((rng.random((n, 1)) < rate[:, None]).astype(float))
        else:
            sides.append((rng.binomial(8, rate)[:, None] / 8.0).astype(float))
    return sides[0], sides[1]


def family(rng: np.random.Generator, *, resamples: int) -> list[tuple[float, float]]:
    """Return (p, gain) of every task for one pair of systems."""
    found = []
    for _, name, n, passages, mean in TASKS:
        clusters = np.sort(rng.integers(passages, size=n)) if passages else np.arange(n)
        base, new = scores(name, n, clusters, mean, rng)
        units = gather(base[:, None], new[:, None], np.ones((n, 1), dtype=bool), clusters)
        metric = metrics.get(name)
        before, after = units.values(metric)
        gain = (after - before) * (1 if metric.higher_is_better else -1)
        found.append((p_value(metric, units, resamples=resamples)[0], gain))
    return found


def upper_bound(count: int, n: int) -> float:
    """Return the one-sided 95% upper bound of a rate (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    return float(beta.ppf(0.95, count + 1, n - count)) if count < n else 1.0


def main() -> None:
    """Simulate, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=999, help="the +1 rule makes the tests valid at any number")
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, began = np.random.default_rng(arguments.seed), time.time()
    alarms, regressions, alone = 0, 0, Counter[str]()
    for _ in range(arguments.pairs):
        found = family(rng, resamples=arguments.resamples)
        called = [gain for (_, gain), p in zip(found, holm([p for p, _ in found]), strict=True) if p <= arguments.alpha]
        alarms += bool(called)
        regressions += any(gain < 0 for gain in called)
        alone.update(task[0] for task, (p, _) in zip(TASKS, found, strict=True) if p <= arguments.alpha)
    for words, count in (("any verdict better or worse", alarms), ("any verdict worse (exit 1)", regressions)):
        bound = upper_bound(count, arguments.pairs)
        print(f"{words}: {count} of {arguments.pairs} = {count / arguments.pairs:.2%}, 95% upper bound {bound:.2%}")
    for name, metric, n, passages, _ in TASKS:
        told = f"{n:,} documents" + (f" in {passages} passages" if passages else "")
        print(f"  {name:14} {metric:12} {told:32} p <= {arguments.alpha:g} in {alone[name] / arguments.pairs:.2%}")
    print(f"{time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
