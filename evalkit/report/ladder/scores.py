"""The scores of a ladder: by family, level and size, over documents and training seeds.

Read from finished runs of the world suite, one per model and training seed. A rung's value is the mean over its seeds,
with the interval of seeds.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit import metrics
from evalkit.errors import StoreError
from evalkit.report.models import ModelFacts, model_facts
from evalkit.runs.store import StoredRun, open_run
from evalkit.stats.seeds import Scored, Spread, bracketed, over_seeds, value_of

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
class Score(Spread):
    """A rung's value on one line of the table, over its training seeds.

    floor: what chance or the best baseline without a model gets.
    """

    floor: float

    @property
    def share(self) -> float:
        """Where the value lies between the floor (0) and 100 (1)."""
        return (self.value - self.floor) / (100 - self.floor)

    def text(self) -> str:
        """Return the value and its interval."""
        return f"{self.value:.1f}{bracketed(self.low, self.high)}"


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
        """The rungs that score below the one before them, and whether the two intervals overlap."""
        pairs = zip(self.scores, self.scores[1:], strict=False)
        return [(i, b.high >= a.low) for i, (a, b) in enumerate(pairs, start=1) if b.value < a.value]

    @property
    def leaves_room(self) -> bool:
        """Whether the smallest rung is near the floor and the largest near the top."""
        return self.scores[0].share < ROOM[0] and self.scores[-1].share > ROOM[1]

    @property
    def stuck(self) -> str:
        """Whether every rung is at the floor, or every rung is full, in words; empty otherwise."""
        if all(score.share < ROOM[2] for score in self.scores):
            return "at the floor on every rung"
        return "full on every rung" if all(score.share > 1 - ROOM[2] for score in self.scores) else ""


_Key = tuple[str, str, int, str, str]  # task, metric, shots, source, level


@dataclass(frozen=True, kw_only=True)
class _Row(Scored):
    """One record's part of a line. baselines: the same statistics of each baseline's answer."""

    chance: float
    baselines: Mapping[str, Sequence[float]]


_Rows = dict[int, list[_Row]]  # by training seed


def read(folders: Iterable[Path]) -> tuple[list[Rung], list[Line], list[ModelFacts]]:
    """Read runs into rungs (by size), lines and the facts of every model.

    Raises StoreError for a broken run, for two models of one name, or when the rungs did not run the same.
    """
    rungs: dict[str, Rung] = {}
    table: dict[_Key, dict[str, _Rows]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    facts: dict[str, ModelFacts] = {}  # a model may have several runs, of different tasks or shots
    for folder in folders:
        run = open_run(folder, unfinished=True)
        run.check_whole("a report")
        model = run.settings["model"]
        name, seed = name_and_seed(model["model"])
        rungs[name] = Rung(
            name=name, parameters=int(model["parameters"]), block_parameters=int(model["block_parameters"])
        )
        facts_of_run = model_facts({"settings": run.settings, "training": run.training})
        ran, expected = (each.provenance for each in (facts_of_run, facts.setdefault(model["model"], facts_of_run)))
        if (ran.content, ran.reading) != (expected.content, expected.reading):
            raise StoreError(f"{folder}: not the {model['model']} of the other runs; a rung is one model, run one way")
        for key, row in _rows(run):
            table[key][name][seed].append(row)
    order = sorted(rungs.values(), key=lambda rung: rung.parameters)
    return order, [_line(key, by_rung, order) for key, by_rung in table.items()], list(facts.values())


def _rows(run: StoredRun) -> Iterator[tuple[_Key, _Row]]:
    """Yield each scored record once for all documents and once for its level."""
    for record in run.records():
        metric = run.settings["tasks"][record.cell.task]["metrics"][0]
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
    spread = over_seeds(metric, seeds)
    floors = [
        value_of(metric, [Scored(statistics=row.baselines[name], cluster=row.cluster) for row in rows])
        for name in rows[0].baselines
    ]
    return Score(**vars(spread), floor=max([sum(row.chance for row in rows) / len(rows) * metric.scale, *floors]))
