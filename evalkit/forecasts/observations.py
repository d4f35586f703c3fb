"""What a forecast is made from, where it is asked for, and what it is.

An observation is one value of one metric of one task, of one checkpoint of one model. A series is the observations that
share family, task, protocol, metric and shots: what one curve goes through.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from evalkit.errors import DataError, UsageError

LEVEL = 0.9  # of the bands
FLOPS = 6  # per parameter and token, where the compute of a training is unknown (Kaplan et al. 2020, section 2.1)


class SeriesKey(NamedTuple):
    """What the observations of one curve share."""

    family: str
    task: str
    protocol: str
    metric: str
    shots: int | None


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One measured value. Raises DataError for one that cannot be.

    model: its name. family: the ladder or recipe of its training; laws go through models of one family alone.
    parameters: N. tokens: D, seen in training, and compute: C in FLOPs, both 0 before it. step, seed: of the training;
    a model's checkpoints share name, parameters and seed. value: in the metric's unit (accuracies in points, say);
    stderr: its standard error in the same unit, None where unknown. n: documents, None where unknown. loss: the
    model's own, in nats, of one text for all models. chance: the value of a guess. ceiling: the best possible value,
    None where there is none.
    """

    model: str
    parameters: float
    task: str
    metric: str
    value: float
    family: str = ""
    tokens: float | None = None
    compute: float | None = None
    step: int | None = None
    seed: int | None = None
    protocol: str = ""
    shots: int | None = 0
    stderr: float | None = None
    n: int | None = None
    loss: float | None = None
    chance: float | None = None
    ceiling: float | None = None
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        where = f"{self.task or 'a task without a name'} of {self.model or 'a model without a name'}"
        for name in ("parameters", "loss"):
            _check(where, name, getattr(self, name), above=0.0)
        for name in ("tokens", "compute", "step", "stderr", "n"):
            _check(where, name, getattr(self, name), least=0.0)
        for name in ("value", "chance", "ceiling"):
            _check(where, name, getattr(self, name))
        if not self.model or not self.task or not self.metric:
            raise DataError(f"{where}: an observation needs a model, a task and a metric")
        if self.ceiling is not None and self.value > self.ceiling * (1 + 1e-9):
            raise DataError(f"{where}: the value {self.value:g} lies above the ceiling, {self.ceiling:g}")
        if self.ceiling is not None and self.chance is not None and self.chance >= self.ceiling:
            raise DataError(f"{where}: chance ({self.chance:g}) is not below the ceiling ({self.ceiling:g})")

    @property
    def flops(self) -> float | None:
        """The compute, or 6 N D where only those are known."""
        return flops(self.parameters, self.tokens, self.compute)

    @property
    def series(self) -> SeriesKey:
        """The series that the observation belongs to."""
        return SeriesKey(self.family, self.task, self.protocol, self.metric, self.shots)

    @property
    def training(self) -> tuple[str, str, float, int | None]:
        """What identifies the model's training: all its checkpoints share it."""
        return self.family, self.model, self.parameters, self.seed

    @property
    def progress(self) -> float:
        """What orders the checkpoints of a training: the tokens, the step or the compute, whichever is known."""
        return next((float(at) for at in (self.tokens, self.step, self.compute) if at is not None), 0.0)


@dataclass(frozen=True, kw_only=True)
class Target:
    """The model that a forecast is for. Raises UsageError for one that cannot be.

    parameters, tokens, compute: as of an Observation. Unknown tokens: as many as those of the largest model observed,
    in each family. family: of the model; "" for a further size of every family. A family that was not observed is
    another recipe: it is forecast from every family that was, with wider bands. name: how to call it.
    """

    parameters: float
    tokens: float | None = None
    compute: float | None = None
    family: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        for symbol in ("parameters", "tokens", "compute"):
            number = getattr(self, symbol)
            if number is not None and not (math.isfinite(number) and number > 0):
                raise UsageError(f"a target's {symbol} are a number above 0, not {number:g}")

    @property
    def flops(self) -> float | None:
        """The compute, or 6 N D where only those are known."""
        return flops(self.parameters, self.tokens, self.compute)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A forecast of one series at one target, in the metric's unit.

    value, low, high: the forecast and its band at `level`, for a new measurement with the noise of those observed.
    same: the baseline, "the same as the largest observed". predictions: what each predictor says; weights: its share.
    sizes: how many models it rests on. reason: why there is no forecast, in words; None where there is one. Where there
    is none, value and band are still the best guess, for those who need a number. notes: what widened the band.
    """

    series: SeriesKey
    target: Target
    value: float
    low: float
    high: float
    same: float
    sizes: int
    level: float = LEVEL
    weights: Mapping[str, float] = field(default_factory=dict, hash=False)
    reason: str | None = None
    notes: tuple[str, ...] = ()
    predictions: Mapping[str, float] = field(default_factory=dict, hash=False, compare=False)

    @property
    def family(self) -> str:
        """The family of the observations that it rests on."""
        return self.series.family

    @property
    def task(self) -> str:
        """The task."""
        return self.series.task

    @property
    def protocol(self) -> str:
        """The protocol of the task."""
        return self.series.protocol

    @property
    def metric(self) -> str:
        """The metric."""
        return self.series.metric

    @property
    def shots(self) -> int | None:
        """The examples in the prompt, None where unknown."""
        return self.series.shots


def flops(parameters: float, tokens: float | None, compute: float | None) -> float | None:
    """Return the compute of a training, or 6 N D where only those are known; None where neither is."""
    if compute is not None:
        return float(compute)
    return None if tokens is None else FLOPS * float(parameters) * float(tokens)


def checked(observations: Iterable[Observation]) -> tuple[Observation, ...]:
    """Return the observations, each once. Raises DataError where two contradict each other or a series is not one.

    Two that say the same count once. One checkpoint has one value of a series, and one series one chance, ceiling and
    direction.
    """
    values: dict[tuple[object, ...], Observation] = {}
    kinds: dict[SeriesKey, tuple[object, ...]] = {}
    for observation in observations:
        where = f"{observation.task}, {observation.metric}, of {observation.model}"
        kind = (observation.higher_is_better, observation.ceiling)
        if kinds.setdefault(observation.series, kind) != kind:
            raise DataError(f"{where}: the direction or the ceiling is not that of the other models")
        place = (observation.training, observation.progress, observation.series)
        if values.setdefault(place, observation).value != observation.value:
            raise DataError(
                f"{where}: two values ({values[place].value:g} and {observation.value:g}) of one checkpoint; "
                "different trainings have different names or seeds"
            )
    if not values:
        raise DataError("no observation to forecast from")
    return tuple(values.values())


def _check(where: str, name: str, number: float | None, *, least: float = -math.inf, above: float = -math.inf) -> None:
    if number is not None and not (math.isfinite(number) and number >= least and number > above):
        limit = "a number above 0" if above == 0 else "a number of at least 0" if least == 0 else "a finite number"
        raise DataError(f"{where}: {name} is {limit}, not {number!s:.40}")
