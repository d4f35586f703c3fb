"""How exact CORE is, each cause apart: which documents, which shots, and which seeds of the training.

The tasks are fixed. Each task's documents are a sample of their own (a stratum); two tasks on the same file are one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.dclm.scores import RunScores
from evalkit.metrics.base import Array
from evalkit.stats import intervals
from evalkit.stats.intervals import LEVEL, Noise
from evalkit.stats.resampling import percentile_interval

Weighted = Sequence[tuple[RunScores, float]]


@dataclass(frozen=True)
class Stratum:
    """The documents of one file. parts: (n,) what each adds to the value. total: documents in the file."""

    parts: Array
    total: int


def strata(runs: Weighted) -> list[Stratum]:
    """Split the weighted sum of runs' values into what each document adds to it, file by file.

    The weights of a mean are positive; those of a difference sum to 0 and pair the documents of both sides.
    """
    sums: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    totals: dict[str, int] = {}
    for run, weight in runs:
        for task in run.tasks.values():
            ids, values = task.values
            parts = values * (weight / (len(run.tasks) * len(values)))
            file = sums[task.data]
            for name, part in zip(ids.tolist(), parts.tolist(), strict=True):
                file[name] += part
            totals[task.data] = task.total
    return [Stratum(np.fromiter(parts.values(), np.float64), totals[file]) for file, parts in sums.items()]


def replicates(samples: Sequence[Stratum], *, resamples: int, seed: int) -> Array:
    """Return (resamples,) values of the stratified bootstrap over documents (Efron and Tibshirani 1993, chapter 8).

    Documents that add the same are drawn together: their number in a resample is multinomial.
    """
    rng = np.random.default_rng(seed)
    sums = np.zeros(resamples)
    for sample in samples:
        parts, counts = np.unique(sample.parts, return_counts=True)
        sums += rng.multinomial(len(sample.parts), counts / counts.sum(), size=resamples) @ parts
    return sums


def of_documents(samples: Sequence[Stratum]) -> Noise:
    """Return the noise of a value from its documents, as a sample of all that could have been asked."""
    return intervals.pooled([_left_out(sample.parts) for sample in samples])


def of_the_rest(samples: Sequence[Stratum]) -> float:
    """Return the standard error of a value as an estimate of that of the whole files, 0 where all was scored.

    Documents were drawn without replacement (Cochran 1977, section 2.6).
    """
    variances = (
        _left_out(sample.parts).variance * (1 - len(sample.parts) / max(sample.total, len(sample.parts)))
        for sample in samples
    )
    return math.sqrt(sum(variances))


def of_seeds(values: Sequence[float]) -> Noise | None:
    """Return the noise of a mean over seeds; None for a single one."""
    if len(values) < 2:
        return None
    return Noise(
        variance=float(np.var(values, ddof=1)) / len(values), third=0.0, freedom=len(values) - 1.0, size=len(values)
    )


def _left_out(parts: Array) -> Noise:
    """Return the noise of a sum over documents, by leaving out each."""
    n = len(parts)
    return intervals.noise((parts.mean() - parts) * n / max(1, n - 1), np.ones(n))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One recipe's CORE, 0 to 1, over the runs of its trainings.

    documents: the bootstrap's 95% interval. rest: the standard error for the whole files, 0 without a limit.
    by_seed, by_training: the values under each seed of the shots and of each run. low, high: of all causes together.
    """

    runs: Sequence[RunScores]
    value: float
    documents: tuple[float, float]
    rest: float
    by_seed: Mapping[int, float]
    by_training: Sequence[float]
    low: float
    high: float

    @property
    def weighted(self) -> list[tuple[RunScores, float]]:
        """Return the runs with the weights of their mean."""
        return [(run, 1 / len(self.runs)) for run in self.runs]

    @property
    def seeds_noise(self) -> list[Noise]:
        """Return the noise of the shots' seeds and of the trainings' seeds, where there are several."""
        return [noise for noise in (of_seeds([*self.by_seed.values()]), of_seeds(self.by_training)) if noise]


def recipe(runs: Sequence[RunScores], *, resamples: int = 10_000, seed: int = 0) -> Recipe:
    """Summarise the runs of one recipe, which differ in the seed of its training."""
    samples = strata([(run, 1 / len(runs)) for run in runs])
    drawn = replicates(samples, resamples=resamples, seed=seed)
    low, high = (float(end) for end in percentile_interval(drawn, level=LEVEL))
    value = sum(run.core for run in runs) / len(runs)
    made = Recipe(
        runs=runs, value=value, documents=(low, high), rest=of_the_rest(samples),
        by_seed={s: float(np.mean([run.under(s) for run in runs])) for s in runs[0].seeds},
        by_training=[run.core for run in runs], low=low, high=high,
    )  # fmt: skip
    if not made.seeds_noise:
        return made
    reach = _reach([of_documents(samples), *made.seeds_noise])
    return Recipe(**{**vars(made), "low": value - reach, "high": value + reach})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """new - base on the same documents, with a 95% interval and the two-sided p of no difference."""

    value: float
    low: float
    high: float
    p: float


def difference(base: Recipe, new: Recipe) -> Difference:
    """Compare two recipes in pairs of documents; seeds of shots and trainings add their noise where there are several.

    Student's t with Satterthwaite's degrees of freedom.
    """
    from scipy.special import stdtr

    samples = strata([*new.weighted, *((run, -weight) for run, weight in base.weighted)])
    parts = [of_documents(samples), *base.seeds_noise, *new.seeds_noise]
    noise, value = intervals.pooled(parts), new.value - base.value
    reach, error = _reach(parts), math.sqrt(noise.variance)
    p = 2 * float(stdtr(noise.freedom, -abs(value) / error)) if error > 0 else float(value == 0)
    return Difference(value=value, low=value - reach, high=value + reach, p=p)


def _reach(parts: Sequence[Noise]) -> float:
    noise = intervals.pooled(parts)
    return intervals.student(noise.freedom) * math.sqrt(noise.variance)
