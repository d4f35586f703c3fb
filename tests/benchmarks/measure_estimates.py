"""How good estimates from a sample are: stored runs replayed, with other documents drawn each time.

Each model is estimated from the runs of the smaller ones. r: the correlation of a document's expected and real score.
Covers: the share of draws whose 95% interval holds the value of all documents; plain: of a plain subset as large.
Fewer: how many times as many documents a plain subset needs for an interval as narrow, with the correction for a finite
test set (of all), and by the interval that --limit prints (printed).

    python -m tests.benchmarks.measure_estimates runs/ladder --documents 60
    python -m tests.benchmarks.measure_estimates --simulated
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from evalkit import metrics
from evalkit.harness import difficulty
from evalkit.metrics import Array, Metric
from evalkit.stats import sampling
from evalkit.stats.intervals import Interval, interval

DRAWS = 400
EDGES = (1.01, 0.9, 0.75, 0.6, 0.3, -1.0)


@dataclass(frozen=True)
class Case:
    """A task and a metric to replay. truth: (M, k + 1) statistics of the estimated model."""

    name: str
    metric: Metric
    model: str
    truth: Array
    prediction: difficulty.Prediction

    @property
    def correlation(self) -> float:
        """Of the score that was expected and the real one."""
        slope = sampling.gradient(self.metric, self.truth.sum(axis=0))
        real, expected = self.truth @ slope, self.prediction.expected @ slope
        if min(real.std(), expected.std()) < 1e-12:
            return float("nan")
        return float(np.corrcoef(real, expected)[0, 1])


@dataclass(frozen=True)
class Outcome:
    """What the draws of a case gave. bias: in standard errors of the mean over the draws."""

    covers: float
    plain_covers: float
    bias: float
    fewer: float
    fewer_printed: float
    width: float


def covers(found: Interval, value: float) -> float:
    """Return 1 where the interval holds the value, 0 where it does not, NaN where there is none."""
    return float(found.low <= value <= found.high) if found.low == found.low else float("nan")


def replay(case: Case, documents: int, *, rng: np.random.Generator, draws: int = DRAWS) -> Outcome:
    """Estimate a case again and again, each time from other documents, and as often from a plain subset."""
    total = len(case.truth)
    metric, expected, spread = case.metric, case.prediction.expected, case.prediction.spread
    value = float(metric.aggregate(case.truth.sum(axis=0)[:-1], case.truth.sum(axis=0)[-1]))
    flat, nothing = np.zeros(total), np.zeros_like(expected)
    rows = []
    for _ in range(draws):
        order = rng.permutation(total)
        plan = sampling.design(case.prediction.score, spread, count=documents, order=order)
        ours = sampling.estimate(metric, plan, case.truth[plan.drawn], expected, spread)
        simple = sampling.Design(strata=np.zeros(total, dtype=np.int64), drawn=order < documents)
        plain = sampling.estimate(metric, simple, case.truth[simple.drawn], nothing, flat)
        printed = interval(metric, case.truth[simple.drawn][:, :-1])
        rows.append(
            (covers(ours, value), covers(plain, value), ours.value - value,
             ours.high - ours.low, plain.high - plain.low, printed.high - printed.low)
        )  # fmt: skip
    table = np.asarray(rows, dtype=np.float64)
    covered, plain_covered, error, width, plain_width, printed_width = np.nanmean(table, axis=0)
    deviation = float(table[:, 2].std())
    share = (width / plain_width) ** 2 if plain_width else np.nan
    return Outcome(
        covers=covered, plain_covers=plain_covered, bias=error / deviation * draws**0.5 if deviation > 1e-12 else 0.0,
        fewer=1 / (share * (1 - documents / total) + documents / total),
        fewer_printed=(printed_width / width) ** 2 if width else np.nan, width=width * metric.scale,
    )  # fmt: skip


def stored_cases(paths: Sequence[Path]) -> Iterator[Case]:
    """Yield each run's tasks without shots, predicted from the runs of smaller models."""
    runs = difficulty.read_earlier(paths)
    for run in runs:
        smaller = [other for other in runs if other.rung < run.rung]
        for asked, documents in run.statistics.items():
            names = sorted(documents)
            name = next(iter(documents[names[0]]))
            rungs = [] if asked[1] else difficulty.rungs_of(smaller, asked, name, names)
            if rungs and name in metrics.METRICS and all(name in documents[doc] for doc in names):
                truth = np.asarray([[*documents[doc][name], 1.0] for doc in names])
                prediction = difficulty.predict(metrics.get(name), rungs, [run.levels[doc] for doc in names])
                yield Case(asked[0], metrics.get(name), run.name.partition("@")[0], truth, prediction)


def simulated_cases(rng: np.random.Generator, *, documents: int = 10_000) -> Iterator[Case]:
    """Yield accuracies of a model whose ability and items follow a logistic law, predicted from three smaller ones.

    The spread of the items' difficulties decides how alike the models answer.
    """
    for spread in (0.5, 1.0, 2.0, 4.0, 8.0):
        difficulties = rng.normal(0.0, spread, documents)
        answers = [
            (rng.random(documents) < 1 / (1 + np.exp(difficulties - ability))).astype(float)[None, :, None]
            for ability in (-0.5, 0.0, 0.5, 1.0)
        ]
        metric = metrics.get("acc")
        prediction = difficulty.predict(metric, answers[:-1], [""] * documents)
        truth = np.column_stack([answers[-1][0], np.ones(documents)])
        yield Case(f"difficulties {spread:g}", metric, "", truth, prediction)


def main() -> None:
    """Print the table of the chosen cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--simulated", action="store_true")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    cases = [*stored_cases(arguments.runs), *(simulated_cases(rng) if arguments.simulated else ())]
    cases.sort(key=lambda case: -np.nan_to_num(case.correlation))
    outcomes = [replay(case, arguments.documents, rng=rng, draws=arguments.draws) for case in cases]
    print("\n".join([*_summary(cases, outcomes), "", *_table(cases, outcomes)]))


def _summary(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield a table by how well the score of a document is expected."""
    yield "| r | cases | covers | least | plain covers | fewer, of all | fewer, printed |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for high, low in (*pairwise(EDGES), (2.0, -1.0)):
        chosen = [
            o for case, o in zip(cases, outcomes, strict=True)
            if low <= np.nan_to_num(case.correlation) < high and np.isfinite(o.covers)
        ]  # fmt: skip
        if chosen:
            values = np.asarray([[o.covers, o.plain_covers, o.fewer, o.fewer_printed] for o in chosen])
            (covered, plain), (fewer, printed) = values.mean(axis=0)[:2], np.nanmedian(values, axis=0)[2:]
            name = "all" if high > 1.5 else f"below {high:g}" if low < 0 else f"{low:g} to {min(high, 1.0):g}"
            least = values[:, 0].min()
            yield (
                f"| {name} | {len(chosen)} | {covered:.1%} | {least:.1%} | {plain:.1%} | {fewer:.1f} | {printed:.1f} |"
            )


def _table(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "| task | metric | model | of | r | covers | plain covers | bias | width | fewer, of all | fewer, printed |"
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for case, o in zip(cases, outcomes, strict=True):
        begins = f"| {case.name} | {case.metric.name} | {case.model} | {len(case.truth):,} | {case.correlation:.2f} "
        if np.isnan(o.covers):
            yield f"{begins}| no interval | | {o.bias:+.1f} | | | |"
        else:
            yield (
                f"{begins}| {o.covers:.1%} | {o.plain_covers:.1%} | {o.bias:+.1f} | {o.width:.3g} | {o.fewer:.1f} "
                f"| {o.fewer_printed:.1f} |"
            )


if __name__ == "__main__":
    main()
