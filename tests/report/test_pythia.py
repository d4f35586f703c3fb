"""The 336 real result files of Pythia make a whole report."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from evalkit.report import forecasting
from evalkit.report.measurements import read
from evalkit.report.observed import observation, observations
from evalkit.report.pages import forecast_tables
from evalkit.report.selection import select
from tests.benchmarks.measure_forecasts import STACK, measured


@pytest.fixture(scope="module")
def selection(data_dir):
    folder = data_dir / "pythia-evals"
    if not folder.is_dir():
        pytest.skip(f"no results of Pythia: {folder} is absent")
    found, problems = read([folder])
    assert not problems
    return select(found, predict=["6.9b", "12b"])


def test_eight_sizes_and_all_tasks(selection):
    assert [selection.labels[name] for name in selection.sizes] == "70m 160m 410m 1b 1.4b 2.8b 6.9b 12b".split()
    assert len({m.model.step for m in selection.main if m.shots == 0}) == 27
    assert len({m.model.step for m in selection.main if m.shots == 5}) == 15
    assert {m.level for m in selection.main if m.task == "mmlu"} > {"anatomy", "virology"}


@pytest.fixture(scope="module")
def result(selection):
    found = forecasting.predicted(selection)
    assert found
    return found


@pytest.mark.slow
def test_the_two_largest_are_forecast_for_every_task(selection, result):
    zero = {s.task for s in selection.series if s.shots == 0}
    assert {s.forecast.task for s in result[1] if s.forecast.shots == 0 and s.actual.model == "pythia-12b"} == zero
    table = forecast_tables.errors(selection, result[1])
    [whole] = [row for row in table.rows if (row[0].text, row[1].text) == ("all", "points")]
    assert re.fullmatch(r"\d\.\d\d", whole[3].text) and 1 < float(whole[3].text) < 6


@pytest.fixture(scope="module")
def held(selection):
    return [observation(m) for s in selection.series for m in s.points if m.model.name in selection.held_out]


def test_what_the_forecasts_of_the_two_largest_were_off_by(selection, held):
    """Better than every form of the first version: 2.72 ("same") and 3.41 for whole tasks, 3.33 and 3.61 for all."""
    groups = {o.series: "whole" if o.task in selection.tasks else "part" for o in held}
    rows = measured(observations(selection), held, groups=groups)
    points = [row for row in rows if row.unit == "points"]
    whole = [row for row in points if row.group == "whole"]
    ratios = [row for row in rows if row.unit != "points"]
    assert (len(whole), len(points), len(ratios)) == (32, 260, 48)
    off = [np.mean([row.errors[STACK] for row in of]) for of in (whole, points, ratios)]
    assert off[0] <= 1.8 and off[1] <= 3.05 and off[2] <= 6
    assert all(0.85 <= np.mean([row.inside for row in of]) <= 0.95 for of in (whole, points))
    assert np.median([row.width for row in whole]) <= 5
    has, has_not = ([r.errors[STACK] - r.errors["same"] for r in points if r.forecast is f] for f in (True, False))
    assert np.mean(has) < np.mean(has_not) - 0.2  # where there is a forecast, it gains more over "same"


@pytest.mark.slow
def test_held_out_scores_have_no_say(selection, result):
    spoiled = [replace(m, value=m.value / 2) if m.model.name in selection.held_out else m for m in selection.raw]
    changed = select(spoiled, predict=["6.9b", "12b"])
    other = forecasting.predicted(changed)
    assert other
    assert [s.forecast for s in result[1]] == [s.forecast for s in other[1]]
    assert [s.actual.value for s in result[1]] != [s.actual.value for s in other[1]]
