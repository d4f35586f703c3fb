"""The scores of a ladder: by family, level and size, over documents and training seeds.

Read from finished runs of the world suite, one per model and training seed. A rung's value is the mean over its seeds.
Its interval adds two independent variances: that of the documents (with all seeds of a document as one observation) and
that of the seeds, with Student's t for so few.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalkit import metrics
from evalkit.errors import StoreError
from evalkit.harness.store import read_manifest, read_records
from evalkit.metrics.stats import interval
from evalkit.report.measurements import ModelFacts, model_facts

# A level leaves room when it is below the first share of its range at the smallest rung and above the second at the
# largest; a level is at its floor, or full, on a rung within the third share of either end.
ROOM = (0.4, 0.8, 0.05)


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One model size. parameters: with embeddings; block_parameters: without."""

    name: str
    parameters: int
    block_parameters: int


@dataclass(frozen=True, kw_only=True)
class Score:
    """A rung's value on one line of the table, as shown (in points), with its 95% interval.

    floor: what chance or the best baseline without a model gets. per_seed: each training seed's value.
    """

    value: float
    low: float
    high: float
    floor: float
    per_seed: tuple[float, ...]
    n: int

    @property
    def share(self) -> float:
        """Where the value lies between the floor (0) and 100 (1)."""
        return (self.value - self.floor) / (100 - self.floor)

    def text(self) -> str:
        """Return the value and its interval."""
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One task, metric, number of shots and level ("" for all), over the rungs from small to large."""

    task: str
    metric: str
    shots: int
    level: str
    source: str
    scores: tuple[Score, ...]

    @property
    def spearman(self) -> float:
        """The rank correlation of score and size."""
        from scipy.stats import spearmanr

        values = [score.value for score in self.scores]
        return 0.0 if len(set(values)) == 1 else float(spearmanr(range(len(values)), values).statistic)

    @property
    def falls(self) -> list[tuple[int, bool]]:
        """The rungs that score below the one before them, and whether the intervals of the two meet."""
        pairs = zip(self.scores, self.scores[1:], strict=False)
        return [(i, b.high >= a.low) for i, (a, b) in enumerate(pairs, start=1) if b.value < a.value]

    @property
    def leaves_room(self) -> bool:
        """Whether the smallest rung is near the floor and the largest near the top."""
        return self.scores[0].share < ROOM[0] and self.scores[-1].share > ROOM[1]

    @property
    def stuck(self) -> str:
        """Say so when every rung is at the floor, or every rung is full."""
        if all(score.share < ROOM[2] for score in self.scores):
            return "at the floor on every rung"
        return "full on every rung" if all(score.share > 1 - ROOM[2] for score in self.scores) else ""


_Key = tuple[str, str, int, str, str]  # task, metric, shots, source, level


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One record's part of a line. baselines: the same statistics of each baseline's answer."""

    statistics: Sequence[float]
    cluster: str
    chance: float
    baselines: Mapping[str, Sequence[float]]


_Rows = dict[int, list[_Row]]  # by training seed


def read(folders: Iterable[Path]) -> tuple[list[Rung], list[Line], list[ModelFacts]]:
    """Read runs into rungs (by size), lines and the facts of every model.

    Raises StoreError for a broken run, or when the rungs were not asked the same.
    """
    rungs: dict[str, Rung] = {}
    table: dict[_Key, dict[str, _Rows]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    facts: dict[str, ModelFacts] = {}  # a model may have several runs: of other tasks, or at other shots
    for folder in folders:
        manifest = read_manifest(folder)
        model = manifest["settings"]["model"]
        name, seed = name_and_seed(model["model"])
        rungs[name] = Rung(
            name=name, parameters=int(model["parameters"]), block_parameters=int(model["block_parameters"])
        )
        facts[model["model"]] = model_facts(manifest)
        for key, row in _rows(folder, manifest["settings"]["tasks"]):
            table[key][name][seed].append(row)
    order = sorted(rungs.values(), key=lambda rung: rung.parameters)
    return order, [_line(key, by_rung, order) for key, by_rung in table.items()], list(facts.values())


def _rows(folder: Path, tasks: Mapping[str, Any]) -> Iterator[tuple[_Key, _Row]]:
    """Yield each scored record once for all documents and once for its level."""
    for record in read_records(folder):
        metric = tasks[record.cell.task]["metrics"][0]
        if record.error or metric not in record.scores:
            continue
        row = _Row(
            statistics=record.scores[metric],
            cluster=record.cluster or record.doc_id,
            chance=record.chance.get(metric, 0.0),
            baselines={name: scores[metric] for name, scores in record.baselines.items()},
        )
        control = record.cell.variant
        for level in {"", "" if control else record.level}:
            source = f"control:{control}" if control else "model"
            yield (record.cell.task, metric, record.cell.shots, source, level), row


def _line(key: _Key, by_rung: Mapping[str, _Rows], rungs: Sequence[Rung]) -> Line:
    if missing := [rung.name for rung in rungs if rung.name not in by_rung]:
        raise StoreError(f"{key[0]} at {key[2]} shots was not run on {', '.join(missing)}; every rung needs the same")
    metric = metrics.get(key[1])
    return Line(
        task=key[0],
        metric=key[1],
        shots=key[2],
        source=key[3],
        level=key[4],
        scores=tuple(_score(metric, by_rung[rung.name]) for rung in rungs),
    )


def name_and_seed(model: str) -> tuple[str, int]:
    """Split a model's name as train/ladder.py gives it: "mini" is seed 0, "mini-seed2" is seed 2."""
    name, _, seed = model.partition("-seed")
    return name, int(seed or 0)


def _score(metric: metrics.Metric, seeds: _Rows) -> Score:
    rows = [row for seed in sorted(seeds) for row in seeds[seed]]
    clusters = [row.cluster for row in rows]
    independent = len(set(clusters)) == len(rows)
    found = interval(metric, np.asarray([row.statistics for row in rows]), None if independent else clusters)
    each = tuple(_value(metric, [row.statistics for row in seeds[seed]]) for seed in sorted(seeds))
    value, spread = sum(each) / len(each), _seed_error(each)
    low, high = ((bound - found.value) * metric.scale for bound in (found.low, found.high))
    floors = [_value(metric, [row.baselines[name] for row in rows]) for name in rows[0].baselines]
    most = 100.0 if metric.higher_is_better else math.inf  # shares, BLEU and ROUGE in points
    return Score(
        value=value,
        low=max(0.0, value - math.hypot(low, spread)),
        high=min(most, value + math.hypot(high, spread)),
        floor=max([sum(row.chance for row in rows) / len(rows) * metric.scale, *floors]),
        per_seed=each,
        n=len(set(clusters)),
    )


def _value(metric: metrics.Metric, rows: Sequence[Sequence[float]]) -> float:
    table = np.asarray(rows, dtype=np.float64)
    return float(metric.aggregate(table.sum(axis=0), np.asarray(len(table)))) * metric.scale


def _seed_error(values: Sequence[float]) -> float:
    """Return the half-width that the seeds add: t(0.975) x standard error; nought for a single seed."""
    if len(values) < 2:
        return 0.0
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
