"""Predicting larger sizes: right on series of known form, chosen without the sizes to be predicted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from evalkit.report.measurements import Measurement, ModelFacts, Series, read, series
from evalkit.report.trends import predict

SIZES = np.geomspace(1e7, 1e10, 8)
X = np.log10(SIZES)
SIGMOID = 25 + 75 / (1 + np.exp(-1.5 * (X - 8.5)))


def make(values, **fields) -> Series:
    about = {"task": "t", "family": "qa", "metric": "acc", "chance": 25.0, "ceiling": 100.0, **fields}
    points = tuple(
        Measurement(model=ModelFacts(name=f"m{i}", parameters=round(n)), value=v, low=v - 1, high=v + 1, **about)
        for i, (n, v) in enumerate(zip(SIZES, map(float, values), strict=True))
    )
    return Series(ladder="l", task="t", family="qa", protocol="", metric="acc", shots=0, points=points)


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("sigmoid in log N", SIGMOID),
        ("line in log N", 30 + 6 * (X - 7)),
        ("line in log N, nearest three", 30 + 6 * (X - 7)),
        ("power law of the error", 100 - 60 * (SIZES / 1e7) ** -0.2),
        ("mean", np.full(8, 40)),
    ],
)
def test_a_form_continues_its_own_curve(form, values):
    fitted, held = predict.split(make(values), 2)
    for m in held:
        found = predict.forecast(fitted, form, m.model.parameters, actual=m)
        assert found.error == pytest.approx(0, abs=1e-3) and found.low < found.value < found.high
        assert found.baseline == pytest.approx(values[5])
        assert found.constants == (1 if form == "mean" else 2) and found.points == (3 if "three" in form else 6)
        assert bool(found.warning) == ("three" in form)


def test_a_perplexity_with_a_floor():
    values = 3 + 100 * (SIZES / 1e7) ** -0.5
    fitted, held = predict.split(make(values, ceiling=None, chance=None, higher_is_better=False), 2)
    found = predict.forecast(fitted, "power law with a floor", held[1].model.parameters, actual=held[1])
    assert found.value == pytest.approx(values[-1], rel=1e-4) and found.constants == 3
    other = predict.forecast(fitted, "sigmoid in log N", held[1].model.parameters, actual=held[1])
    assert other.form == predict.BASELINE and other.error == other.baseline_error


@pytest.mark.parametrize("rule", ["leave-one-out", "forward"])
def test_the_right_form_is_chosen_and_the_held_out_sizes_have_no_say(rule):
    choices, found = predict.hold_out([make(SIGMOID)], rule=rule)
    assert choices["share, trend"].form == "sigmoid in log N"
    assert [p.model for p in found] == ["m6", "m7"] and all(abs(p.error) < 1e-3 for p in found)
    spoiled = SIGMOID.copy()
    spoiled[-2:] = 0
    again, others = predict.hold_out([make(spoiled)], rule=rule)
    assert again == choices and [p.value for p in others] == [p.value for p in found]
    assert [p.error for p in others] == pytest.approx([p.value for p in found])


def test_a_series_without_trend_gets_its_own_choice():
    rng = np.random.default_rng(0)
    noise = [make(25 + rng.standard_normal(8), task=f"n{i}") for i in range(6)]
    choices, found = predict.hold_out([make(SIGMOID), *noise])
    assert {c.kind: c.series for c in choices.values()} == {"share, trend": 1, "share, no trend": 6}
    assert {p.form for p in found[2:]} == {"mean"}


def test_errors_of_every_form_beside_the_chosen():
    _, found = predict.hold_out([make(SIGMOID)])
    errors = predict.mean_errors(found)
    assert errors["chosen"] == pytest.approx(0, abs=1e-3) == errors["sigmoid in log N"]
    assert errors[predict.BASELINE] == pytest.approx(np.mean(SIGMOID[6:] - SIGMOID[5]))


def test_too_few_sizes_are_left_out_and_seeds_are_averaged():
    short = replace(make(SIGMOID), points=make(SIGMOID).points[:3])
    assert predict.hold_out([short]) == ({}, [])
    points = make(SIGMOID).points
    twice = replace(make(SIGMOID), points=points + tuple(replace(m, value=m.value + 2) for m in points))
    assert predict.curve_of(twice).y == pytest.approx(SIGMOID + 1)


def test_an_interval_needs_a_spare_point_or_known_errors():
    bare = replace(make(SIGMOID), points=tuple(replace(m, low=math.nan, high=math.nan) for m in make(SIGMOID).points))
    fitted, _ = predict.split(replace(bare, points=bare.points[:2]), 0)
    assert math.isnan(predict.forecast(fitted, "line in log N", 10**11).low)


def test_the_larger_models_of_pythia(data_dir):
    names = ("70m", "160m", "410m", "1b-bf16", "1.4b", "2.8b", "6.9b", "12b")
    files = [
        f for n in names for f in (data_dir / "pythia-evals" / f"pythia-{n}" / "zero-shot").glob("*step143000.json")
    ]
    every = [s for s in series(read(files)[0]) if s.metric == "acc"]
    _, found = predict.hold_out(every)
    assert {p.model for p in found} == {"pythia-6.9b", "pythia-12b"} and len(found) == 2 * len(every)
    [lambada] = [p for p in found if p.series.task == "lambada_openai" and p.model == "pythia-12b"]
    assert lambada.baseline_error == pytest.approx(-5.7, abs=0.1) and lambada.value > lambada.baseline
