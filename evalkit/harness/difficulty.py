"""What to expect of a model on each document, from stored runs of other models, usually smaller ones.

The statistics of a document are predicted by a ridge regression from those of the earlier models. Its weights are
learned one rung down: the largest earlier model is predicted from the ones below it, and the errors of that prediction,
by the score that was expected, are the spread to expect. With a single earlier model there is nothing to learn from;
its own scores, halfway to their mean, are the prediction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evalkit.errors import UsageError
from evalkit.metrics.base import Array, Metric
from evalkit.runs.store import StoredRun, open_run
from evalkit.stats.sampling import gradient

# Task, shots and template of records.
Asked = tuple[str, int, str]

# The ridge, in documents' worth of variance of each feature; groups of documents of one expected score, to whose errors
# a spread is the mean; and the least spread of a group, as a share of the spread of all.
_RIDGE = 4.0
_GROUPS = 8
_LEAST_SPREAD = 0.7

# Decimals of what is predicted.
_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Of one metric.

    expected: (M, k + 1) statistics, and one for the record. score: (M,) what they mean for the value, for a mean the
    document's score. spread: (M,) the standard deviation of scores around these.
    """

    expected: Array
    score: Array
    spread: Array


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A stored run. name: its model and hash. rung: what models are ordered by, their parameters and their step.

    statistics: (task, shots, template) -> document -> metric -> statistics, averaged over seeds. levels: of documents.
    """

    name: str
    rung: tuple[int, int]
    levels: Mapping[str, str] = field(repr=False)
    statistics: Mapping[Asked, Mapping[str, Mapping[str, Sequence[float]]]] = field(repr=False)


def read_earlier(paths: Iterable[Path]) -> list[Earlier]:
    """Read run folders and folders of them, the smallest model first.

    Raises UsageError for a path that is absent or holds no run, StoreError for a broken run.
    """
    runs = [_read(open_run(folder)) for path in paths for folder in _folders(path)]
    return sorted(runs, key=lambda run: (run.rung, run.name))


def _folders(path: Path) -> Iterator[Path]:
    if (path / "manifest.json").exists():
        yield path
        return
    folders = sorted(manifest.parent for manifest in path.glob("*/manifest.json"))
    if not folders:
        raise UsageError(f"{path}: no run folder, and no folder of runs")
    yield from folders


def _read(run: StoredRun) -> Earlier:
    model = run.settings.get("model") or {}
    run.check_whole("--from")
    sums: dict[Asked, dict[str, dict[str, list[Sequence[float]]]]] = defaultdict(lambda: defaultdict(dict))
    levels = {}
    for _, raw in run.scan():
        cell, levels[raw["doc_id"]] = raw["cell"], raw["level"]
        if not cell.get("variant"):
            document = sums[cell["task"], cell["shots"], cell.get("template", "")][raw["doc_id"]]
            for metric, statistics in raw["scores"].items():
                document.setdefault(metric, []).append(statistics)
    means = {
        asked: {
            name: {metric: np.mean(rows, axis=0).tolist() for metric, rows in by_metric.items()}
            for name, by_metric in documents.items()
        }
        for asked, documents in sums.items()
    }
    rung = (int(model.get("parameters") or 0), int(run.training.get("step") or 0))
    return Earlier(name=f"{model.get('model')}@{model.get('hash')}", rung=rung, levels=levels, statistics=means)


def rungs_of(runs: Sequence[Earlier], asked: Asked, metric: str, ids: Sequence[str]) -> list[Array]:
    """Return the statistics of each rung's models, (models, M, k); the smallest rung comes first.

    A document that a model lacks has the mean of its others. Runs that hold fewer than half of the documents are left
    out, and those whose statistics are not as many as the largest model's.
    """
    tables: dict[tuple[int, int], list[Array]] = {}
    widths: list[int] = []
    for run in reversed(runs):
        documents = run.statistics.get(asked, {})
        rows = [documents.get(name, {}).get(metric) for name in ids]
        width = next((len(row) for row in rows if row is not None), 0)
        if width and sum(row is not None for row in rows) * 2 >= len(ids):
            table = np.asarray([[np.nan] * width if row is None else row for row in rows], dtype=np.float64)
            widths.append(width)
            if width == widths[0]:
                whole = np.where(np.isfinite(table), table, np.nanmean(table, axis=0))
                tables.setdefault(run.rung, []).append(whole)
    return [np.stack(tables[rung]) for rung in sorted(tables)]


def predict(metric: Metric, rungs: Sequence[Array], levels: Sequence[str]) -> Prediction:
    """Predict the statistics of the next model. rungs: as `rungs_of` gives them. levels: of each document."""
    means = [rung.mean(axis=0) for rung in rungs]
    if len(rungs) == 1:
        halfway = (means[0] + means[0].mean(axis=0)) / 2
        errors = _effects(metric, rungs[0], around=halfway)
        return _prediction(metric, halfway, np.full(len(halfway), _root_mean_square(errors)))
    slices = _indicators(levels)
    learned, applied = means[:-1], means[1:]  # as many of them, so that the features mean the same
    columns = [
        _regression(_features(learned, j, slices), means[-1][:, j], _features(applied, j, slices))
        for j in range(means[-1].shape[1])
    ]
    fitted, expected = (np.column_stack([column[side] for column in columns]) for side in (0, 1))
    errors = _effects(metric, rungs[-1], around=fitted)  # of single models, as the next one is
    return _prediction(metric, expected, _spread(_scores(metric, fitted), errors, _scores(metric, expected)))


def _prediction(metric: Metric, expected: Array, spread: Array) -> Prediction:
    """Round the figures, so that the draw and its digest do not depend on a machine's last bits."""
    rounded = [np.round(each, _DIGITS) + 0.0 for each in (expected, _scores(metric, expected), spread)]
    return Prediction(expected=_counted(rounded[0]), score=rounded[1], spread=rounded[2])


def _indicators(levels: Sequence[str]) -> Array:
    names = sorted(set(levels))
    return np.asarray([[level == name for name in names] for level in levels], dtype=np.float64)


def _features(rungs: Sequence[Array], column: int, slices: Array) -> Array:
    """Return a document's features: the largest model's statistic, the mean of the others', and its level."""
    features = [rungs[-1][:, column], *([np.mean(rungs[:-1], axis=0)[:, column]] if len(rungs) > 1 else [])]
    return np.column_stack([*features, slices])


def _regression(features: Array, target: Array, applied: Array) -> tuple[Array, Array]:
    """Fit a ridge regression -> its predictions for (M, p) features and for those that it is applied to."""
    middle, scale = features.mean(axis=0), features.std(axis=0)
    usable = scale > 0
    scaled = (features - middle)[:, usable] / scale[usable]
    weights = np.linalg.solve(scaled.T @ scaled + _RIDGE * np.eye(scaled.shape[1]), scaled.T @ (target - target.mean()))
    new = (applied - middle)[:, usable] / scale[usable]
    return target.mean() + scaled @ weights, target.mean() + new @ weights


def _counted(statistics: Array) -> Array:
    return np.column_stack([statistics, np.ones(len(statistics))])


def _scores(metric: Metric, statistics: Array) -> Array:
    """Return each document's effect on the value, times the number of documents: for a mean, its score."""
    table = _counted(statistics)
    return np.asarray(table @ gradient(metric, table.sum(axis=0)) * len(table))


def _effects(metric: Metric, statistics: Array, *, around: Array) -> Array:
    """Return the effects (models, M) of how far models' statistics lie from predicted ones, times the documents."""
    slope = gradient(metric, _counted(around).sum(axis=0))[:-1]
    return np.asarray((statistics - around) @ slope * len(around))


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt((values**2).mean()))


def _spread(fitted: Array, errors: Array, expected: Array) -> Array:
    """Return the spread around each expected score: that of the errors where the fitted one was about the same."""
    groups = np.array_split(np.argsort(fitted, kind="stable"), min(_GROUPS, len(fitted)))
    edges = [float(fitted[group].max()) for group in groups[:-1]]
    least = _LEAST_SPREAD * _root_mean_square(errors)
    spreads = np.asarray([max(least, _root_mean_square(errors[:, group])) for group in groups])
    return spreads[np.searchsorted(edges, expected)]
