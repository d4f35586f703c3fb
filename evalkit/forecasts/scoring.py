"""Scoring sealed forecasts by what was measured later: errors, coverage of the bands, CRPS and Brier scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from evalkit.forecasts.observations import Forecast, Observation, Target
from evalkit.forecasts.predictive import Predictive
from evalkit.forecasts.sealed import Question, Sealed, SealedSeries, ends

FORECASTS, NONE, BOTH = _KINDS = ("forecasts", "no forecast", "both")
NEAR = 0.1  # how far size and tokens of a measured model may be from the target's: a name says 12B of 11.8


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A forecast and the value that was measured."""

    series: SealedSeries
    forecast: Forecast
    question: Question
    actual: Observation

    @property
    def error(self) -> float:
        """Forecast minus actual, in the metric's unit."""
        return self.forecast.value - self.actual.value

    @property
    def same_error(self) -> float:
        """The error of "same as the largest"."""
        return self.forecast.same - self.actual.value

    @property
    def inside(self) -> bool:
        """Whether the band holds the actual value."""
        return self.forecast.low <= self.actual.value <= self.forecast.high

    @property
    def crps(self) -> float:
        """The continuous ranked probability score, in the metric's unit; that of "same" is its absolute error."""
        f = self.forecast
        return Predictive.of_band(f.value, f.low, f.high, level=f.level).crps(self.actual.value)

    @property
    def brier(self) -> float:
        """(p - outcome)^2 of the forecast's question; 0.25 is that of a coin."""
        answer = self.question.answer(self.actual.value, higher_is_better=self.series.higher_is_better)
        return (self.question.probability - float(answer)) ** 2

    @property
    def unit(self) -> float:
        """What an error is divided by: 1 for metrics with a ceiling, a hundredth of the value for others."""
        return 1.0 if self.series.ceiling is not None else abs(self.actual.value) / 100


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Means over forecasts of one kind: of FORECASTS, NONE or BOTH. points: in points, else in percent of the value."""

    of: str
    points: bool
    count: int
    error: float
    same_error: float
    coverage: float
    level: float
    half_width: float
    crps: float
    brier: float


def score(content: Sealed, observations: Iterable[Observation]) -> list[Scored]:
    """Return the forecasts whose model was measured; those that say "no forecast" too, with their best guess.

    A target is the observed model of its name; without a name, the one whose size and tokens (where both are known) are
    nearest, at most NEAR away. Models that the forecast was made from are never a target.
    """
    measured = ends(list(observations))
    every = [observation for points in measured.values() for observation in points]
    scored = []
    for series in content.series:
        fitted = {point.training for point in series.points}
        for forecast, question in zip(series.forecasts, series.questions, strict=True):
            candidates = [
                o for o in every
                if o.series._replace(family="") == series.key._replace(family="")
                and o.family == (forecast.target.family or series.key.family) and o.training not in fitted
            ]  # fmt: skip
            actual = nearest(forecast.target, candidates)
            if actual is not None:
                scored.append(Scored(series=series, forecast=forecast, question=question, actual=actual))
    return scored


def nearest(target: Target, candidates: Sequence[Observation]) -> Observation | None:
    """Return the observation of a target's model, the mean of those that differ only in their seed; None if none."""

    def distance(o: Observation) -> float:
        if target.name:
            return 0.0 if o.model == target.name else math.inf
        sizes = abs(math.log(o.parameters / target.parameters))
        tokens = abs(math.log(o.tokens / target.tokens)) if o.tokens and target.tokens else 0.0
        return max(sizes, tokens)

    near = min(candidates, key=distance, default=None)
    if near is None or distance(near) > math.log1p(NEAR):
        return None
    size = (near.parameters, near.tokens)
    seeds = [o for o in candidates if (o.parameters, o.tokens) == size and distance(o) == distance(near)]
    return replace(near, value=fmean(o.value for o in seeds))


def summaries(scored: Sequence[Scored]) -> list[Summary]:
    """Return the means: of forecasts, of those that say "no forecast" and, where there are such, of both; by unit."""
    groups: dict[tuple[str, bool], list[Scored]] = {}
    for s in scored:
        points = s.series.ceiling is not None
        groups.setdefault((FORECASTS if s.forecast.reason is None else NONE, points), []).append(s)
        groups.setdefault((BOTH, points), []).append(s)
    for points in (True, False):
        if len(groups.get((FORECASTS, points), ())) == len(groups.get((BOTH, points), ())):
            groups.pop((BOTH, points), None)
    return [
        Summary(
            of=of, points=points, count=len(group),
            error=fmean(abs(s.error) / s.unit for s in group),
            same_error=fmean(abs(s.same_error) / s.unit for s in group),
            coverage=fmean(s.inside for s in group), level=group[0].forecast.level,
            half_width=fmean((s.forecast.high - s.forecast.low) / 2 / s.unit for s in group),
            crps=fmean(s.crps / s.unit for s in group), brier=fmean(s.brier for s in group),
        )
        for (of, points), group in sorted(groups.items(), key=lambda item: (_KINDS.index(item[0][0]), not item[0][1]))
    ]  # fmt: skip


def as_json(content: Sealed, scored: Sequence[Scored]) -> dict[str, Any]:
    """Return every score and the means as JSON."""
    rows = [
        {
            **s.series.key._asdict(), "model": s.actual.model, "actual": s.actual.value, "forecast": s.forecast.value,
            "low": s.forecast.low, "high": s.forecast.high, "same": s.forecast.same, "error": s.error,
            "same_error": s.same_error, "inside": s.inside, "crps": s.crps, "threshold": s.question.threshold,
            "probability": s.question.probability, "brier": s.brier, "reason": s.forecast.reason,
        }
        for s in scored
    ]  # fmt: skip
    return {"seal": content.seal, "made": content.made, "scores": rows, "means": [asdict(s) for s in summaries(scored)]}
