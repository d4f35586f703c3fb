"""Predicting the next sizes of a series from the smaller ones, and how well that works.

The form of the curve is chosen among FORMS on the fitted sizes alone, never on the sizes to be predicted: each form
predicts every fitted size from the others (leave-one-out), or the next sizes from all smaller ones (forward), and the
form with the lowest mean absolute error over all series of a kind is chosen. Kinds differ in their unit and in whether
the verdict on the fitted sizes is a trend. "Same as the largest" is the honest baseline beside it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.report.measurements import Measurement, Series
from evalkit.report.trends.scaling import warning
from evalkit.report.trends.verdict import is_logarithmic, judge

Array = NDArray[np.float64]

BASELINE = "same as the largest"
LEVEL = 0.95
MIN_FITTED = 4  # sizes that a form is tried on, when forms are compared
AHEAD = 2  # sizes predicted from all smaller ones, by the rule "forward"

Rule = Literal["leave-one-out", "forward"]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a series in the space where errors are compared, one per size (trainings of one size averaged).

    x: log10 N. y: the value, or its natural logarithm for metrics in which equal ratios are equal steps.
    noise: root mean square of the points' standard errors, 0 where unknown. floor, ceiling: what bounds the values.
    """

    x: Array
    y: Array
    noise: float
    floor: float | None
    ceiling: float | None
    logarithmic: bool

    def only(self, places: Sequence[int]) -> Curve:
        """Return some of the sizes alone."""
        return replace(self, x=self.x[list(places)], y=self.y[list(places)])


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A predicted measurement. low, high: the 95% interval for a new measurement, NaN without a point to spare.

    baseline: the value of the largest fitted size. actual: what was measured, or None for a size not yet trained.
    """

    series: Series
    form: str
    model: str
    parameters: int
    value: float
    low: float
    high: float
    baseline: float
    actual: Measurement | None
    points: int
    constants: int
    warning: str

    @property
    def error(self) -> float:
        """Return predicted - actual, in the metric's shown unit."""
        assert self.actual
        return self.value - self.actual.value

    @property
    def baseline_error(self) -> float:
        """The same of the baseline."""
        assert self.actual
        return self.baseline - self.actual.value


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The form chosen for a kind of series. errors: each form's mean absolute error when forms were compared."""

    kind: str
    form: str
    errors: Mapping[str, float]
    series: int


def curve_of(series: Series) -> Curve:
    """Return the points of a series."""
    groups: dict[int, list[Measurement]] = defaultdict(list)
    for m in series.points:
        groups[m.model.parameters or 1].append(m)
    logarithmic = is_logarithmic(series.points)
    values = np.array([sum(m.value for m in group) / len(group) for group in groups.values()])
    errors = [m.stderr / (m.value if logarithmic else 1.0) for m in series.points]
    complete = all(map(math.isfinite, errors))
    first = series.points[0]
    bounded = first.higher_is_better and first.ceiling is not None
    floor = first.chance or 0.0
    return Curve(
        x=np.log10(np.array(list(groups), dtype=np.float64)),
        y=np.log(values) if logarithmic else values,
        noise=math.sqrt(sum(e * e for e in errors) / len(errors)) if complete else 0.0,
        floor=(floor if min(values) > floor else 0.0) if bounded else None,
        ceiling=first.ceiling if bounded else None,
        logarithmic=logarithmic,
    )


@dataclass(frozen=True)
class _Fitted:
    """A fitted form: predictions at x, and what an interval needs. slopes: d fit / d constants, per point."""

    at: Array
    constants: int
    residuals: Array
    slopes: Array
    slopes_at: Array


def _polynomial(curve: Curve, x: Array, degree: int) -> _Fitted:
    center = curve.x.mean()
    slopes, slopes_at = (np.vander(v - center, degree + 1) for v in (curve.x, x))
    theta = np.linalg.lstsq(slopes, curve.y, rcond=None)[0]
    return _Fitted(slopes_at @ theta, degree + 1, curve.y - slopes @ theta, slopes, slopes_at)


def _same(curve: Curve, x: Array) -> _Fitted:
    """Take the next smaller size, or the smallest. The point itself is the one constant."""
    nearest = np.maximum(np.searchsorted(curve.x, x) - 1, 0)
    return _Fitted(curve.y[nearest], 1, np.zeros(1), np.ones((1, 1)), np.ones((len(x), 1)))


def _mean(curve: Curve, x: Array) -> _Fitted:
    return _polynomial(curve, x, 0)


def _line(curve: Curve, x: Array) -> _Fitted:
    return _polynomial(curve, x, 1)


def _nearest_three(curve: Curve, x: Array) -> _Fitted:
    """Fit a line to the three sizes nearest to the first x: to predict larger ones, the three largest."""
    return _polynomial(curve.only(np.sort(np.argsort(np.abs(curve.x - x[0]), kind="stable")[:3]).tolist()), x, 1)


def _least_squares(curve: Curve, x: Array, of: Callable[[Array, Array], Array], start: Sequence[float]) -> _Fitted:
    """Fit a curve that is not linear in its constants."""
    from scipy.optimize import approx_fprime, least_squares

    solution = least_squares(lambda theta: of(theta, curve.x) - curve.y, start, method="lm", max_nfev=400)
    slopes_at = np.atleast_2d(approx_fprime(solution.x, lambda theta: of(theta, x), 1e-6))
    return _Fitted(of(solution.x, x), len(solution.x), solution.fun, solution.jac, slopes_at)


def _sigmoid(curve: Curve, x: Array) -> _Fitted | None:
    """Fit floor + (ceiling - floor) / (1 + exp(-k (log10 N - m)))."""
    if curve.ceiling is None or curve.floor is None:
        return None
    floor, height = curve.floor, curve.ceiling - curve.floor

    def of(theta: Array, at: Array) -> Array:
        return np.asarray(floor + height / (1 + np.exp(-np.clip(theta[0] * (at - center) + theta[1], -50, 50))))

    center = curve.x.mean()
    share = np.clip((curve.y - floor) / height, 0.02, 0.98)
    slope, shift = np.polyfit(curve.x - center, np.log(share / (1 - share)), 1)
    return _least_squares(curve, x, of, [slope, shift])


def _error_power(curve: Curve, x: Array) -> _Fitted | None:
    """Fit ceiling - A N^-alpha: the share of wrong answers falls as a power."""
    if curve.ceiling is None or max(curve.y) >= curve.ceiling:
        return None
    ceiling, center = curve.ceiling, curve.x.mean()

    def of(theta: Array, at: Array) -> Array:
        return np.asarray(ceiling - np.exp(np.clip(theta[0] * (at - center) + theta[1], -50, 50)))

    return _least_squares(curve, x, of, np.polyfit(curve.x - center, np.log(ceiling - curve.y), 1).tolist())


def _floored_power(curve: Curve, x: Array) -> _Fitted | None:
    """Fit E + A N^-alpha, in logarithms: the law of the loss, for metrics without a ceiling that fall with size."""
    if not curve.logarithmic:
        return None
    center = curve.x.mean()

    def of(theta: Array, at: Array) -> Array:
        return np.asarray(np.logaddexp(theta[0], theta[1] + theta[2] * (at - center)))

    slope, shift = np.polyfit(curve.x - center, curve.y, 1)
    return _least_squares(curve, x, of, [min(curve.y) - 1, shift, slope])


FORMS: Mapping[str, Callable[[Curve, Array], _Fitted | None]] = MappingProxyType(
    {
        BASELINE: _same,
        "mean": _mean,
        "line in log N": _line,
        "line in log N, nearest three": _nearest_three,
        "sigmoid in log N": _sigmoid,
        "power law of the error": _error_power,
        "power law with a floor": _floored_power,
    }
)


@dataclass(frozen=True, kw_only=True)
class Extended:
    """A form continued to other sizes: values with their 95% prediction intervals; points and constants of the fit."""

    value: Array
    low: Array
    high: Array
    points: int
    constants: int


def extend(curve: Curve, x: Array, form: str) -> Extended | None:
    """Continue a curve to log10 N by one of FORMS; None where the form does not suit the metric.

    The interval is Student's, from the curve's linearisation: of the scatter about the curve, or of the points' own
    errors where these are larger. The uncertainty of the choice of form is not included.
    """
    from scipy.stats import t as student

    fitted = FORMS[form](curve, x)
    if fitted is None:
        return None
    spare = len(fitted.residuals) - fitted.constants
    variance = fitted.residuals @ fitted.residuals / spare if spare > 0 else 0.0
    variance = max(float(variance), curve.noise**2)
    if variance and (spare > 0 or curve.noise):
        inverse = np.linalg.pinv(fitted.slopes.T @ fitted.slopes)
        growth = 1 + np.einsum("ik,kl,il->i", fitted.slopes_at, inverse, fitted.slopes_at)
        margin = student.ppf((1 + LEVEL) / 2, max(1, spare)) * np.sqrt(variance * growth)
    else:
        margin = np.full(len(x), math.nan)
    bounds = [fitted.at, fitted.at - margin, fitted.at + margin]
    value, low, high = (np.exp(b) if curve.logarithmic else b for b in bounds)
    if curve.ceiling is not None:
        low, high = np.maximum(low, 0.0), np.minimum(high, curve.ceiling)
    return Extended(value=value, low=low, high=high, points=len(fitted.residuals), constants=fitted.constants)


def held_back(sizes: int) -> int:
    """Return how many of the largest sizes to hold back: a quarter, at least one."""
    return max(1, sizes // 4)


def split(series: Series, held: int) -> tuple[Series, tuple[Measurement, ...]]:
    """Return the series without its `held` largest sizes, and those."""
    sizes = sorted({m.model.parameters or 0 for m in series.points})
    limit = sizes[-held] if held else math.inf
    fitted = tuple(m for m in series.points if (m.model.parameters or 0) < limit)
    return replace(series, points=fitted), tuple(m for m in series.points if (m.model.parameters or 0) >= limit)


def kind_of(series: Series) -> str:
    """Return the kind of a series: ratio, share (with a ceiling) or other points, and whether it is a trend."""
    curve = curve_of(series)
    unit = "ratio" if curve.logarithmic else "points" if curve.ceiling is None else "share"
    return f"{unit}, {'trend' if judge(series).kind == 'trend' else 'no trend'}"


def choose(fitted: Iterable[Series], *, rule: Rule = "leave-one-out") -> dict[str, Choice]:
    """Choose a form per kind of series, within the sizes given; of equals, the first of FORMS."""
    errors: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    counts: dict[str, int] = defaultdict(int)
    for series in fitted:
        kind, curve = kind_of(series), curve_of(series)
        counts[kind] += 1
        for form in FORMS:
            errors[kind][form] += _errors(curve, form, rule)
    choices = {}
    for kind, by_form in errors.items():
        most = max(map(len, by_form.values()))
        means = {form: float(np.mean(e)) for form, e in by_form.items() if e and len(e) == most}
        best = min(means, key=lambda form: means[form]) if means else BASELINE
        choices[kind] = Choice(kind=kind, form=best, errors=means, series=counts[kind])
    return choices


def _errors(curve: Curve, form: str, rule: Rule) -> list[float]:
    """Return a form's absolute errors in predicting some sizes from others; none where it does not suit the curve."""
    n = len(curve.x)
    if rule == "forward":
        splits = [([*range(k)], [*range(k, min(k + AHEAD, n))]) for k in range(MIN_FITTED, n)]
    else:
        splits = [([*range(i), *range(i + 1, n)], [i]) for i in range(n) if n > MIN_FITTED]
    errors: list[float] = []
    for fitted_on, predicted in splits:
        fitted = FORMS[form](curve.only(fitted_on), curve.x[predicted])
        if fitted is None:
            return []
        errors += np.abs(fitted.at - curve.y[predicted]).tolist()
    return errors


def hold_out(
    every: Sequence[Series], *, held: int | None = None, rule: Rule = "leave-one-out"
) -> tuple[dict[str, Choice], list[Prediction]]:
    """Predict the `held` largest sizes of every series from the others (None: a quarter of the sizes).

    Series with fewer than 3 sizes to fit are left out.
    """
    parts = []
    for series in every:
        count = held_back(len({m.model.parameters for m in series.points})) if held is None else held
        parts.append(split(series, count))
    return predict_parts(parts, rule=rule)


def predict_parts(
    parts: Iterable[tuple[Series, Sequence[Measurement]]], *, rule: Rule = "leave-one-out"
) -> tuple[dict[str, Choice], list[Prediction]]:
    """Choose a form on the fitted parts of series and predict the others; parts of under 3 sizes are left out."""
    usable = [(fitted, actual) for fitted, actual in parts if len({m.model.parameters for m in fitted.points}) >= 3]
    choices = choose((fitted for fitted, _ in usable), rule=rule)
    predictions = []
    for fitted, actual in usable:
        form = choices[kind_of(fitted)].form
        predictions += [forecast(fitted, form, m.model.parameters or 1, actual=m) for m in actual]
    return choices, predictions


def forecast(fitted: Series, form: str, parameters: int, *, actual: Measurement | None = None) -> Prediction:
    """Predict one size from a series by one of FORMS (the baseline where the form does not suit the metric)."""
    curve, x = curve_of(fitted), np.array([math.log10(parameters)])
    extended = extend(curve, x, form)
    if extended is None:
        form = BASELINE
        extended = extend(curve, x, form)
    assert extended
    return Prediction(
        series=fitted,
        form=form,
        model=actual.model.name if actual else "",
        parameters=parameters,
        value=float(extended.value[0]),
        low=float(extended.low[0]),
        high=float(extended.high[0]),
        baseline=float(np.exp(curve.y[-1]) if curve.logarithmic else curve.y[-1]),
        actual=actual,
        points=extended.points,
        constants=extended.constants,
        warning=warning(extended.points, extended.constants) if extended.constants > 1 else "",
    )


def mean_errors(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Return the mean absolute error of what was chosen ("chosen") and, for comparison, of every form used throughout.

    In the metric's shown unit, so give predictions of one unit. The chosen form was chosen without the actual
    values; which of the others is best is known only afterwards.
    """
    assert predictions
    errors = {"chosen": [abs(p.error) for p in predictions]}
    for form in FORMS:
        other = [forecast(p.series, form, p.parameters, actual=p.actual) for p in predictions]
        if any(p.form == form for p in other):
            errors[form] = [abs(p.error) for p in other]
    return {name: sum(e) / len(e) for name, e in errors.items()}
