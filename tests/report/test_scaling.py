"""Laws of the loss: known constants are found again, held-out points predicted, thin evidence is said to be thin."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from evalkit.errors import DataError
from evalkit.report.trends import scaling

E, A, ALPHA, B, BETA = 1.69, 406.4, 0.34, 410.7, 0.28  # Hoffmann et al. 2022, equation 10
SIZES = np.geomspace(1e6, 1e10, 8)


def chinchilla_points(count=60, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    n, d = np.exp(rng.uniform(np.log([[4e7], [5e9]]), np.log([[1.6e10], [5e11]]), (2, count)))
    curve = E + A * n**-ALPHA + B * d**-BETA
    return n, d, curve * np.exp(noise * rng.standard_normal(count))


def ladder(noise=0.0, seed=0, sizes=SIZES):
    return (E + A * sizes**-ALPHA) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(sizes)))


def test_chinchillas_constants_without_noise():
    n, d, loss = chinchilla_points()
    law = scaling.chinchilla(n, d, loss, refits=0)
    assert law.values == pytest.approx((E, A, ALPHA, B, BETA), rel=1e-3)
    assert law.form == "L = E + A N^-alpha + B D^-beta" and (law.points, law.parameters) == (60, 5)
    assert law.predict(1e11, 2e12) == pytest.approx(E + A * 1e11**-ALPHA + B * 2e12**-BETA, rel=1e-5)
    assert max(map(abs, law.residuals)) < 1e-5 and np.isnan(law.low).all()


def test_chinchillas_constants_lie_within_their_intervals():
    n, d, loss = chinchilla_points(count=120, noise=0.005)
    law = scaling.chinchilla(n, d, loss, refits=100, level=0.99)
    for name, true in zip(law.names, (E, A, ALPHA, B, BETA), strict=True):
        low, high = law.interval(name)
        assert low < true < high and low < law[name] < high, name
    assert law.method == "100 refits of resampled points" and not law.warning
    low, high = law.band([1e9, 1e10], 1e11)
    assert (low < law.predict([1e9, 1e10], 1e11)).all() and (law.predict([1e9, 1e10], 1e11) < high).all()


def test_an_outlier_moves_little():
    n, d, loss = chinchilla_points(noise=0.001)
    spoiled = loss.copy()
    spoiled[3] *= 2
    plain, robust = (scaling.chinchilla(n, d, each, refits=0) for each in (loss, spoiled))
    assert robust.values == pytest.approx(plain.values, rel=0.05)


def test_the_power_law_of_a_ladder():
    law = scaling.power_law(SIZES, ladder(), refits=0, symbol="D")
    assert law.values == pytest.approx((E, A, ALPHA), rel=1e-3) and law.form == "L = E + A D^-alpha"
    noisy = scaling.power_law(SIZES, ladder(noise=0.01), refits=200)
    assert noisy.interval("alpha")[0] < ALPHA < noisy.interval("alpha")[1]
    assert noisy.method == "200 refits of simulated residuals"
    assert noisy == scaling.power_law(SIZES, ladder(noise=0.01), refits=200)


def test_refits_at_once_end_where_lbfgs_finds_nothing_lower():
    n, d, loss = chinchilla_points(count=40, noise=0.01)
    counts = np.random.default_rng(1).multinomial(40, np.full(40, 1 / 40), size=5)
    whole = scaling._Problem(np.array([n, d]), loss)
    start = whole.solve()
    for end, count in zip(whole.descend(start, whole.target[None], counts.astype(float)), counts, strict=True):
        drawn = np.repeat(np.arange(40), count)
        same = scaling._Problem(np.array([n, d])[:, drawn], loss[drawn])
        end[1::2] += end[2::2] * (whole.centers - same.centers)  # a is counted from the mean of log x
        reached = same.objective(end)[0]
        lower = minimize(same.objective, end, jac=True, method="L-BFGS-B", options={"ftol": 1e-13, "maxiter": 2000})
        assert reached == pytest.approx(lower.fun, rel=1e-3)


@pytest.mark.parametrize(("sizes", "warned"), [(3, "proves nothing"), (4, "only 4 sizes"), (5, "only 5"), (6, "")])
def test_a_curve_through_few_points_says_so(sizes, warned):
    x = np.geomspace(1e6, 1e9, sizes)
    law = scaling.power_law(x, ladder(sizes=x), refits=10)
    assert warned in law.warning and bool(law.warning) == bool(warned)
    assert np.isnan(law.low).all() == (sizes == 3) == np.isnan(law.band(1e10)[0]).all()


def test_seeds_are_points_but_not_sizes():
    x = np.repeat(np.geomspace(1e6, 1e9, 3), 5)
    law = scaling.power_law(x, ladder(sizes=x, noise=0.01), refits=0)
    assert (law.points, law.sizes) == (15, 3) and "proves nothing" in law.warning


def test_the_largest_is_predicted_and_its_error_signed():
    loss = ladder()
    [left] = scaling.leave_largest_out([SIZES], loss, refits=20)
    assert left.error == pytest.approx(0, abs=1e-5) and (left.points, left.parameters) == (7, 3)
    loss[-1] *= 0.9  # better than the law says: the prediction is too high
    [left] = scaling.leave_largest_out([SIZES], loss, refits=20)
    assert left.relative == pytest.approx(1 / 0.9 - 1, rel=1e-3) and left.error > 0
    n, d, loss = chinchilla_points()
    [left] = scaling.leave_largest_out([n, d], loss, refits=0)
    assert left.x == (n.max(), d[n.argmax()]) and left.relative == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("x", "loss"), [([1, 2], [3, 2]), ([1, 2, 3], [3, 2]), ([0, 1, 2], [3, 2, 1]), ([1, 2, 3], [1, float("nan"), 2])]
)
def test_points_that_cannot_be_fitted(x, loss):
    with pytest.raises(DataError):
        scaling.power_law(x, loss)
