"""How far forecasts are off, by predictor: on the results of a ladder, or on simulated ladders.

    python -m tests.benchmarks.measure_forecasts RESULTS... [--predict 6.9b 12b]
    python -m tests.benchmarks.measure_forecasts --simulated 20

Prints, as Markdown, the mean absolute error of each predictor, of the forecast that weighs them and of the targets' own
noise; the share of targets within the 90% bands; and the median of the bands' half widths. Scores with a ceiling are in
points, others in percent of the value. RESULTS: run folders or results files, as `evalkit report` takes them; of the
models held out (default: the largest) the scores alone are used, afterwards.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evalkit.errors import DataError, program
from evalkit.forecasts.backtests import SAME
from evalkit.forecasts.forecast import forecast
from evalkit.forecasts.observations import Forecast, Observation, SeriesKey, Target
from evalkit.report.measurements import read
from evalkit.report.observed import observation, observations
from evalkit.report.selection import select
from tests.benchmarks.simulated_ladders import SHAPES, ladder

STACK, NOISE = "weighed together", "noise of the targets"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One target: what each predictor was off by, whether the band held it, the band's half width, the verdict."""

    unit: str
    group: str
    errors: Mapping[str, float]
    inside: bool
    width: float
    forecast: bool


@program
def main() -> None:
    """Read the options, forecast, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="*", type=Path, metavar="RESULTS")
    parser.add_argument("--predict", nargs="*", default=[], metavar="MODEL", help="the models to hold out")
    parser.add_argument("--simulated", type=int, default=0, metavar="N", help="ladders of each shape")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = []
    for i, shape in enumerate(SHAPES if arguments.simulated else ()):
        for k in range(arguments.simulated):
            drawn = ladder(shape, seed=arguments.seed + 1000 * i + k)
            rows += measured(drawn.observed, drawn.targets, groups=dict.fromkeys(_series(drawn.targets), shape))
    if arguments.results:
        rows += of_results(arguments.results, arguments.predict)
    if not rows:
        parser.error("nothing to measure: give results, or --simulated")
    for unit in sorted({row.unit for row in rows}, reverse=True):
        print(table([row for row in rows if row.unit == unit], unit))


def of_results(paths: Sequence[Path], predict: Sequence[str]) -> list[Row]:
    """Hold models of results out and forecast them. Raises DataError where no path holds a result."""
    found, problems = read(paths)
    if not found:
        raise DataError("; ".join(f"{problem.path}: {problem.reason}" for problem in problems))
    selection = select(found, predict=tuple(predict))
    held = [observation(m) for s in selection.series for m in s.points if m.model.name in selection.held_out]
    whole = set(selection.tasks)
    groups = {key: "whole tasks" if key.task in whole else "their parts" for key in _series(held)}
    return measured(observations(selection), held, groups=groups)


def _series(held: Sequence[Observation]) -> list[SeriesKey]:
    return [o.series for o in held]


def measured(
    given: Sequence[Observation], held: Sequence[Observation], *, groups: Mapping[SeriesKey, str]
) -> list[Row]:
    """Forecast the models held out from the given observations, by each predictor too, and compare."""
    places = {o.model: Target(parameters=o.parameters, tokens=o.tokens, compute=o.compute, name=o.model) for o in held}
    actual = {(o.series, o.model): o for o in held}
    found = forecast(given, targets=list(places.values()))
    pairs = [(f, actual[f.series, f.target.name]) for f in found if (f.series, f.target.name) in actual]
    return [_row(f, o, groups[f.series]) for f, o in pairs]


def _row(f: Forecast, actual: Observation, group: str) -> Row:
    points = actual.ceiling is not None
    scale = 1.0 if points else 100 / abs(actual.value)
    errors = {name: scale * abs(value - actual.value) for name, value in f.predictions.items()}
    errors[SAME] = scale * abs(f.same - actual.value)
    errors[STACK] = scale * abs(f.value - actual.value)
    if actual.stderr is not None:
        errors[NOISE] = scale * actual.stderr * math.sqrt(2 / math.pi)
    return Row(
        unit="points" if points else "% of the value", group=group, errors=errors,
        inside=f.low <= actual.value <= f.high, width=scale * (f.high - f.low) / 2, forecast=f.reason is None,
    )  # fmt: skip


def table(rows: Sequence[Row], unit: str) -> str:
    """Return a table of one unit: a column per group, and one for all."""
    groups = {group: [row for row in rows if row.group == group] for group in dict.fromkeys(row.group for row in rows)}
    columns = groups | {"all": rows} if len(groups) > 1 else groups
    names = list(dict.fromkeys(name for row in rows for name in row.errors))
    names.sort(key=lambda name: (name == NOISE, name == STACK))
    lines = [[f"mean absolute error, {unit}", *(f"{name} ({len(of)})" for name, of in columns.items())]]
    lines += [[name, *(_mean([row.errors.get(name) for row in of]) for of in columns.values())] for name in names]
    for reason, wanted in (("where there is a forecast", True), ("where there is none", False)):
        for name in (STACK, SAME):
            chosen = [[row.errors[name] for row in of if row.forecast is wanted] for of in columns.values()]
            lines.append([f"{name}, {reason}", *(f"{_mean(c)} ({len(c)})" for c in chosen)])
    lines.append(["within the 90% band", *(f"{np.mean([row.inside for row in of]):.1%}" for of in columns.values())])
    lines.append(["median half width", *(f"{np.median([row.width for row in of]):.2f}" for of in columns.values())])
    head, *body = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, f"| --- |{' ---: |' * len(columns)}", *body, ""])


def _mean(errors: Sequence[float | None]) -> str:
    present = [error for error in errors if error is not None]
    return f"{np.mean(present):.2f}" if len(present) == len(errors) and present else "-"


if __name__ == "__main__":
    main()
