"""The second step of the task law: a known sigmoid is found again, and the chain from size to accuracy holds."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.errors import DataError
from evalkit.report.trends.scaling import power_law
from evalkit.report.trends.tasklaw import task_law

TRUE = (60.0, 2.5, 2.4)


def sigmoid(loss):
    a, k, middle = TRUE
    return 25 + a / (1 + np.exp(k * (loss - middle)))


def test_known_constants_lie_within_their_intervals():
    rng = np.random.default_rng(0)
    loss = rng.uniform(1, 5, 60)
    law = task_law(loss, sigmoid(loss) + rng.standard_normal(60), floor=25, ceiling=100, refits=60, level=0.99)
    for value, low, high, true in zip(law.values, law.low, law.high, TRUE, strict=True):
        assert low < true < high and low < value < high
    assert law.scatter == pytest.approx(1, abs=0.25) and (law.points, law.parameters, law.warning) == (60, 3, "")
    low, high = law.band([1.0, 3.0])
    assert (low < law.predict([1.0, 3.0])).all() and (law.predict([1.0, 3.0]) < high).all()


def test_the_chain_from_size_to_accuracy():
    sizes, larger = np.geomspace(1e6, 1e9, 8), [1e10, 1e11]
    rng = np.random.default_rng(1)
    loss = (1.7 + 300 * sizes**-0.35) * np.exp(0.002 * rng.standard_normal(8))
    value = sigmoid(loss) + 0.3 * rng.standard_normal(8)
    first, second = power_law(sizes, loss, refits=60), task_law(loss, value, floor=25, ceiling=100, refits=60)
    predicted, low, high = second.chain(first, larger)
    assert predicted == pytest.approx(sigmoid(1.7 + 300 * np.array(larger) ** -0.35), abs=3)
    assert (low < predicted).all() and (predicted < high).all()


def test_the_ceiling_is_never_crossed():
    loss = np.linspace(1, 4, 12)
    law = task_law(loss, 25 + 90 / (1 + np.exp(2 * (loss - 1.5))), floor=25, ceiling=100, refits=0)
    assert law.predict(-10.0) <= 100 + 1e-6 and law.predict(50.0) == pytest.approx(25)
    assert np.isnan(law.band(2.0)[0]) and np.isnan(law.low).all()


def test_few_losses_are_warned_of_and_wrong_input_refused():
    loss = [4.0, 3.0, 2.0, 1.5]
    assert "only 4 sizes" in task_law(loss, [25, 30, 60, 70], floor=25, ceiling=100, refits=0).warning
    for bad in ([1, 2, 3], [2, 2, 2, 2], [1, 2, 3, float("nan")]):
        with pytest.raises(DataError):
            task_law(bad, [1] * len(bad), floor=0, ceiling=100)
