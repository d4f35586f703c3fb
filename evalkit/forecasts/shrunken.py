"""Curves of many series at once, each shrunk towards what the others show.

A series is, in its link and along x (ln C, or an ability), a Gaussian process: a level, a slope that wanders, a random
walk and noise,

    y(x) = level + slope (x - x0) + integral of a stationary Ornstein-Uhlenbeck slope + random walk + noise,

so that a few points give a straight line, many a bent one, and the last slope fades into the usual one with distance.
How steep, bent and noisy a series is, is one of TRENDS. Their shares among the series are estimated from all of them
at once (nonparametric empirical Bayes: Kiefer and Wolfowitz 1956, doi:10.1214/aoms/1177728066), starting from equal
ones that weigh as much as PRIOR series; a forecast is the mean over a series' own posterior. With one series and
three points the prior speaks, with a hundred series they do.

H hypotheses, T series, M points, K targets.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.forecasts.ladders import mean_of_present
from evalkit.forecasts.links import Array

PRIOR = 50.0
_ROUNDS = 60
_DIFFUSE = 10.0  # standard deviation of a level of which nothing is known
_MISSING = 1e6  # variance of a point that was not measured
_EXACT = 0.005  # no point is taken to be more exact, in the unit of a link


@dataclass(frozen=True)
class Hypothesis:
    """Mean and sd of slopes per unit of x; sd and length of the wander of a slope; sd of the walk per root of x.

    noise: the variance of a point over its squared standard error: models answer the same documents, so that they
    share part of it.
    """

    mean: float
    slope: float
    wander: float
    length: float
    walk: float
    noise: float


TRENDS = tuple(
    Hypothesis(*slope, *wander, walk, noise)
    for slope, wander, walk, noise in itertools.product(
        ((0.0, 0.0), (0.03, 0.03), (0.1, 0.07)),
        ((0.0, 1.0), (0.05, 4.0), (0.2, 2.0)),
        (0.005, 0.025, 0.1, 0.3),
        (0.3, 0.8),
    )
)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What each hypothesis makes of each series: ln likelihood, (H, T), mean and variance at the targets, (H, T, K)."""

    hypotheses: tuple[Hypothesis, ...]
    likelihood: Array
    mean: Array
    variance: Array


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A forecast: mean and variance of the curve at targets, (T, K); noise: as in Hypothesis, (T,)."""

    mean: Array
    variance: Array
    noise: Array


def evidence(
    y: Array,
    errors: Array,
    x: Array,
    at: Array,
    *,
    second: tuple[Array, Array] | None = None,
    hypotheses: Sequence[Hypothesis] = TRENDS,
) -> Evidence:
    """Return what hypotheses make of y, (T, M), with standard errors, at x, (M,), for targets, (K,).

    second: a quantity of points and targets, (M,) and (K,), along which y may have a slope of its own.
    """
    points, origin = y.shape[1], min(x.min(), at.min())
    along = np.concatenate([x, at]) - origin
    end = x.max() - origin
    measured = np.isfinite(y)
    center = np.nan_to_num(mean_of_present(y))[:, None]  # so that the unit of a ratio changes nothing
    turn = None if second is None else np.concatenate(second) - second[0].mean()
    squares = np.where(measured, errors, 0.0) ** 2 + _EXACT**2
    parts = []
    for h in hypotheses:
        line = h.mean * (along - end)
        between = _covariance(h, along, end, turn)
        noise = np.where(measured, h.noise * squares, _MISSING)
        total = between[:points, :points] + noise[:, :, None] * np.eye(points)
        residual = np.where(measured, y - center - line[:points], 0.0)
        root = np.linalg.inv(np.linalg.cholesky(total))
        white = (root @ residual[..., None])[..., 0]
        reach = root @ between[:points, points:]
        height = np.log(root[:, range(points), range(points)]).sum(1) - (white**2).sum(1) / 2
        parts.append(
            (
                height,
                center + line[points:] + np.einsum("tmk,tm->tk", reach, white),
                np.diag(between)[points:] - (reach**2).sum(1),
            )
        )
    likelihood, mean, variance = (np.stack(part) for part in zip(*parts, strict=True))
    return Evidence(hypotheses=tuple(hypotheses), likelihood=likelihood, mean=mean, variance=np.maximum(variance, 0.0))


def curves(parts: Sequence[Evidence], *, prior: float = PRIOR) -> list[Curve]:
    """Weigh the hypotheses by all series of all parts, and return the means over their posteriors, part by part."""
    likelihood = np.concatenate([part.likelihood for part in parts], axis=1)
    heights = np.exp(likelihood - likelihood.max(axis=0))
    count = len(heights)
    shares = np.full(count, 1 / count)
    for _ in range(_ROUNDS):
        posterior = shares[:, None] * heights
        posterior /= posterior.sum(axis=0)
        shares = (posterior.sum(axis=1) + prior / count) / (posterior.shape[1] + prior)
    posterior = shares[:, None] * heights
    posterior /= posterior.sum(axis=0)
    noise = np.array([h.noise for h in parts[0].hypotheses])
    results, start = [], 0
    for part in parts:
        weights = posterior[:, start : start + part.likelihood.shape[1]]
        start += part.likelihood.shape[1]
        mean = np.einsum("ht,htk->tk", weights, part.mean)
        spread = np.einsum("ht,htk->tk", weights, part.variance + (part.mean - mean) ** 2)
        results.append(Curve(mean=mean, variance=spread, noise=noise @ weights))
    return results


def _covariance(h: Hypothesis, along: Array, end: float, turn: Array | None) -> Array:
    """Return the covariance of a curve's points and targets, without noise."""
    rate, s, t = 1 / h.length, along[:, None], along[None, :]
    wander = 2 * rate * np.minimum(s, t) + np.exp(-rate * s) + np.exp(-rate * t) - 1 - np.exp(-rate * np.abs(s - t))
    line = h.slope**2 * (s - end) * (t - end)
    total = line + (h.wander / rate) ** 2 * wander + h.walk**2 * np.minimum(s, t) + _DIFFUSE**2
    if turn is not None:
        total = total + ((h.mean + h.slope) / 2) ** 2 * np.outer(turn, turn)
    return np.asarray(total)
