"""Forecasts: right on laws that are known, better than "same" on simulated ladders, with bands that hold."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from evalkit.errors import DataError, UsageError
from evalkit.forecasts.forecast import forecast
from evalkit.forecasts.observations import Observation, Target
from tests.benchmarks.simulated_ladders import SHAPES, ladder

SIZES = np.geomspace(1e7, 3e9, 6)
TOKENS = 3e10
LARGER = Target(parameters=1e10, tokens=TOKENS, name="larger")


def exact(law, *, sizes=SIZES, **fields) -> list[Observation]:
    """Observations without noise. law: from parameters to the value."""
    about = {"task": "t", "metric": "acc", "ceiling": 100.0, "stderr": 0.05, "n": 100_000, **fields}
    return [
        Observation(model=f"m{i}", parameters=float(n), tokens=TOKENS, value=float(law(n)), **about)
        for i, n in enumerate(sizes)
    ]


def power(n, exponent=0.1):
    return 100 - 70 * (n / 1e7) ** -exponent


def test_a_power_law_of_the_error_is_continued():
    [found] = forecast(exact(power), targets=[LARGER])
    assert found.value == pytest.approx(power(1e10), abs=0.6) and abs(found.same - power(1e10)) > 3
    assert found.low < power(1e10) < found.high and found.reason is None and found.sizes == 6
    assert sum(found.weights.values()) == pytest.approx(1) and found.weights.keys() == found.predictions.keys()
    for name in ("least squares", "three largest"):
        assert found.predictions[name] == pytest.approx(power(1e10), abs=1e-6)
    assert found.predictions["same"] == found.same == pytest.approx(power(SIZES[-1]))


def test_a_perplexity_that_falls_to_a_floor_is_not_forecast_below_it():
    observations = exact(lambda n: 3 + 20 * (n / 1e7) ** -0.6, metric="ppl", ceiling=None, higher_is_better=False)
    [found] = forecast(observations, targets=[LARGER])
    assert 3 < found.value < found.same and found.value == pytest.approx(3 + 20 * 1000**-0.6, rel=0.05)


def test_a_metric_in_which_less_is_better_and_that_has_a_ceiling():
    """An error rate is the mirror image of the accuracy."""
    [right] = forecast(exact(power), targets=[LARGER])
    [wrong] = forecast(exact(lambda n: 100 - power(n), higher_is_better=False), targets=[LARGER])
    assert wrong.value == pytest.approx(100 - right.value)
    assert (wrong.low, wrong.high) == pytest.approx((100 - right.high, 100 - right.low))


def test_values_below_zero_are_continued_on_their_own_scale():
    observations = exact(lambda n: 4 * math.log10(n / 1e8), metric="gain", ceiling=None)
    [found] = forecast(observations, targets=[LARGER])
    assert found.same == pytest.approx(4 * math.log10(30)) and found.same < found.value < 9


@pytest.mark.parametrize("sizes", [1, 2])
def test_few_sizes_have_a_reason_and_still_a_band(sizes):
    [found] = forecast(exact(power, sizes=SIZES[:sizes]), targets=[LARGER])
    assert found.reason and f"{sizes} size" in found.reason
    assert found.low < found.value < found.high


def test_three_sizes_do_with_a_band_from_noise_and_drift():
    """Student's t with one degree of freedom would give a band of 60 points."""
    values = {1e8: 40.0, 3e8: 47.0, 1e9: 53.0}
    observations = exact(values.get, sizes=values, stderr=1.5, n=1000)
    [found] = forecast(observations, targets=[Target(parameters=3e9, tokens=TOKENS)])
    assert found.reason is None and 54 < found.value < 60 and 5 < found.high - found.low < 30


def test_noise_about_a_level_is_no_trend():
    rng = np.random.default_rng(0)
    observations = [
        o for i in range(20) for o in exact(lambda n: 25 + rng.normal(), task=f"flat {i}", stderr=1.4, n=1000)
    ]
    found = forecast(observations, targets=[LARGER])
    off, off_same = (
        np.mean(np.abs(np.array(side) - 25)) for side in zip(*((f.value, f.same) for f in found), strict=True)
    )
    assert off < 0.75 * off_same
    assert {f.reason is None for f in found} == {True, False}


def test_no_forecast_where_same_is_better_on_the_sizes_observed():
    """It rises and falls in turn, so that every line is wrong."""
    zigzag = dict(zip(SIZES.tolist(), [50.0, 50.0, 60.0, 60.0, 50.0, 50.0], strict=True))
    [found] = forecast(exact(zigzag.get), targets=[LARGER])
    assert found.reason and found.reason.startswith('no better than "same"')


def test_the_order_of_observations_and_other_targets_change_nothing():
    drawn = ladder("equal tokens", seed=3, tasks=5).observed
    shuffled = random.Random(0).sample(drawn, len(drawn))
    targets = [LARGER, Target(parameters=2e10, tokens=TOKENS)]
    alone = {f.series: (f.value, f.low, f.high) for f in forecast(drawn, targets=[LARGER])}
    for f in forecast(shuffled, targets=targets):
        if f.target == LARGER:
            assert (f.value, f.low, f.high) == pytest.approx(alone[f.series], rel=1e-9)


@pytest.mark.parametrize("factor", [0.01, 1000.0])
def test_units_of_values_and_of_compute_change_nothing(factor):
    drawn = [o for o in ladder("equal tokens", seed=4, tasks=8).observed if o.task]
    plain = forecast(drawn, targets=[LARGER])
    scaled = [
        replace(
            o, value=o.value * factor, stderr=o.stderr * factor,
            ceiling=o.ceiling and o.ceiling * factor, chance=o.chance and o.chance * factor,
            parameters=o.parameters * factor,
        )
        for o in drawn
    ]  # fmt: skip
    moved = forecast(scaled, targets=[replace(LARGER, parameters=LARGER.parameters * factor)])
    assert [f.value for f in moved] == pytest.approx([f.value * factor for f in plain], rel=1e-6)
    assert [f.high for f in moved] == pytest.approx([f.high * factor for f in plain], rel=1e-6)


def test_bands_widen_with_distance():
    targets = [Target(parameters=n, tokens=TOKENS) for n in (5e9, 2e10, 1e11)]
    widths = [f.high - f.low for f in forecast(exact(power, stderr=1.0, n=2500), targets=targets)]
    assert widths[0] < widths[1] < widths[2]


def test_another_recipe_is_said_and_widens():
    observations = exact(power, family="ours")
    plain, other = forecast(observations, targets=[replace(LARGER, family="ours"), replace(LARGER, family="annealed")])
    assert other.value == plain.value and other.high - other.low > 1.5 * (plain.high - plain.low)
    assert not plain.notes and "another recipe (annealed)" in other.notes[0]


def test_other_tokens_per_parameter_are_said_and_widen():
    plain, more = forecast(exact(power), targets=[LARGER, replace(LARGER, parameters=1e9, tokens=10 * TOKENS)])
    assert not plain.notes and any("tokens per parameter" in note for note in more.notes)
    assert more.high - more.low > plain.high - plain.low


def test_unknown_tokens_of_a_target_are_those_of_the_largest_and_compute_is_counted_alike():
    observations = [replace(o, compute=9 * o.parameters * TOKENS) for o in exact(power)]
    known = replace(LARGER, compute=9 * LARGER.parameters * TOKENS)
    values = [
        forecast(observations, targets=[t])[0].value for t in (known, LARGER, Target(parameters=LARGER.parameters))
    ]
    assert values[1:] == pytest.approx(values[:1] * 2)


def test_parameters_alone_do():
    observations = [replace(o, tokens=None) for o in exact(power)]
    [found] = forecast(observations, targets=[Target(parameters=1e10)])
    assert found.value == pytest.approx(power(1e10), abs=0.6)


def test_families_are_forecast_apart_and_a_target_of_one_family_there_alone():
    observations = exact(power, family="a") + exact(lambda n: power(n) - 20, family="b")
    found = forecast(observations, targets=[LARGER, replace(LARGER, family="b")])
    assert [(f.family, f.target.family) for f in found] == [("a", ""), ("b", ""), ("b", "b")]
    assert found[0].value - found[1].value > 5 and found[1].value == found[2].value


def test_a_series_that_lacks_models_is_forecast_from_those_it_has():
    whole = [o for i in range(4) for o in exact(power, task=f"t{i}")]
    partly = [o for o in whole if o.task != "t3" or o.model in ("m2", "m3", "m4")]
    found = {f.task: f for f in forecast(partly, targets=[LARGER])}
    assert found["t3"].sizes == 3 and found["t3"].value == pytest.approx(power(1e10), abs=2)
    small = [o for o in whole if o.task != "t3" or o.model in ("m0", "m1")]
    [early] = [f for f in forecast(small, targets=[LARGER]) if f.task == "t3"]
    assert early.reason and early.low < early.value < early.high
    late = forecast([o for o in whole if o.task != "t3" or o.model == "m5"], targets=[LARGER])
    without = forecast([o for o in whole if o.task != "t3"], targets=[LARGER])
    assert [f.low for f in late[:3]] == pytest.approx([f.low for f in without], rel=0.02)
    once = [o for o in whole if o.task != "t3" or o.model == "m2"]
    [alone] = [f for f in forecast(once, targets=[LARGER]) if f.task == "t3"]
    assert alone.reason and alone.value == pytest.approx(alone.same)


def test_a_perfect_score_stays_within_the_band():
    values = dict(zip(SIZES.tolist(), [54.0, 70.0, 90.0, 98.0, 99.8, 100.0], strict=True))
    [found] = forecast(exact(values.get, n=500, stderr=None), targets=[LARGER])
    assert found.low < found.value <= 100 and found.high == 100


def test_what_cannot_be_forecast():
    with pytest.raises(UsageError, match="target"):
        forecast(exact(power), targets=[])
    with pytest.raises(DataError, match="no observation"):
        forecast([], targets=[LARGER])


@pytest.mark.parametrize("shape", SHAPES)
def test_simulated_ladders(shape):
    """Closer than "same", and 90% bands that hold about as often."""
    off, off_same, inside = [], [], []
    for seed in range(4):
        drawn = ladder(shape, seed=100 + seed, tasks=25, laws=("power", "sigmoid", "line", "flat"))
        actual = {(o.series, o.model): o.value for o in drawn.targets}
        targets = {o.model: Target(parameters=o.parameters, tokens=o.tokens, name=o.model) for o in drawn.targets}
        for f in forecast(drawn.observed, targets=list(targets.values())):
            value = actual[f.series, f.target.name]
            off.append(abs(f.value - value))
            off_same.append(abs(f.same - value))
            inside.append(f.low <= value <= f.high)
    assert np.mean(off) < 0.98 * np.mean(off_same)
    assert 0.8 <= np.mean(inside) <= 1
