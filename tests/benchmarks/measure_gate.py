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
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from evalkit import metrics
from evalkit.comparison import baseline, comparison
from evalkit.comparison.evidence import Key
from evalkit.files import make_folder, write_atomic
from evalkit.gates.gate import decide
from evalkit.gates.reading import Budget, Order, next_wave
from evalkit.gates.settings import GateSettings
from evalkit.gates.suite import Suite
from evalkit.gates.track import Track
from evalkit.metrics.base import Array
from evalkit.report.figures import canvas
from evalkit.stats.paired import Units, p_value

# task, metric, units of the benchmark, passages, mean score
TASKS = (
    ("arc", "acc", 1000, False, 0.4), ("copa", "acc", 200, False, 0.7), ("squad", "f1", 600, False, 0.5),
    ("coqa", "acc", 150, True, 0.5), ("wmt", "bleu", 400, False, 0.0), ("wikitext", "ppl_word", 200, False, 0.0),
)  # fmt: skip
_POPULATION = 20_000
_PER_PASSAGE = 8  # documents at most
_Z = NormalDist().inv_cdf
_ALIKE = 0.7  # of the units, answered alike by both systems, as by two checkpoints of a training


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
    alike = rng.random(len(sizes))[clusters] < _ALIKE
    new[alike] = base[alike]
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


def _hurt(metric: str, statistics: Array) -> Array:
    """Return what is left of documents' scores: nothing, a fifth less likelihood, half of the matching n-grams."""
    if metric == "bleu":
        return np.column_stack([statistics[:, :2], np.floor(statistics[:, 2:6] / 2), statistics[:, 6:]])
    if metric == "ppl_word":
        return statistics * np.array([1.2, 1.0])
    return np.zeros_like(statistics)


def track(one: Population, benchmark: Units, *, margin: float | None) -> Track:
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
    orders = {t.part: t.order for t in tracks}
    while wave := next_wave(
        {part: orders[part] for part in sorted(suite.undecided)}, {t.part: t.read for t in tracks}, room=math.inf
    ):
        for t, benchmark in zip(tracks, benchmarks, strict=True):
            if (read := wave.get(t.part, 0)) > t.read:
                first = Units(base=benchmark.base[:read], new=benchmark.new[:read], single=benchmark.single)
                t.look(first, read=read, documents=t.order.documents(read), alpha=alpha)
    return suite.claims


def false_claims(
    populations: Sequence[Population], margins: Sequence[float], *, pairs: int, alpha: float, seed: int,
    wrong: Callable[[str], bool],
) -> tuple[int, Counter[str], Counter[str], float]:  # fmt: skip
    """Simulate pairs -> those with any wrong claim, wrong and right claims per task, and the share of units read."""
    rng = np.random.default_rng(seed)
    total, false, true, shares = 0, Counter[str](), Counter[str](), []
    for _ in range(pairs):
        benchmarks = [one.sample(rng) for one in populations]
        tracks = [track(one, units, margin=m) for one, units, m in zip(populations, benchmarks, margins, strict=True)]
        claims = zip(populations, run(tracks, benchmarks, alpha=alpha), strict=True)
        named = [(one.name, wrong(claim)) for one, claim in claims if claim]
        false.update(name for name, is_wrong in named if is_wrong)
        true.update(name for name, is_wrong in named if not is_wrong)
        total += any(is_wrong for _, is_wrong in named)
        shares.append(sum(t.read for t in tracks) / sum(t.order.units for t in tracks))
    return total, false, true, float(np.mean(shares))


def errors(part: str, *, pairs: int, alpha: float, seed: int) -> None:
    """Print how often any verdict of a suite is false: of equal systems, or of one that is worse by just the margin."""
    began = time.time()
    worse = [population(*task, worse=True, seed=i) for i, task in enumerate(TASKS)]
    populations = worse if part == "margin" else [population(*t, worse=False, seed=i) for i, t in enumerate(TASKS)]
    right, words = {
        "equal": ("same", "equal systems: any better or worse"),
        "margin": ("worse", "worse by just the margin: any same or better"),
    }[part]
    margins = [abs(one.change) for one in worse]
    count, by_task, claims, share = false_claims(
        populations, margins, pairs=pairs, alpha=alpha, seed=seed, wrong=lambda claim: claim != right
    )
    print(f"{words}: {count} of {pairs} = {count / pairs:.2%}, 95% upper bound {upper_bound(count, pairs):.2%}")
    for one, margin in zip(populations, margins, strict=True):
        kind = "passages" if one.passages else "documents"
        print(
            f"  {one.name:9} {one.metric.name:9} {one.units:5,} {kind:9}  margin {margin:5.3g}  "
            f"false {by_task[one.name] / pairs:6.2%}  right {claims[one.name] / pairs:4.0%}"
        )
    print(f"  units read {share:.0%}; {time.time() - began:.0f} s")


def skewed(*, pairs: int, alpha: float, seed: int) -> None:
    """Print false alarms where few documents lose much and all others gain a little: the perplexity does not change."""
    equal = population(*TASKS[-1], worse=False, seed=0)
    half = len(equal.base) // 2
    for share in (0.1, 0.03):
        base, new = equal.base[:half], equal.new[:half].copy()
        hurt = np.random.default_rng(1).random(len(base)) < share
        new[hurt, :-1] = _hurt(equal.metric.name, new[hurt, :-1])
        new[~hurt, 0] += (base[:, 0].sum() - new[:, 0].sum()) * new[~hurt, 1] / new[~hurt, 1].sum()
        one = replace(equal, base=base, new=new)
        rng, alarms, fixed = np.random.default_rng(seed), 0, 0
        for _ in range(pairs):
            units = one.sample(rng)
            alarms += run([track(one, units, margin=None)], [units], alpha=alpha) != [None]
            fixed += p_value(one.metric, units, resamples=999)[0] <= alpha
        print(
            f"{one.name}, {one.units} documents, of which {share:.0%} lose: change {abs(one.change):.3f}, false alarms "
            f"{alarms / pairs:.1%}, of the comparison in full {fixed / pairs:.1%}"
        )


def savings(*, pairs: int, alpha: float, seed: int) -> None:
    """Print the documents that the gate reads, as a share of those of a fixed test, and the power of both.

    The fixed test has 80% power for a change of the margin, which is what it is there to find; in the last line of each
    block for the true change, as if that were known.
    """
    print("margin  differ  change  fixed n  read  gate: worse  same  better  undecided  fixed test: significant")
    for margin, discordance in ((2.0, 0.1), (2.0, 0.3), (5.0, 0.1), (5.0, 0.3)):
        for change, powered in ((2.0, 1.0), (1.0, 1.0), (0.0, 1.0), (2.0, 2.0)):
            effect, reach = powered * margin / 100, _Z(1 - alpha / 2)
            n = math.ceil((reach + _Z(0.8)) ** 2 * discordance / effect**2)
            rng, read, fixed = np.random.default_rng(seed), 0, 0
            claims = Counter[str | None]()
            for _ in range(pairs):
                units = changed(n, discordance=discordance, shift=change * margin / 100, rng=rng)
                one = Population("task", metrics.get("acc"), units.base, units.new, n, False)
                t = track(one, units, margin=margin)
                claims.update(run([t], [units], alpha=alpha))
                read += t.read
                fixed += abs(units.gains.sum()) > reach * math.sqrt((units.gains**2).sum())
            shares = "  ".join(f"{claims[claim] / pairs:6.1%}" for claim in ("worse", "same", "better", None))
            print(
                f"{margin:6g}  {discordance:6.0%}  {change:6g}  {n:7,}  {read / n / pairs:4.0%}       {shares}"
                f"     {fixed / pairs:6.1%}"
            )


def changed(n: int, *, discordance: float, shift: float, rng: np.random.Generator) -> Units:
    """Draw right and wrong answers to n documents, of which the new system loses a share more than it gains."""
    gained = (discordance - shift) / 2
    gains = rng.choice([1.0, -1.0, 0.0], size=n, p=[gained, gained + shift, 1 - discordance])
    base = (gains < 0).astype(float)
    return Units(base=np.column_stack([base, np.ones(n)]), new=np.column_stack([base + gains, np.ones(n)]), single=True)


@dataclass(frozen=True)
class Replayed:
    """One task of two stored runs: both verdicts, and documents read of all.

    errors: the change in full, in standard errors.
    """

    pair: str
    task: str
    full: str
    gate: str
    read: int
    total: int
    errors: float


def replay(folders: Sequence[Path], *, margin: float, alpha: float, seed: int) -> Iterator[Replayed]:
    """Compare every two runs in full and by the gate."""
    runs = [baseline.read(folder) for folder in folders]
    for base, new in combinations(runs, 2):
        margins = {"": margin}
        full, _ = comparison.compare(base, new, comparison.Settings(alpha=alpha, margins=margins))
        rules = GateSettings(alpha=alpha, margins=margins, seed=seed)
        by_name = {f.name: f for f in decide(base, new, None, settings=rules, budget=Budget()).gate.findings}
        names = f"{base.model['model']} to {new.model['model']}"
        for f in full.gating:
            g = by_name[f.name]
            errors = abs(f.change) / ((f.high - f.low) / 2 / _Z(0.975))
            yield Replayed(names, f.name, f.verdict, g.verdict, g.documents, g.total, errors)


def tell(rows: Sequence[Replayed]) -> None:
    """Print how often the verdicts agree, and the documents that were read."""
    differing = [row for row in rows if row.full != row.gate]
    contrary = [row for row in differing if "undecided" not in (row.full, row.gate)]
    read, total = sum(row.read for row in rows), sum(row.total for row in rows)
    print(
        f"{len(rows)} verdicts, {1 - len(differing) / len(rows):.2%} as in full, {len(contrary)} contrary; "
        f"read {read:,} of {total:,} documents, {1 - read / total:.0%} saved"
    )
    for row in differing:
        print(f"  {row.pair}, {row.task}: {row.full} in full, {row.gate} by the gate")
    for verdict in ("better", "worse", "same", "undecided"):
        if chosen := [row for row in rows if row.full == verdict]:
            share = sum(row.read for row in chosen) / sum(row.total for row in chosen)
            print(f"  {verdict} in full: {len(chosen)}, read {share:.0%}")


def figure(rows: Sequence[Replayed]) -> canvas.Figure:
    """Draw the share of documents that each verdict took, and of all of a pair's."""
    return canvas.Figure(
        name="documents", title="Documents that the gate read", caption="",
        panels=[
            canvas.Panel(title="each task of each pair", draw=partial(_by_clarity, rows), labels=False),
            canvas.Panel(title="all tasks of a pair", draw=partial(_by_pair, rows), labels=False),
        ],
    )  # fmt: skip


def _by_clarity(rows: Sequence[Replayed], axes: Any) -> None:
    colours = {"better": canvas.BLUE, "worse": canvas.VERMILION, "same": canvas.GREEN, "undecided": canvas.SOFT}
    for verdict, colour in colours.items():
        if chosen := [row for row in rows if row.gate == verdict]:
            x = [max(row.errors, 0.1) for row in chosen]
            axes.scatter(x, [100 * row.read / row.total for row in chosen], s=12, color=colour, alpha=0.6, lw=0)
            axes.scatter([], [], s=12, color=colour, label=verdict)
    axes.set_xscale("log")
    axes.set_xlabel("change in full, in standard errors")
    axes.set_ylabel("% of documents read")
    axes.set_ylim(0, 104)
    axes.legend(frameon=False, loc="lower left", handletextpad=0.2)


def _by_pair(rows: Sequence[Replayed], axes: Any) -> None:
    pairs = list(dict.fromkeys(row.pair for row in rows))
    for i, pair in enumerate(pairs):
        chosen = [row for row in rows if row.pair == pair]
        share = 100 * sum(row.read for row in chosen) / sum(row.total for row in chosen)
        axes.barh(i, share, color=canvas.BLUE, height=0.6)
        axes.text(share - 2, i, f"{share:.0f}%", va="center", ha="right", color="white", fontsize=7.5)
    axes.set_yticks(range(len(pairs)), pairs, fontsize=6.5)
    axes.tick_params(axis="y", pad=1)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of documents read")


def upper_bound(count: int, n: int) -> float:
    """Return the one-sided 95% upper bound of a rate (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    return float(beta.ppf(0.95, count + 1, n - count)) if count < n else 1.0


def main() -> None:
    """Simulate or replay, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--part", choices=("equal", "margin", "skewed", "savings"), help="only this (default: all)")
    parser.add_argument("--replay", nargs="+", type=Path, metavar="RUN", help="stored runs of models, smallest first")
    parser.add_argument("--margin", type=float, default=2.0, help="of --replay, in points")
    parser.add_argument("--out", type=Path, help="folder for the figure of --replay")
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.replay:
        rows = list(replay(arguments.replay, margin=arguments.margin, alpha=arguments.alpha, seed=arguments.seed))
        tell(rows)
        if arguments.out:
            drawn = canvas.render(figure(rows))
            make_folder(arguments.out)
            write_atomic(arguments.out / "documents.svg", drawn.svg)
            write_atomic(arguments.out / "documents.png", drawn.png)
        return
    for part in ("equal", "margin"):
        if arguments.part in (None, part):
            errors(part, pairs=arguments.pairs, alpha=arguments.alpha, seed=arguments.seed)
    if arguments.part in (None, "skewed"):
        skewed(pairs=arguments.pairs, alpha=arguments.alpha, seed=arguments.seed)
    if arguments.part in (None, "savings"):
        savings(pairs=max(1, arguments.pairs // 2), alpha=arguments.alpha, seed=arguments.seed)


if __name__ == "__main__":
    main()
