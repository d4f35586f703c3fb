"""A ladder as arrays: the ends of its trainings, and all series of one unit that were measured on them.

T series, M models in the order of their size, K targets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalkit.forecasts.links import LINKS, Array, Link, Unit
from evalkit.forecasts.observations import FLOPS, Observation, SeriesKey, Target

Indices = NDArray[np.int64]

_N = 1000  # documents, where neither their number nor a standard error is known
_RATIO_ERROR = 0.02  # of a ratio or a plain number over the largest, where its standard error is unknown
_HALF = 0.5  # documents that a share stays away from 0 and 1, so that its logarithm is finite
MIN_SIZES = 3  # distinct parameters by which models count as sizes; with fewer, every compute is a size


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where M models stand: parameters, tokens (all NaN where one is unknown), compute (then the parameters), loss."""

    parameters: Array
    tokens: Array
    compute: Array
    loss: Array

    def __getitem__(self, models: Indices) -> Place:
        return Place(
            parameters=self.parameters[models], tokens=self.tokens[models], compute=self.compute[models],
            loss=self.loss[models],
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.parameters)


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The series of one family and unit at M models; scores, measured, errors: (T, M), NaN where one was not measured.

    measured: the links' scores as they were; scores: without the noise that a training's other checkpoints show.
    errors: standard errors of the measured. unit_of, sign: (T,), what a score is to be multiplied by, and -1 where less
    is better. top: (T,), the most that a score can be told from. size: (M,), equal for models of one size.
    """

    family: str
    unit: Unit
    series: tuple[SeriesKey, ...]
    place: Place
    size: Array
    scores: Array
    measured: Array
    errors: Array
    unit_of: Array
    sign: Array
    top: Array

    @property
    def link(self) -> Link:
        """The link in which forecasts are combined."""
        return LINKS[self.unit][0]

    def only(self, models: Indices) -> Ladder:
        """Return the ladder of some of the models."""
        return replace(
            self, place=self.place[models], size=self.size[models], scores=self.scores[:, models],
            measured=self.measured[:, models], errors=self.errors[:, models],
        )  # fmt: skip

    def values(self, scores: Array) -> Array:
        """Return scores, (T, K), in the units of the metrics; shares stay from 0, or what was measured, to 1."""
        sign, unit_of = self.sign[:, None], self.unit_of[:, None]
        if self.unit == "share":
            least = np.minimum(0.0, np.nanmin(self.measured, axis=1, keepdims=True, initial=0.0))
            scores = np.clip(scores, least, 1.0)
            return np.asarray(unit_of * np.where(sign > 0, scores, 1 - scores))
        return np.asarray(unit_of * (scores**sign if self.unit == "ratio" else sign * scores))

    @property
    def sizes(self) -> list[Indices]:
        """The models of each size, from the smallest size on."""
        return [np.flatnonzero(self.size == size) for size in np.unique(self.size)]

    @property
    def measured_sizes(self) -> Indices:
        """How many sizes each series was measured at, (T,)."""
        present = np.isfinite(self.scores)
        return np.asarray(np.sum([present[:, models].any(axis=1) for models in self.sizes], axis=0, dtype=np.int64))


def mean_of_present(values: Array) -> Array:
    """Return the means over the last axis of what is not NaN; NaN where nothing is left."""
    present = np.isfinite(values)
    count = present.sum(axis=-1)
    return np.where(count > 0, np.where(present, values, 0.0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def units(observations: Sequence[Observation]) -> dict[SeriesKey, Unit]:
    """Return the unit of each series: a share where there is a ceiling, a ratio where all values are above 0."""
    chosen: dict[SeriesKey, Unit] = {}
    for o in observations:
        unit: Unit = "share" if o.ceiling is not None else "ratio" if o.value > 0 else "plain"
        chosen[o.series] = unit if chosen.get(o.series, unit) == unit else "plain"
    return chosen


def _most(o: Observation) -> float:
    """Return the share that is as close to 1 as the number of documents can tell."""
    return 1 - _HALF / ((o.n or _N) + 1)


def score(o: Observation, unit: Unit, *, largest: float = 1.0) -> tuple[float, float]:
    """Return the score of an observation and its standard error. largest: what plain numbers are divided by."""
    if unit == "share":
        assert o.ceiling is not None
        share = o.value / o.ceiling if o.higher_is_better else 1 - o.value / o.ceiling
        n, share = o.n or _N, min(share, _most(o))
        error = o.stderr / abs(o.ceiling) if o.stderr else math.sqrt(max(share * (1 - share), _HALF / n) / n)
        return share, error
    if unit == "ratio":
        ratio = o.value if o.higher_is_better else 1 / o.value
        return ratio, ratio * (o.stderr / o.value if o.stderr is not None else _RATIO_ERROR)
    sign = 1 if o.higher_is_better else -1
    return sign * o.value / largest, (o.stderr / largest if o.stderr is not None else _RATIO_ERROR)


def ladder(unit: Unit, ends: Sequence[Observation], smoothed: Sequence[float]) -> Ladder:
    """Return the ladder of the ends of one family's trainings.

    smoothed: the score that stands for each (checkpoints.py); NaN: its own.
    """
    trainings = {o.training: o for o in ends}
    known = all(o.flops for o in trainings.values())
    order = sorted(trainings.values(), key=lambda o: (o.parameters, o.flops if known else 0, str(o.training)))
    column = {o.training: j for j, o in enumerate(order)}
    series = tuple(dict.fromkeys(o.series for o in ends))
    row = {key: i for i, key in enumerate(series)}
    largest = (
        {key: max(abs(o.value) for o in ends if o.series == key) or 1.0 for key in series} if unit == "plain" else {}
    )
    shape = len(series), len(order)
    scores, measured, errors = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    unit_of, sign, top = np.ones(len(series)), np.ones(len(series)), np.full(len(series), np.inf)
    for o, smooth in zip(ends, smoothed, strict=True):
        i, j = row[o.series], column[o.training]
        measured[i, j], errors[i, j] = score(o, unit, largest=largest.get(o.series, 1.0))
        scores[i, j] = measured[i, j] if math.isnan(smooth) else smooth
        sign[i] = 1 if o.higher_is_better else -1
        top[i] = _most(o) if unit == "share" else np.inf
        unit_of[i] = o.ceiling if unit == "share" and o.ceiling else largest.get(o.series, 1.0)
    place = _place(order, known=known)
    distinct = len(set(place.parameters.tolist())) >= MIN_SIZES
    return Ladder(
        family=ends[0].family, unit=unit, series=series, place=place,
        size=place.parameters if distinct else place.compute, scores=scores, measured=measured, errors=errors,
        unit_of=unit_of, sign=sign, top=top,
    )  # fmt: skip


def _place(models: Sequence[Observation], *, known: bool) -> Place:
    parameters = np.array([float(o.parameters) for o in models])
    tokens = np.array([float(o.tokens or math.nan) for o in models])
    return Place(
        parameters=parameters,
        tokens=tokens if np.isfinite(tokens).all() else np.full(len(models), np.nan),
        compute=np.array([float(o.flops or 0) for o in models]) if known else parameters,
        loss=np.array([o.loss or math.nan for o in models]),
    )


def places(ladder: Ladder, targets: Sequence[Target]) -> Place:
    """Return where targets stand beside a ladder.

    Unknown tokens are those of its largest model. Compute that is not given is 6 N D, times what the largest model's
    compute is of its own 6 N D: counts of other kinds are not mixed.
    """
    place = ladder.place
    top = int(np.argmax(place.compute))
    parameters = np.array([float(t.parameters) for t in targets])
    tokens = np.array([float(t.tokens or place.tokens[top]) for t in targets])
    if np.isfinite(place.tokens).all() and (place.compute != place.parameters).any():
        rate = place.compute[top] / (FLOPS * place.parameters[top] * place.tokens[top])
        compute = np.array(
            [float(t.compute or rate * FLOPS * n * d) for t, n, d in zip(targets, parameters, tokens, strict=True)]
        )
    elif (place.compute != place.parameters).any():  # compute without tokens: it grows with N as it did
        compute = np.array(
            [float(t.compute or place.compute[top] * t.parameters / place.parameters[top]) for t in targets]
        )
    else:
        compute, tokens = parameters, np.full(len(targets), np.nan)
    return Place(parameters=parameters, tokens=tokens, compute=compute, loss=np.full(len(targets), np.nan))
