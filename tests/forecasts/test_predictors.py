"""The parts of a forecast: curves against a general Gaussian process, abilities, checkpoints, weights, factors."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from evalkit.forecasts import bands, laws, shrunken, stacking
from evalkit.forecasts.backtests import backtests, trend
from evalkit.forecasts.checkpoints import smoothed_ends
from evalkit.forecasts.ladders import Ladder, ladder, places, score, units
from evalkit.forecasts.links import LINKS, ODDS
from evalkit.forecasts.observations import Observation, Target
from evalkit.forecasts.parts import Part
from evalkit.forecasts.shrunken import Hypothesis, curves, evidence
from tests.benchmarks.simulated_ladders import ladder as simulated


def ends_of(observations):
    return smoothed_ends(observations, units(observations))


def of(observations) -> Ladder:
    last, smoothed = ends_of(observations)
    [unit] = set(units(last).values())
    return ladder(unit, last, smoothed)


@pytest.mark.parametrize(("unit", "link"), [(unit, link) for unit, links in LINKS.items() for link in links])
def test_links_are_inverted_and_their_slopes_are_slopes(unit, link):
    scores = np.linspace(0.02, 0.98, 9)
    assert link.back(link.to(scores)) == pytest.approx(scores)
    step = 1e-6
    assert (link.to(scores + step) - link.to(scores - step)) / (2 * step) == pytest.approx(link.slope(scores), rel=1e-5)
    assert (np.diff(link.to(scores)) > 0).all()


def test_a_wandering_slope_has_the_covariance_of_its_integral():
    """Of an Ornstein-Uhlenbeck slope, whose covariance is exp(-|u - v| / length)."""
    h = Hypothesis(0.0, 0.0, 1.3, 2.0, 0.0, 1.0)
    along = np.array([0.7, 2.5])
    found = shrunken._covariance(h, along, 2.5, None) - shrunken._DIFFUSE**2
    for i, j in ((0, 0), (0, 1), (1, 1)):
        integral, _ = dblquad(lambda u, v: 1.3**2 * math.exp(-abs(u - v) / 2), 0, along[i], 0, along[j])
        assert found[i, j] == pytest.approx(integral, rel=1e-5)


def test_evidence_is_that_of_the_joint_normal_distribution():
    h = Hypothesis(0.1, 0.05, 0.2, 3.0, 0.1, 0.7)
    x, at = np.array([0.0, 1.0, 2.5]), np.array([4.0])
    y, errors = np.array([[0.2, 0.5, 0.6]]), np.array([[0.05, 0.04, 0.06]])
    found = evidence(y, errors, x, at, hypotheses=[h])
    along = np.append(x, at)
    covariance = shrunken._covariance(h, along, 2.5, None)
    line = y.mean() + 0.1 * (along - 2.5)
    covariance[:3, :3] += np.diag(0.7 * (errors[0] ** 2 + shrunken._EXACT**2))
    joint = multivariate_normal(line[:3], covariance[:3, :3])
    # The constant of the density is left out.
    assert found.likelihood[0, 0] == pytest.approx(joint.logpdf(y[0]) + 1.5 * math.log(2 * math.pi))
    gain = covariance[3, :3] @ np.linalg.inv(covariance[:3, :3])
    assert found.mean[0, 0, 0] == pytest.approx(line[3] + gain @ (y[0] - line[:3]))
    assert found.variance[0, 0, 0] == pytest.approx(covariance[3, 3] - gain @ covariance[:3, 3], rel=1e-6)


def test_a_missing_point_says_nothing():
    x, at = np.array([0.0, 1.0, 2.0, 3.0]), np.array([4.0])
    y, errors = np.array([[0.1, 0.2, 0.3, 0.35]]), np.full((1, 4), 0.02)
    lacking = y.copy()
    lacking[0, 1] = np.nan
    [less] = curves([evidence(lacking, errors, x, at)])
    present = [0, 2, 3]
    [without] = curves([evidence(y[:, present], errors[:, present], x[present], at)])
    assert less.mean == pytest.approx(without.mean, abs=1e-4)
    assert less.variance == pytest.approx(without.variance, rel=1e-2)


def test_many_series_shrink_the_slope_of_a_noisy_one():
    """Alone its points are taken for a trend; among twenty flat series, more of it is noise."""
    rng = np.random.default_rng(1)
    x, at = np.arange(6.0), np.array([8.0])
    noisy = np.array([[0.02, 0.0, 0.09, 0.05, 0.13, 0.12]])
    errors = np.full((1, 6), 0.05)
    [alone] = curves([evidence(noisy, errors, x, at)])
    flat = 0.05 * rng.standard_normal((40, 6))
    among, _ = curves([evidence(noisy, errors, x, at), evidence(flat, np.full((40, 6), 0.05), x, at)])
    assert noisy.mean() < among.mean[0, 0] < alone.mean[0, 0]


def test_one_factor_finds_the_abilities_that_made_the_scores():
    rng = np.random.default_rng(0)
    ability, loading = np.array([-1.5, -0.7, 0.1, 0.9, 1.2]), rng.uniform(0.5, 1.5, 30)
    y = rng.uniform(0, 2, 30)[:, None] + np.outer(loading, ability) + 0.02 * rng.standard_normal((30, 5))
    y[3, 2] = np.nan
    found, errors = laws.one_factor(y, np.full((30, 5), 0.02))
    assert np.corrcoef(found, ability)[0, 1] > 0.999 and (errors < 0.02).all()
    assert found * np.ptp(ability) / np.ptp(found) == pytest.approx(ability - ability.mean(), abs=0.03)


def test_two_steps_need_the_loss_of_every_model():
    observed = simulated("equal tokens", seed=1, tasks=6, laws=("sigmoid",)).observed
    at = [Target(parameters=1e11)]
    whole, partly = of(observed), of([replace(o, loss=None if o.model == "m0" else o.loss) for o in observed])
    [found] = laws.two_steps([Part(ladder=whole, at=places(whole, at))], link=ODDS)
    assert found is not None and np.isfinite(found.scores).all()
    assert laws.two_steps([Part(ladder=partly, at=places(partly, at))], link=ODDS) == [None]


def training(values, *, task="t", model="m", parameters=1e8) -> list[Observation]:
    return [
        Observation(
            model=model, parameters=parameters, tokens=1e10 * (i + 1), task=task, metric="acc", value=v, stderr=1.5,
            n=1000, ceiling=100.0,
        )
        for i, v in enumerate(values)
    ]  # fmt: skip


def test_late_checkpoints_take_the_noise_off_the_last_one():
    rng = np.random.default_rng(0)
    observations = [o for i in range(30) for o in training(50 + rng.normal(size=12), task=f"t{i}")]
    last, smoothed = ends_of(observations)
    raw = np.array([score(o, "share")[0] for o in last])
    assert [o.tokens for o in last] == [12e10] * 30
    assert np.abs(np.array(smoothed) - 0.5).mean() < 0.6 * np.abs(raw - 0.5).mean()


def test_an_annealed_end_is_left_as_it_is():
    rng = np.random.default_rng(0)
    observations = [o for i in range(30) for o in training([*(50 + rng.normal(size=11)), 56.0], task=f"t{i}")]
    assert np.isnan(ends_of(observations)[1]).all()


def test_models_that_were_not_trained_and_early_checkpoints_are_no_ends():
    untrained = replace(training([25.0])[0], tokens=0)
    early = training([30.0], task="u")
    last, _ = ends_of([untrained, *training([40.0, 50.0, 55.0]), *early])
    assert [(o.task, o.value) for o in last] == [("t", 55.0)]


def test_backtests_go_from_the_largest_size_down_and_see_smaller_sizes_alone():
    observed = simulated("grid of N and D", seed=2, tasks=4, laws=("power",)).observed
    whole = of(observed)
    tests = backtests([whole])
    sizes = sorted({o.parameters for o in observed})
    assert [len(test.guess.ladder.sizes) for test in tests] == list(range(len(sizes) - 1, 2, -1))
    assert all(test.guess.ladder.place.parameters.max() < sizes[-1] for test in tests)
    three = backtests([whole.only(np.flatnonzero(whole.size <= sizes[2]))])
    assert [len(test.guess.ladder.sizes) for test in three] == [2]
    larger = {o.model for o in observed if o.parameters == sizes[-1]}
    changed = backtests([of([replace(o, value=1.0) if o.model in larger else o for o in observed])])
    for test, again in pairwise([tests[0], changed[0]]):
        assert np.array_equal(test.guess.scores, again.guess.scores) and not np.array_equal(test.actual, again.actual)


def test_a_trend_counts_by_its_standard_errors():
    found = of(simulated("equal tokens", seed=0, tasks=12, laws=("power", "flat")).observed)
    clear = dict(zip((key.task.split()[0] for key in found.series), trend(found), strict=True))
    assert clear["power"] > clear["flat"]


def test_weights_are_the_smallest_sum_on_the_simplex():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((9, 4))
    matrix, right = root.T @ root + np.eye(4), rng.standard_normal(4)
    found = stacking._on_simplex(matrix, right)
    best = minimize(
        lambda w: w @ matrix @ w - 2 * right @ w, np.full(4, 0.25), bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-14},
    )  # fmt: skip
    assert found == pytest.approx(best.x, abs=1e-4)


def test_the_predictor_that_was_right_gains_weight_and_without_backtests_none_does():
    tests = backtests([of(simulated("equal tokens", seed=5, tasks=60, laws=("power",)).observed)])
    none = stacking.stack([], "share")
    assert none.trend["same"] == pytest.approx(none.trend["sigmoid"] / 2) and none.flat["three largest"] == 0
    name = tests[0].guess.names.index("sigmoid")
    perfect = [replace(t, actual=t.guess.scores[..., name]) for t in tests]
    assert stacking.stack(perfect, "share").trend["sigmoid"] > 1.5 * none.trend["sigmoid"]


def test_factors_are_the_quantile_of_the_errors_and_never_below_the_normal_one():
    tests = backtests([of(simulated("equal tokens", seed=6, tasks=60, laws=("power", "flat")).observed)])
    weights = stacking.stack([], "share")
    link = tests[0].guess.ladder.link
    right = [replace(t, actual=stacking.combined(t.guess, weights)) for t in tests]
    assert bands.factors(right, weights).trend == pytest.approx(1.6448536, rel=1e-6)
    off = [
        replace(t, actual=link.back(link.to(a.actual) - 4 * bands.spread(t.guess, weights)))
        for t, a in zip(tests, right, strict=True)
    ]
    assert bands.factors(off, weights).trend == pytest.approx(4, rel=1e-6)
    assert 1.8 < bands.factors([], weights).flat < 1.9  # Student's, with eight degrees of freedom
