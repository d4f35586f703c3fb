"""The 336 real result files of Pythia make a whole report."""

from __future__ import annotations

import re

import pytest

from evalkit.report import forecasting
from evalkit.report.measurements import read
from evalkit.report.pages import forecast_tables
from evalkit.report.selection import select


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


def test_the_two_largest_are_forecast_for_every_task(selection):
    result = forecasting.predicted(selection)
    assert result
    zero = {s.task for s in selection.series if s.shots == 0}
    assert {s.forecast.task for s in result[1] if s.forecast.shots == 0 and s.actual.model == "pythia-12b"} == zero
    table = forecast_tables.errors(selection, result[1])
    [whole] = [row for row in table.rows if (row[0].text, row[1].text) == ("all", "points")]
    assert re.fullmatch(r"\d\.\d\d", whole[3].text) and 1 < float(whole[3].text) < 6
