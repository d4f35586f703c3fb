"""Sealed forecasts: the scores of a band, the seal, and what is scored by which model."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from evalkit.errors import StoreError, UsageError
from evalkit.forecasts import scoring, sealed
from evalkit.forecasts.observations import Forecast, Observation, SeriesKey, Target
from evalkit.forecasts.predictive import Predictive

POINTS = [
    Observation(
        model=f"m{i}", family="f", parameters=n, tokens=20 * n, task="t", metric="acc", value=value, stderr=1.0,
        chance=25.0, ceiling=100.0,
    )
    for i, (n, value) in enumerate([(1e7, 30.0), (3e7, 35.0), (1e8, 40.0)])
]  # fmt: skip
KEY = SeriesKey("f", "t", "", "acc", 0)
TARGET = Target(parameters=1e9, tokens=2e10)


def forecast(**more: object) -> Forecast:
    fields = {
        "series": KEY, "target": TARGET, "value": 50.0, "low": 46.0, "high": 55.0, "same": 40.0, "sizes": 3,
        "weights": {"same": 0.25, "power": 0.75},
    }  # fmt: skip
    return Forecast(**{**fields, **more})  # type: ignore[arg-type]


def content(*forecasts: Forecast) -> sealed.Sealed:
    return sealed.sealed(
        forecasts or [forecast()], POINTS, inputs={"runs": "00"}, command="evalkit forecast runs",
        made=datetime(2026, 11, 30, 12, tzinfo=timezone.utc),
    )  # fmt: skip


def actual(value: float, **more: object) -> Observation:
    return replace(POINTS[0], **{"model": "new", "parameters": 9.8e8, "tokens": 2e10, "value": value, **more})


@pytest.mark.parametrize("y", [-3.0, 0.0, 0.4, 2.0])
@pytest.mark.parametrize(("below", "above"), [(1.0, 1.0), (0.5, 2.0), (0.0, 1.5), (0.0, 0.0)])
def test_the_crps_is_the_integral_of_the_squared_difference_of_distributions(below, above, y):
    predictive = Predictive(median=0.0, below=below, above=above)
    integral = sum(
        quad(lambda x: (predictive.cdf(x) - (x >= y)) ** 2, low, high, limit=200)[0]
        for low, high in zip([-20.0, *sorted({0.0, y})], [*sorted({0.0, y}), 20.0], strict=True)
    )
    assert predictive.crps(y) == pytest.approx(integral, abs=1e-6)


def test_a_symmetrical_band_is_the_normal_distribution():
    predictive = Predictive.of_band(10.0, 10 - 1.6448536, 10 + 1.6448536, level=0.9)
    x = np.linspace(7, 13, 7)
    assert [predictive.cdf(v) for v in x] == pytest.approx(norm.cdf(x, 10, 1), abs=1e-7)
    z = 1.5  # Gneiting and Raftery 2007, equation 21
    assert predictive.crps(11.5) == pytest.approx(z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))


def test_a_sealed_file_says_the_same_when_it_is_read(tmp_path):
    written = content(forecast(), forecast(target=Target(parameters=2e9), reason="no trend", notes=("far",)))
    sealed.write(tmp_path / "f.json", written)
    again = sealed.read(tmp_path / "f.json")
    assert again == written and again.seal == written.seal
    raw = json.loads((tmp_path / "f.json").read_text())
    assert raw["made"] == "2026-11-30T12:00:00+00:00" and raw["inputs"] == {"runs": "00"}
    assert raw["series"][0]["forecasts"][0]["weights"] == {"same": 0.25, "power": 0.75}
    assert [p["value"] for p in raw["series"][0]["points"]] == [30, 35, 40]


def test_a_forecast_is_never_overwritten(tmp_path):
    sealed.write(tmp_path / "f.json", content())
    before = (tmp_path / "f.json").read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        sealed.write(tmp_path / "f.json", content(forecast(value=60.0)))
    assert (tmp_path / "f.json").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [('"value": 50.0', '"value": 51.0'), ('"made": "2026-11-30', '"made": "2026-10-30'), ('"00"', '"01"'),
     ('"seal": "', '"seal": "0')],
)  # fmt: skip
def test_an_edited_file_is_refused(tmp_path, old, new):
    path = tmp_path / "f.json"
    sealed.write(path, content())
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StoreError, match=r"f\.json: its seal is broken"):
        sealed.read(path)


@pytest.mark.parametrize(
    "change", [{"targets": [{"parameters": -1}]}, {"series": [{}]}, {"targets": 3}, {"series": None}]
)
def test_a_sealed_file_of_wrong_types_is_one_clear_error(tmp_path, change):
    raw = {
        "format": sealed.FORMAT,
        "made": "x",
        "evalkit": "0",
        "command": "",
        "inputs": {},
        "targets": [],
        "series": [],
    }
    raw |= change
    raw["seal"] = sealed._seal(raw)
    (tmp_path / "f.json").write_text(json.dumps(raw))
    with pytest.raises((StoreError, UsageError)):
        sealed.read(tmp_path / "f.json")
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(StoreError, match="not a sealed forecast"):
        sealed.read(tmp_path / "other.json")


def test_the_question_is_whether_the_model_beats_same_by_more_than_noise():
    [question] = content().series[0].questions
    assert question.threshold == pytest.approx(40 + 1.959964 * math.sqrt(2))
    assert question.probability == pytest.approx(1 - norm.cdf((question.threshold - 50) / (4 / 1.6448536)), abs=1e-6)
    points = [replace(p, metric="ppl", ceiling=None, chance=None, higher_is_better=False) for p in POINTS]
    lower = sealed.question(forecast(value=30.0, low=28.0, high=33.0), points)
    assert lower.threshold == pytest.approx(40 - 1.959964 * math.sqrt(2)) and lower.probability > 0.99
    assert lower.answer(35.0, higher_is_better=False) and not lower.answer(39.0, higher_is_better=False)


def test_a_model_near_the_target_scores_the_forecast():
    [scored] = scoring.score(content(), [*POINTS, actual(48.0)])
    assert (scored.error, scored.same_error, scored.inside, scored.actual.model) == (2.0, -8.0, True, "new")
    assert scored.crps == Predictive.of_band(50, 46, 55, level=0.9).crps(48.0)
    assert scored.brier == pytest.approx((1 - scored.question.probability) ** 2)
    [missed] = scoring.score(content(), [actual(41.0)])
    assert not missed.inside and missed.brier == pytest.approx(missed.question.probability**2)


@pytest.mark.parametrize(
    "change", [{"parameters": 1.2e9}, {"tokens": 1e10}, {"family": "g"}, {"task": "u"}, {"metric": "f1"}, {"shots": 5}]
)
def test_another_model_or_task_does_not(change):
    assert scoring.score(content(), [actual(48.0, **change)]) == []


def test_models_that_the_forecast_was_made_from_are_never_its_target():
    near = content(forecast(target=Target(parameters=1e8, tokens=2e9)))
    assert scoring.score(near, POINTS) == []


def test_a_named_target_is_the_model_of_that_name_and_seeds_are_averaged():
    named = content(forecast(target=Target(parameters=1e9, name="new")))
    observations = [actual(48.0, seed=0), actual(50.0, seed=1), replace(actual(10.0), model="else", parameters=1e9)]
    [scored] = scoring.score(named, observations)
    assert (scored.actual.model, scored.actual.value) == ("new", 49.0)


def test_the_last_checkpoint_counts():
    early = replace(actual(33.0), tokens=1.9e10)
    [scored] = scoring.score(content(), [early, actual(48.0)])
    assert scored.actual.value == 48.0


def test_the_means_separate_units_and_what_had_no_forecast():
    other = SeriesKey("f", "u", "", "ppl", 0)
    points = [replace(p, task="u", metric="ppl", ceiling=None, chance=None, higher_is_better=False) for p in POINTS]
    guess = forecast(target=Target(parameters=2e9, tokens=4e10), reason="no better than same")
    falling = forecast(series=other, value=20.0, low=19.0, high=21.0, same=40.0)
    both = sealed.sealed([forecast(), guess, falling], [*POINTS, *points], inputs={})
    measured = [
        actual(48.0), actual(30.0, parameters=2e9, tokens=4e10),
        replace(points[0], model="new", parameters=1e9, tokens=2e10, value=25.0),
    ]  # fmt: skip
    first, ppl, none, both_kinds = scoring.summaries(scoring.score(both, measured))
    assert (first.of, first.points, first.count, first.error, first.same_error) == ("forecasts", True, 1, 2.0, 8.0)
    assert (ppl.points, ppl.error, ppl.same_error, ppl.coverage) == (False, 20.0, 60.0, 0.0)  # percent of 25
    assert (none.of, none.error, none.half_width) == ("no forecast", 20.0, 4.5)
    assert (both_kinds.of, both_kinds.count, both_kinds.error, both_kinds.coverage) == ("both", 2, 11.0, 0.5)
    assert scoring.as_json(both, scoring.score(both, measured))["seal"] == both.seal
