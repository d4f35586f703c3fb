"""Plans against simulation and against the textbook."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.comparison.baseline import read
from evalkit.comparison.comparable import pair_up
from evalkit.comparison.planning import from_pair, from_rate, mcnemar_documents, mcnemar_power
from evalkit.stats.mcnemar import mcnemar
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
