"""Plans of ladders, on simulated truths of which the right design is known."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import t as student

from evalkit.cli import main
from evalkit.errors import DataError, UsageError
from evalkit.forecasts import design, worlds
from evalkit.forecasts.observations import Forecast, Observation, Target

TARGET = Target(parameters=1e9, tokens=2e10)


def truth(n: float, d: float, task: int) -> float:
    """Points: the error falls as a power of the compute."""
    return 100 * (1 - math.exp(-(0.4 + 0.02 * task) - (0.06 + 0.01 * task) * math.log(6 * n * d / 1e17)))


def pilot(*, documents: int, seed: int = 0, sizes: Sequence[float] = (1e7, 1.5e7, 2e7, 3e7)) -> list[Observation]:
    """Four small models on four tasks, with the noise of their documents."""
    rng = np.random.default_rng(seed)
    observations = []
    for i, n in enumerate(sizes):
        for task in range(4):
            p = truth(n, 20 * n, task) / 100
            stderr = 100 * math.sqrt(p * (1 - p) / documents)
            value = 100 * p + stderr * rng.standard_normal()
            observations.append(
                Observation(
                    model=f"m{i}", family="f", parameters=n, tokens=20 * n, task=f"t{task}", metric="acc", value=value,
                    stderr=stderr, n=documents, chance=0.0, ceiling=100.0,
                )
            )  # fmt: skip
    return observations


def line(observations: Sequence[Observation], *, targets: Sequence[Target]) -> list[Forecast]:
    """Student's prediction interval of a line in ln C through -ln(error): what a textbook would forecast."""
    groups: dict[object, list[Observation]] = {}
    for o in observations:
        groups.setdefault(o.series, []).append(o)
    forecasts = []
    for key, group in groups.items():
        x = np.array([math.log(o.flops or 0) for o in group])
        y = np.array([-math.log(max(1 - o.value / 100, 1e-3)) for o in group])
        design_matrix = np.column_stack([np.ones(len(x)), x - x.mean()])
        theta, *_ = np.linalg.lstsq(design_matrix, y, rcond=None)
        spare = len(x) - 2
        s2 = float(((y - design_matrix @ theta) ** 2).sum() / spare)
        for target in targets:
            at = math.log(target.flops or 0) - x.mean()
            reach = student.ppf(0.95, spare) * math.sqrt(s2 * (1 + 1 / len(x) + at**2 / ((x - x.mean()) ** 2).sum()))
            middle = theta[0] + theta[1] * at
            value, low, high = (100 * (1 - math.exp(-v)) for v in (middle, middle - reach, middle + reach))
            forecasts.append(
                Forecast(series=key, target=target, value=value, low=low, high=high, same=group[-1].value, sizes=len(x))  # type: ignore[arg-type]
            )
    return forecasts


def advise(observations, **more):
    settings = {"budget": 1e18, "target": TARGET, "predict": line, "worlds": 8, **more}
    return design.advise(observations, **settings)


def by_shape(advice: design.Advice) -> dict[tuple[int, int], float]:
    """Half width by number of rungs and spread."""
    return {
        (len(o.plan.rungs), round(o.plan.rungs[-1].parameters / o.plan.rungs[0].parameters)): o.half_width
        for o in advice.outcomes
    }


def test_every_plan_costs_the_budget_and_stays_below_the_target():
    plans = design.plans(1e18, TARGET)
    assert {len(plan.rungs) for plan in plans} == {3, 4, 5, 6}
    for plan in plans:
        assert plan.compute == pytest.approx(1e18, rel=1e-6)
        sizes = [rung.parameters for rung in plan.rungs]
        ratios = [b / a for a, b in pairwise(sizes)]
        assert ratios == pytest.approx([ratios[0]] * len(ratios)) and sizes[-1] < TARGET.parameters
        assert all(rung.tokens == pytest.approx(20 * rung.parameters) for rung in plan.rungs)


def test_another_ratio_of_tokens_is_planned_beside_the_usual_one():
    plans = design.plans(1e18, Target(parameters=1e9, tokens=2e11))
    assert {round((plan.rungs[0].tokens or 0) / plan.rungs[0].parameters) for plan in plans} == {20, 200}


@pytest.mark.parametrize(
    ("budget", "message"), [(1e21, "trains the target itself, which takes 1.2e[+]20"), (1e9, "trains no ladder")]
)
def test_a_budget_that_is_too_large_or_too_small_is_refused(budget, message):
    with pytest.raises(UsageError, match=message):
        design.plans(budget, TARGET)


def test_a_wider_spread_of_sizes_beats_a_narrow_one_at_the_same_cost():
    widths = by_shape(advise(pilot(documents=1000), worlds=32))
    for rungs in (3, 4, 5, 6):
        assert widths[rungs, 64] < widths[rungs, 4]


def test_a_plan_narrows_the_band_and_a_larger_budget_more():
    observations = pilot(documents=1000)
    small, large = advise(observations, budget=1e17), advise(observations, budget=1e19)
    assert large.outcomes[0].half_width < small.outcomes[0].half_width < small.now.half_width


def test_noisy_tasks_want_documents_more_than_precise_ones():
    def gain(documents: int) -> float:
        advice = advise(pilot(documents=documents))
        return advice.further["twice the documents"].half_width / advice.outcomes[0].half_width

    assert gain(100) < 0.95 < gain(1_000_000)


def test_the_same_seed_gives_the_same_plan_and_another_one_other_numbers():
    observations = pilot(documents=500)
    first, again, other = (advise(observations, seed=seed, worlds=3) for seed in (1, 1, 2))
    assert first == again and first.now != other.now


def test_a_plan_needs_three_models():
    with pytest.raises(DataError, match="at least 3 models"):
        advise(pilot(documents=500, sizes=(1e7, 2e7)))


def test_the_fitted_law_is_the_true_one_where_there_is_no_noise():
    [laws] = worlds.fitted(pilot(documents=10**9))
    world = worlds.World(laws=laws, constants=laws.constants, bend=np.zeros(4))
    place = worlds.places(laws.ladder, [TARGET])
    expected = 100 * world.expected(place)[:, 0]
    assert expected == pytest.approx([truth(1e9, 2e10, task) for task in range(4)], abs=0.5)


def test_simulated_scores_have_the_noise_of_their_documents():
    [laws] = worlds.fitted(pilot(documents=400))
    calm = replace(laws, scatter=np.zeros(4))
    world = worlds.World(laws=calm, constants=calm.constants, bend=np.zeros(4))
    place = worlds.places(laws.ladder, [Target(parameters=2e7, tokens=4e8)] * 4000)
    for documents, expected in ((1.0, 400), (4.0, 1600)):
        scores, errors = world.measured(place, np.random.default_rng(0), documents=documents)
        mean = scores.mean(axis=1)
        assert scores.std(axis=1) == pytest.approx(np.sqrt(mean * (1 - mean) / expected), rel=0.1)
        assert errors.mean(axis=1) == pytest.approx(scores.std(axis=1), rel=0.1)


def test_perplexities_stay_positive_and_fall():
    observations = [
        Observation(
            model=f"m{n}", family="f", parameters=n, tokens=20 * n, task="lm", metric="ppl", value=100 * n**-0.2,
            stderr=0.02 * n**-0.2, higher_is_better=False,
        )
        for n in (1e6, 1e7, 1e8)
    ]  # fmt: skip
    [laws] = worlds.fitted(observations)
    world = worlds.drawn(laws, np.random.default_rng(0))
    [large] = worlds.observed(world, [TARGET], np.random.default_rng(1), documents=1.0)
    assert large.value == pytest.approx(100 * 1e9**-0.2, rel=0.2) and not large.higher_is_better
    assert large.stderr == pytest.approx(0.0002 * large.value, rel=0.05)


def test_the_command_prints_a_plan_of_80_columns_and_writes_it(tmp_path, capsys):
    rows = ["model,family,parameters,tokens,task,metric,value,n"]
    rows += [f"{o.model},f,{o.parameters},{o.tokens},{o.task},acc,{o.value / 100},{o.n}" for o in pilot(documents=500)]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    words = ["plan", str(tmp_path / "t.csv"), "--budget", "1e18", "--target", "N=1B,D=20B", "--worlds", "2"]
    assert main([*words, "--json", str(tmp_path / "plan.json")]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "The best one:" in out and "a larger rung" in out
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert sum(rung["compute"] for rung in plan["plans"][0]["rungs"]) == pytest.approx(1e18, rel=1e-6)
    assert plan["plans"][0]["half_width"] < plan["plans"][-1]["half_width"] and plan["further"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--budget", "much"], "expected a number of FLOPs above 0"),
        (["--target", "1B"], "expected N=SIZE"),
        (["--worlds", "1"], "expected at least 2"),
        (["--target", "N=1B,family=g"], "unknown family of models 'g'"),
    ],
)
def test_wrong_options_are_one_clear_line(tmp_path, capsys, change, message):
    (tmp_path / "t.csv").write_text("model,family,parameters,task,metric,value\na,f,1e6,t,acc,0.5\n")
    words = ["plan", str(tmp_path / "t.csv"), "--budget", "1e18", "--target", "N=1B"]
    assert main([*words, *change]) == 2
    assert message in capsys.readouterr().err
