"""How often `evalkit gate` errs, and how many documents it saves.

    python tests/benchmarks/measure_gate.py [--pairs 2000] [--seed 0]
    python tests/benchmarks/measure_gate.py --replay RUN RUN ... [--out reports/gate]

Without --replay: simulated pairs of systems on a suite of six tasks, with a look after every wave. Each task is a
population of units (documents, or passages of them) whose true change is known, because it was built: equal systems
(each unit occurs with the systems exchanged too), or a new system that is worse by exactly the margin, which is where
"same" is wrong most easily. A simulated benchmark is a sample of the population. Printed are the shares of pairs with
any false verdict over the suite, each with its one-sided 95% upper bound; then, for one task, the documents that the
gate reads as a share of those of a fixed test with the same alpha, and the power of both.

With --replay: every two of these stored runs, full comparison against gate on the same records: how often the verdicts
agree, and the documents that the gate did not need, as a figure (SVG and PNG) and a table.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import NormalDist

import numpy as np
from measure_false_alarms import scores, upper_bound

from evalkit import metrics
from evalkit.comparison import baseline, comparison
from evalkit.comparison.evidence import Key
from evalkit.gates.gate import decide
from evalkit.gates.reading import Budget, Order, next_wave
from evalkit.gates.settings import GateSettings
from evalkit.gates.suite import Suite
from evalkit.gates.track import Track
from evalkit.metrics.base import Array
from evalkit.stats.paired import Units

# task, metric, units of the benchmark, passages, mean score
TASKS = (
    ("arc", "acc", 400, False, 0.4), ("copa", "acc", 100, False, 0.7), ("squad", "f1", 300, False, 0.5),
    ("coqa", "acc", 80, True, 0.5), ("wmt", "bleu", 300, False, 0.0), ("wikitext", "ppl_word", 120, False, 0.0),
)  # fmt: skip
_POPULATION = 20_000
_PER_PASSAGE = 8  # documents at most


@dataclass(frozen=True)
class Population:
    """Units of two systems, (m, k + 1) each, and the metric."""

    name: str
    metric: metrics.Metric
    base: Array
    new: Array
    units: int
    passages: bool

    @property
    def change(self) -> float:
        """The true change in points."""
        base, new = Units(base=self.base, new=self.new, single=False).values(self.metric)
        return (new - base) * self.metric.scale

    def sample(self, rng: np.random.Generator) -> Units:
        """Draw a benchmark."""
        rows = rng.integers(len(self.base), size=self.units)
        return Units(base=self.base[rows], new=self.new[rows], single=not self.passages)


def population(
    name: str, metric: str, units: int, passages: bool, mean: float, *, worse: bool, seed: int
) -> Population:
    """Build a population: equal systems, or a new one that loses something on a tenth of the units."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, _PER_PASSAGE + 1, size=_POPULATION // 4) if passages else np.ones(_POPULATION, dtype=int)
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    base, new = scores(metric, len(clusters), clusters, mean, rng)
    if worse:
        hurt = rng.random(len(sizes))[clusters] < 0.1
        new[hurt] = _hurt(metric, new[hurt])
    tables = []
    for side in (base, new):
        table = np.zeros((len(sizes), side.shape[1] + 1))
        np.add.at(table, clusters, np.column_stack([side, np.ones(len(side))]))
        tables.append(table)
    if not worse:
        tables = [np.concatenate(tables), np.concatenate(tables[::-1])]
    return Population(name, metrics.get(metric), tables[0], tables[1], units, passages)


def _hurt(metric: str, statistics: Array) -> Array:
    """Return what is left of documents' scores: nothing, a fifth less likelihood, half of the matching n-grams."""
    if metric == "bleu":
        return np.column_stack([statistics[:, :2], np.floor(statistics[:, 2:6] / 2), statistics[:, 6:]])
    if metric == "ppl_word":
        return statistics * np.array([1.2, 1.0])
    return np.zeros_like(statistics)


def track(one: Population, benchmark: Units, *, margin: float) -> Track:
    """Follow a simulated benchmark."""
    sizes = benchmark.base[:, -1].astype(int)
    order = Order(ids=np.arange(sizes.sum(), dtype=np.uint64), ranks=np.repeat(np.arange(len(sizes)), sizes))
    return Track(
        key=Key(one.name, "plain", 0), family="qa", metric=one.metric, margin=margin, weight=1.0, order=order, seeds=1,
        resamples=999,
    )  # fmt: skip


def run(tracks: Sequence[Track], benchmarks: Sequence[Units], *, alpha: float) -> list[str | None]:
    """Read simulated benchmarks in waves until all are decided -> what is claimed of each."""
    suite = Suite(tracks, alpha=alpha)
    orders = {t.key.task: t.order for t in tracks}
    while wave := next_wave(
        {name: orders[name] for name in sorted(suite.undecided)}, {t.key.task: t.read for t in tracks}, room=math.inf
    ):
        for t, benchmark in zip(tracks, benchmarks, strict=True):
            if (read := wave.get(t.key.task, 0)) > t.read:
                first = Units(base=benchmark.base[:read], new=benchmark.new[:read], single=benchmark.single)
                t.look(first, read=read, documents=t.order.documents(read), alpha=alpha)
    return suite.claims


def false_claims(populations: Sequence[Population], margins: Sequence[float], *, pairs: int, alpha: float, seed: int,
                 wrong: Callable[[str], bool]) -> tuple[int, Counter[str], float]:  # fmt: skip
    """Simulate pairs -> those with any wrong claim, the wrong claims per task, and the share of documents read."""
    rng = np.random.default_rng(seed)
    total, by_task, shares = 0, Counter[str](), []
    for _ in range(pairs):
        benchmarks = [one.sample(rng) for one in populations]
        tracks = [track(one, units, margin=m) for one, units, m in zip(populations, benchmarks, margins, strict=True)]
        claims = run(tracks, benchmarks, alpha=alpha)
        named = [one.name for one, claim in zip(populations, claims, strict=True) if claim and wrong(claim)]
        total += bool(named)
        by_task.update(named)
        shares.append(sum(t.read for t in tracks) / sum(t.order.units for t in tracks))
    return total, by_task, float(np.mean(shares))


def errors(*, pairs: int, alpha: float, seed: int) -> None:
    """Print how often any verdict of a suite is false."""
    equal = [population(*task, worse=False, seed=i) for i, task in enumerate(TASKS)]
    worse = [population(*task, worse=True, seed=i) for i, task in enumerate(TASKS)]
    at_margin = [abs(one.change) for one in worse]
    for words, populations, margins, wrong in (
        ("equal systems: any better or worse", equal, at_margin, lambda claim: claim != "same"),
        ("worse by just the margin: any same or better", worse, at_margin, lambda claim: claim != "worse"),
    ):
        began = time.time()
        count, by_task, share = false_claims(populations, margins, pairs=pairs, alpha=alpha, seed=seed, wrong=wrong)
        bound = upper_bound(count, pairs)
        print(f"{words}: {count} of {pairs} = {count / pairs:.2%}, 95% upper bound {bound:.2%}")
        print(f"  by task: {', '.join(f'{one.name} {by_task[one.name] / pairs:.2%}' for one in populations)}")
        print(
            f"  margins {', '.join(f'{m:.3g}' for m in margins)}; units read {share:.0%}; {time.time() - began:.0f} s"
        )


def savings(*, pairs: int, alpha: float, seed: int) -> None:
    """Print the documents that the gate reads, as a share of those of a fixed test, and the power of both."""
    z = NormalDist().inv_cdf
    print("accuracy, one task; the fixed test has 80% power for a change of the margin (or, last, for the true change)")
    for margin, discordance in ((2.0, 0.1), (2.0, 0.3), (5.0, 0.1), (5.0, 0.3)):
        for change, powered in ((2.0, 1.0), (1.0, 1.0), (0.0, 1.0), (2.0, 2.0)):
            effect = powered * margin / 100
            n = math.ceil((z(1 - alpha / 2) + z(0.8)) ** 2 * discordance / effect**2)
            shift = change * margin / 100
            rng = np.random.default_rng(seed)
            read, claims, fixed = [], Counter[str | None](), 0
            for _ in range(pairs):
                gains = rng.choice([-1.0, 1.0, 0.0], size=n, p=[
                    (discordance + shift) / 2, (discordance - shift) / 2, 1 - discordance])  # fmt: skip
                base = np.column_stack([gains < 0, np.ones(n)]).astype(float)
                units = Units(base=base, new=np.column_stack([base[:, 0] + gains, np.ones(n)]), single=True)
                one = Population("task", metrics.get("acc"), units.base, units.new, n, False)
                t = track(one, units, margin=margin)
                claims.update(run([t], [units], alpha=alpha))
                read.append(t.read / n)
                fixed += abs(gains.sum()) > z(1 - alpha / 2) * math.sqrt((gains**2).sum())
            told = ", ".join(f"{claim or 'undecided'} {count / pairs:.1%}" for claim, count in claims.most_common())
            print(
                f"  margin {margin:g}, {discordance:.0%} differ, change {change:g} margins, fixed n {n:,}: reads "
                f"{np.mean(read):.0%} of it; gate: {told}; fixed test significant {fixed / pairs:.1%}"
            )


@dataclass(frozen=True)
class Replayed:
    """One task of two stored runs: both verdicts, and documents read of all."""

    pair: str
    task: str
    full: str
    gate: str
    read: int
    total: int


def replay(folders: Sequence[Path], *, margin: float, alpha: float, seed: int) -> Iterator[Replayed]:
    """Compare every two runs in full and by the gate."""
    runs = [baseline.read(folder) for folder in folders]
    for base, new in combinations(runs, 2):
        margins = {"": margin}
        full, _ = comparison.compare(base, new, comparison.Settings(alpha=alpha, margins=margins))
        gate = decide(
            base, new, None, settings=GateSettings(alpha=alpha, margins=margins, seed=seed), budget=Budget()
        ).gate
        by_name = {f.name: f for f in gate.findings}
        for f in full.gating:
            g = by_name[f.name]
            yield Replayed(
                f"{base.model['model']} to {new.model['model']}", f.name, f.verdict, g.verdict, g.documents, g.total
            )


def draw(rows: Sequence[Replayed], path: Path) -> None:
    """Draw the share of documents that each verdict took."""
    raise NotImplementedError


def main() -> None:
    """Simulate or replay, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    errors(pairs=arguments.pairs, alpha=arguments.alpha, seed=arguments.seed)
    savings(pairs=max(1, arguments.pairs // 5), alpha=arguments.alpha, seed=arguments.seed)


if __name__ == "__main__":
    main()
