"""Measurements of a report as observations of a forecast."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from evalkit.files import hash_files
from evalkit.forecasts.observations import Observation
from evalkit.report.imports import benchmarks
from evalkit.report.measurements import Measurement
from evalkit.report.selection import Selection


def observations(selection: Selection, *, parts: bool = True, held_out: bool = False) -> list[Observation]:
    """Return the models' own values of each task's main metric, at all checkpoints, in the order of tasks and shots.

    parts: those of tasks that are counted as parts of another, too. held_out: of the models held out, too.
    """
    place = {task: i for i, task in enumerate(selection.tasks)}
    chosen = [
        m for m in selection.raw
        if _usable(m)
        and m.metric == selection.metrics[m.task] and (parts or m.task in place)
        and (held_out or m.model.name not in selection.held_out)
    ]  # fmt: skip
    chosen.sort(key=lambda m: (place.get(m.task, len(place)), m.order))
    return [observation(m) for m in chosen]


def all_metrics(selection: Selection) -> list[Observation]:
    """Return the models' own values of every metric, as far as the size is known."""
    return [observation(m) for m in selection.raw if _usable(m)]


def _usable(m: Measurement) -> bool:
    """Whether a measurement is a model's own, on all documents, and the model has a size and was trained."""
    trained = m.model.parameters and m.model.tokens != 0 and m.model.flops != 0
    return bool(m.source == "model" and not m.level and trained and not math.isnan(m.value))


def observation(m: Measurement) -> Observation:
    """Return a measurement of a model whose size is known as an observation."""
    assert m.model.parameters
    # BLEU is no share, but has a best value too.
    ceiling = benchmarks.scale(benchmarks.plain(m.metric), ours=True).ceiling if m.ceiling is None else m.ceiling
    return Observation(
        model=m.model.name, family=m.model.family, parameters=m.model.parameters, tokens=m.model.tokens,
        compute=m.model.flops, step=m.model.step, seed=m.model.seed, task=m.task, protocol=m.protocol, metric=m.metric,
        shots=m.shots, value=m.value, stderr=None if math.isnan(m.stderr) else m.stderr, n=m.n or None,
        loss=m.model.loss or None, chance=m.chance, ceiling=ceiling, higher_is_better=m.higher_is_better,
    )  # fmt: skip


def digests(measurements: Iterable[Measurement]) -> dict[str, str]:
    """Return the SHA-256 of every file that measurements were read from: a run's results.json, a table, a JSON file."""
    files: dict[Path, Path] = {}
    for origin in {m.origin for m in measurements}:
        # The trainings of a table are named below its path.
        place = origin if origin.exists() else origin.parent
        files[place] = place / "results.json" if place.is_dir() else place
    return {str(place): hash_files(file) for place, file in sorted(files.items()) if file.is_file()}
