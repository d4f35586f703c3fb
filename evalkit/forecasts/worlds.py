"""Worlds that the observations of a ladder allow: laws drawn from what they leave open, and what models score there.

A law is a line in the logarithm of compute, and of tokens per parameter where those vary, on the scale of the metric's
link (links.py). What the observations leave open is drawn: the line's constants from their joint normal distribution,
and a bend, because no law that was observed holds for ever. A simulated score has the noise of the documents, and that
of a training, as far as the observations scatter more about the line than their documents explain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import DataError
from evalkit.forecasts.ladders import MIN_SIZES, Ladder, Place, ladder, places, units
from evalkit.forecasts.links import Unit
from evalkit.forecasts.observations import Observation, SeriesKey, Target
from evalkit.forecasts.sealed import ends

Array = NDArray[np.float64]

BEND = 0.15  # standard deviation of the share by which a slope changes over ten times the compute
_LEAST = 0.005  # of the link's scale: the scatter of trainings is never less
_RATIOS = 0.5  # the least range of ln D/N of which a law of its own is fitted
_COLLINEAR = 0.9  # correlation of ln D/N with ln C from which on they cannot be told apart
_MOST_SHARE = 1 - 1e-6


@dataclass(frozen=True, kw_only=True)
class Laws:
    """The lines through T series of one unit: constants (T, p), their covariances (T, p, p), scatter (T,) of trainings.

    mixed: whether tokens per parameter are a quantity of their own. documents: (T,) of a share, those that its standard
    errors imply; noise: (T,) of other units, standard error over score.
    """

    ladder: Ladder
    first: tuple[Observation, ...]  # of each series, for what its observations share
    mixed: bool
    constants: Array
    covariance: Array
    scatter: Array
    documents: Array
    noise: Array

    def design(self, place: Place) -> Array:
        """Return the (K, p) quantities of K models: 1, ln C and, if mixed, ln D/N, from those of the largest model."""
        top = int(np.argmax(self.ladder.place.compute))
        columns = [np.ones(len(place)), np.log(place.compute / self.ladder.place.compute[top])]
        if self.mixed:
            ratio = self.ladder.place.tokens[top] / self.ladder.place.parameters[top]
            columns.append(np.log(place.tokens / place.parameters / ratio))
        return np.column_stack(columns)


@dataclass(frozen=True, kw_only=True)
class World:
    """One draw: constants (T, p) and the bend (T,) of each series."""

    laws: Laws
    constants: Array
    bend: Array

    def expected(self, place: Place) -> Array:
        """Return the scores, (T, K), that models of these places have in this world, without noise."""
        x = self.laws.design(place)
        y = self.constants @ x.T + self.bend[:, None] * x[None, :, 1] ** 2
        return self._scores(y)

    def measured(self, place: Place, rng: np.random.Generator, *, documents: float = 1.0) -> tuple[Array, Array]:
        """Return noisy scores and their standard errors, (T, K). documents: times as many as were observed."""
        laws = self.laws
        y = laws.ladder.link.to(self.expected(place))
        scores = self._scores(y + laws.scatter[:, None] * rng.standard_normal(y.shape))
        if laws.ladder.unit == "share":
            errors = np.sqrt(np.maximum(scores * (1 - scores), 1e-4) / (documents * laws.documents[:, None]))
            return np.clip(scores + errors * rng.standard_normal(y.shape), 0.0, _MOST_SHARE), errors
        errors = np.abs(scores) * laws.noise[:, None] / math.sqrt(documents)
        noisy = scores + errors * rng.standard_normal(y.shape)
        return np.maximum(noisy, scores / 10) if laws.ladder.unit == "ratio" else noisy, errors

    def _scores(self, y: Array) -> Array:
        scores = self.laws.ladder.link.back(y)
        return np.clip(scores, 0.0, _MOST_SHARE) if self.laws.ladder.unit == "share" else scores


def fitted(observations: Sequence[Observation]) -> list[Laws]:
    """Fit the series of one family, those of each unit together. Raises DataError for fewer than three models."""
    by_unit: dict[Unit, list[Observation]] = {}
    last = [o for points in ends(observations).values() for o in points]
    unit_of = units(last)
    for o in last:
        by_unit.setdefault(unit_of[o.series], []).append(o)
    laws = [_laws(ladder(unit, group, [math.nan] * len(group)), group) for unit, group in by_unit.items()]
    if not laws or max(len(law.ladder.place) for law in laws) < MIN_SIZES:
        raise DataError(f"a plan needs results of at least {MIN_SIZES} models of one family, whose laws it simulates")
    return laws


def _laws(steps: Ladder, group: Sequence[Observation]) -> Laws:
    first: dict[SeriesKey, Observation] = {}
    for o in group:
        first.setdefault(o.series, o)
    plain = Laws(
        ladder=steps, first=tuple(first[key] for key in steps.series), mixed=_mixed(steps), constants=np.zeros((0, 0)),
        covariance=np.zeros((0, 0, 0)), scatter=np.zeros(0), documents=_documents(steps), noise=_noise(steps),
    )  # fmt: skip
    x = plain.design(steps.place)
    y, errors = steps.link.to(steps.scores), steps.errors * steps.link.slope(steps.scores)
    lines = [_line(x, y[i], errors[i]) for i in range(len(steps.series))]
    # Few models say little about the scatter of one series: all series of a unit share what most of them show.
    scatter = max(_LEAST, float(np.median([excess for _, _, excess in lines])))
    lines = [_line(x, y[i], np.hypot(errors[i], scatter)) for i in range(len(steps.series))]
    return Laws(
        ladder=steps, first=plain.first, mixed=plain.mixed, constants=np.stack([line[0] for line in lines]),
        covariance=np.stack([line[1] for line in lines]), scatter=np.full(len(lines), scatter),
        documents=plain.documents, noise=plain.noise,
    )  # fmt: skip


def _mixed(steps: Ladder) -> bool:
    """Whether tokens per parameter vary enough, and not just as compute does, to be a quantity of their own."""
    ratio, compute = np.log(steps.place.tokens / steps.place.parameters), np.log(steps.place.compute)
    if not np.isfinite(ratio).all() or len(ratio) <= MIN_SIZES or np.ptp(ratio) < _RATIOS or np.ptp(compute) == 0:
        return False
    return bool(abs(np.corrcoef(ratio, compute)[0, 1]) < _COLLINEAR)


def _line(x: Array, y: Array, errors: Array) -> tuple[Array, Array, float]:
    """Return weighted least squares' constants, their covariance, and the scatter beyond the errors."""
    there = np.isfinite(y) & np.isfinite(errors)
    x, y, weight = x[there], y[there], 1 / np.maximum(errors[there], 1e-6) ** 2
    covariance = np.linalg.pinv((x * weight[:, None]).T @ x)
    constants = covariance @ (x.T @ (weight * y))
    spare = max(1, len(y) - x.shape[1])
    excess = float(((y - x @ constants) ** 2).sum() / spare - np.mean(1 / weight))
    return constants, np.asarray(covariance), math.sqrt(max(0.0, excess))


def _documents(steps: Ladder) -> Array:
    variance = np.maximum(steps.measured * (1 - steps.measured), 1e-4)
    return np.asarray(np.nanmedian(variance / np.maximum(steps.errors, 1e-6) ** 2, axis=1))


def _noise(steps: Ladder) -> Array:
    return np.asarray(np.nanmedian(steps.errors / np.maximum(np.abs(steps.measured), 1e-9), axis=1))


def drawn(laws: Laws, rng: np.random.Generator) -> World:
    """Draw one world."""
    count, size = laws.constants.shape
    roots = np.stack([np.linalg.cholesky(c + 1e-12 * np.eye(size)) for c in laws.covariance])
    constants = laws.constants + np.einsum("tij,tj->ti", roots, rng.standard_normal((count, size)))
    # d slope / d ln C of a bend b x^2 is 2 b.
    bend = constants[:, 1] * BEND * rng.standard_normal(count) / (2 * math.log(10))
    return World(laws=laws, constants=constants, bend=bend)


def observed(world: World, rungs: Sequence[Target], rng: np.random.Generator, *, documents: float) -> list[Observation]:
    """Return what rungs would score in a world, as observations; their models are called by their place."""
    laws = world.laws
    place = places(laws.ladder, rungs)
    scores, errors = world.measured(place, rng, documents=documents)
    values, slopes = laws.ladder.values(scores), _value_errors(laws.ladder, scores, errors)
    return [
        Observation(
            model=f"planned {k}", family=laws.ladder.family, parameters=float(place.parameters[k]),
            tokens=float(place.tokens[k]) if math.isfinite(place.tokens[k]) else None,
            compute=float(place.compute[k]) if laws.ladder.place.compute is not laws.ladder.place.parameters else None,
            seed=k, task=first.task, protocol=first.protocol, metric=first.metric, shots=first.shots,
            value=float(values[t, k]), stderr=float(slopes[t, k]), chance=first.chance, ceiling=first.ceiling,
            higher_is_better=first.higher_is_better,
        )
        for t, first in enumerate(laws.first)
        for k in range(len(rungs))
    ]  # fmt: skip


def _value_errors(steps: Ladder, scores: Array, errors: Array) -> Array:
    """Return standard errors in the units of the metrics."""
    if steps.unit == "ratio":
        return np.asarray(np.abs(steps.values(scores)) * errors / scores)
    return np.asarray(np.abs(steps.unit_of)[:, None] * errors)
