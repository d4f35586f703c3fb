"""Plans against simulation and against the textbook."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit import metrics
from evalkit.comparison.baseline import read
from evalkit.comparison.comparable import pair_up
from evalkit.comparison.planning import from_pair, from_rate, mcnemar_documents, mcnemar_power
from evalkit.stats.mcnemar import mcnemar
from evalkit.stats.paired import Units, p_value
from tests.comparison.made import Made, write_run


def test_power_of_mcnemar_is_what_a_simulation_finds():
    rng, n, discordance, effect = np.random.default_rng(0), 400, 0.12, 0.05
    shares = [(discordance + effect) / 2, (discordance - effect) / 2, 1 - discordance]
    drawn = rng.multinomial(n, shares, size=4000)
    found = np.mean([mcnemar(int(gained), int(lost)) <= 0.05 and gained > lost for gained, lost, _ in drawn])
    assert mcnemar_power(n, discordance=discordance, effect=effect, alpha=0.05) == pytest.approx(found, abs=0.025)


@pytest.mark.parametrize(("discordance", "effect"), [(0.1, 0.02), (0.3, 0.05), (0.05, 0.05)])
def test_documents_have_the_power_asked_for_and_few_less_have_not(discordance, effect):
    n = int(mcnemar_documents(discordance, effect=effect, alpha=0.05, power=0.8))
    assert mcnemar_power(n, discordance=discordance, effect=effect, alpha=0.05) >= 0.8
    assert mcnemar_power(int(0.93 * n), discordance=discordance, effect=effect, alpha=0.05) < 0.8


def test_a_small_effect_is_planned_by_the_normal_approximation():
    plan = from_rate("acc", discordance=0.1, effect=0.1, alpha=0.05, power=0.8, source="test")
    assert plan.documents == pytest.approx(0.1 * (2.8016 / 0.001) ** 2, rel=0.001)


def test_a_plan_from_runs_of_a_graded_metric(tmp_path):
    rng = np.random.default_rng(0)
    scores = [{f"d{i}": {"f1": (x,)} for i, x in enumerate(rng.random(200).tolist())} for _ in range(2)]
    runs = [read(write_run(tmp_path / str(i), {"t": Made(scores=s, metrics=("f1",))})) for i, s in enumerate(scores)]
    [pair], _ = pair_up(*runs)
    plan = from_pair(pair, "f1", effect=5.0, alpha=0.05, power=0.8)
    spread = 100 * np.std([a["f1"][0] - b["f1"][0] for a, b in zip(*(s.values() for s in scores), strict=True)])
    assert plan.documents == pytest.approx((2.8016 * spread / 5.0) ** 2, rel=0.1)


def plan_of(folder, gains, *, effect):
    """Plan from two runs of 200 documents in f1, the first of which change by these shares."""
    scores = [{f"d{i}": {"f1": (0.5 + (gains[i] if side and i < len(gains) else 0.0),)} for i in range(200)}
              for side in range(2)]  # fmt: skip
    runs = [read(write_run(folder / str(i), {"t": Made(scores=s, metrics=("f1",))})) for i, s in enumerate(scores)]
    [pair], _ = pair_up(*runs)
    return from_pair(pair, "f1", effect=effect, alpha=0.05, power=0.8)


def test_runs_that_hardly_differ_do_not_make_an_effect_easy_to_find(tmp_path):
    # two documents of 200 change by 30 points, which by itself is an effect of 0.3 points at most
    plan = plan_of(tmp_path, [0.3, -0.3], effect=2.0)
    assert plan.documents == pytest.approx(2.8016**2 * 0.3 / 0.02, rel=0.02)
    assert "6.6% of them, not 1.0%" in plan.assumption
    rng, n = np.random.default_rng(1), int(plan.documents)
    found = 0
    for _ in range(300):
        new = np.where(rng.random(n) < 0.02 / 0.3, 0.8, 0.5)
        sides = [np.column_stack([side, np.ones(n)]) for side in (np.full(n, 0.5), new)]
        units = Units(base=sides[0], new=sides[1], single=True)
        found += p_value(metrics.get("f1"), units, resamples=2_000)[0] <= 0.05
    assert 0.72 <= found / 300 <= 0.9


def test_an_effect_beyond_every_change_needs_as_many_documents_as_a_test_does(tmp_path):
    plan = plan_of(tmp_path, [0.01], effect=5.0)
    assert plan.documents == 8 and "100.0% of them, not 0.5%" in plan.assumption
    assert plan_of(tmp_path / "all", [0.1, -0.1] * 100, effect=10.0).documents == 8


def test_never_fewer_documents_than_the_test_needs(tmp_path):
    # a strict alpha: 2**(1 - n) reaches 0.0001 from 15 documents on
    scores = [{f"d{i}": {"f1": (0.1 * side,)} for i in range(20)} for side in (0, 1)]
    scores[1]["d0"] = {"f1": (0.11,)}
    runs = [read(write_run(tmp_path / str(i), {"t": Made(scores=s, metrics=("f1",))})) for i, s in enumerate(scores)]
    [pair], _ = pair_up(*runs)
    assert from_pair(pair, "f1", effect=10.0, alpha=0.0001, power=0.01).documents >= 15
