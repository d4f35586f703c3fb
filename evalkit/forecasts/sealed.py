"""Sealed forecasts: a file that is written before the model exists, and cannot be edited without breaking its seal.

The file holds what was forecast (values, bands, the predictors' weights, the reason where there is no forecast), from
what (the observations that the bands continue, the inputs' digests), when and by which version. Its seal is the SHA-256
of the canonical JSON of all else. That shows an edit, not the date: publish the seal, or commit the file, for that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.errors import StoreError, UsageError
from evalkit.files import canonical_json, digest, read_json, write_atomic
from evalkit.forecasts.checkpoints import histories
from evalkit.forecasts.observations import Forecast, Observation, SeriesKey, Target
from evalkit.forecasts.predictive import Predictive

_KIND = "evalkit forecast "
FORMAT = f"{_KIND}1"
_NOISE = 1.959964 * math.sqrt(2)  # standard errors between two equally good models, in 95 of 100 cases


@dataclass(frozen=True, kw_only=True)
class Question:
    """A yes-or-no question about the new model: is its score beyond the threshold?

    threshold: "same as the largest" and the noise of a difference (1.96 x sqrt(2) standard errors) on the better side.
    probability: of yes, by the forecast.
    """

    threshold: float
    probability: float

    def answer(self, actual: float, *, higher_is_better: bool) -> bool:
        """Whether a measured value is beyond the threshold."""
        return actual > self.threshold if higher_is_better else actual < self.threshold


@dataclass(frozen=True, kw_only=True)
class SealedSeries:
    """The forecasts of one series, one per target, and the observations that they continue.

    points: the last checkpoint of each model. sealed: by target; questions: likewise.
    """

    key: SeriesKey
    points: Sequence[Observation]
    forecasts: Sequence[Forecast]
    questions: Sequence[Question]

    @property
    def higher_is_better(self) -> bool:
        """The direction of the metric."""
        return self.points[0].higher_is_better

    @property
    def ceiling(self) -> float | None:
        """The best possible value, None where there is none."""
        return self.points[0].ceiling


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A whole file. made: UTC, ISO 8601. inputs: path -> SHA-256 of what was read. seal: of all else."""

    made: str
    version: str
    command: str
    inputs: Mapping[str, str]
    targets: Sequence[Target]
    series: Sequence[SealedSeries]
    seal: str = field(default="", compare=False)


def sealed(
    forecasts: Sequence[Forecast],
    observations: Sequence[Observation],
    *,
    inputs: Mapping[str, str],
    command: str = "",
    made: datetime | None = None,
) -> Sealed:
    """Seal forecasts with the observations that they rest on. made: the time, by default now."""
    points = ends(observations)
    by_series: dict[SeriesKey, list[Forecast]] = {}
    for forecast in forecasts:
        by_series.setdefault(forecast.series, []).append(forecast)
    series = [
        SealedSeries(
            key=key, points=points[key], forecasts=of_series,
            questions=[question(forecast, points[key]) for forecast in of_series],
        )
        for key, of_series in by_series.items()
    ]  # fmt: skip
    content = Sealed(
        made=(made or datetime.now(timezone.utc)).isoformat(timespec="seconds"), version=__version__, command=command,
        inputs=dict(sorted(inputs.items())), targets=list(dict.fromkeys(f.target for f in forecasts)), series=series,
    )  # fmt: skip
    return _parsed(_sealed_json(content), Path("forecast"))


def ends(observations: Iterable[Observation]) -> dict[SeriesKey, list[Observation]]:
    """Return the last checkpoint of each training in each series, by compute or size."""
    series: dict[SeriesKey, list[Observation]] = {}
    for *_, last in histories(observations):
        series.setdefault(last.series, []).append(last)
    return {key: sorted(points, key=lambda o: (o.flops or 0.0, o.parameters)) for key, points in series.items()}


def question(forecast: Forecast, points: Sequence[Observation]) -> Question:
    """Return the question that a forecast answers: will the model beat "same" by more than noise?"""
    largest = points[-1]
    sign = 1 if largest.higher_is_better else -1
    threshold = forecast.same + sign * _NOISE * (largest.stderr or 0.0)
    below = Predictive.of_band(forecast.value, forecast.low, forecast.high, level=forecast.level).cdf(threshold)
    return Question(threshold=threshold, probability=1 - below if sign > 0 else below)


def write(path: Path, content: Sealed) -> None:
    """Write a sealed file. Raises UsageError where one exists already: a forecast is made once."""
    if path.exists():
        raise UsageError(f"{path} exists already; a sealed forecast is never overwritten: choose another name")
    write_atomic(path, json.dumps(_sealed_json(content), indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> Sealed:
    """Read a sealed file. Raises StoreError for another kind of file, and for one that was edited."""
    return parse(read_json(path, StoreError), path)


def is_sealed(raw: Any) -> bool:
    """Whether a JSON value looks like a sealed forecast."""
    return isinstance(raw, dict) and raw.get("format") == FORMAT


def parse(raw: Any, path: Path) -> Sealed:
    """Check a sealed file's seal and types."""
    if not is_sealed(raw):
        written = str(raw.get("format", "")) if isinstance(raw, dict) else ""
        if written.startswith(_KIND):
            raise StoreError(
                f"{path} is of format {written.removeprefix(_KIND):.20}, from a later evalkit; this one reads format "
                f"{FORMAT.removeprefix(_KIND)}: upgrade it"
            )
        raise StoreError(f"{path}: not a sealed forecast (no 'format': {FORMAT!r})")
    try:
        seal = _seal(raw)
    except (TypeError, ValueError):
        seal = ""
    if raw.get("seal") != seal:
        raise StoreError(f"{path}: its seal is broken: the forecast was edited after it was made")
    return _parsed(raw, path)


def _parsed(raw: Mapping[str, Any], path: Path) -> Sealed:
    try:
        targets = [Target(**target) for target in raw["targets"]]
        series = [_series(part, targets) for part in raw["series"]]
        return Sealed(
            made=str(raw["made"]), version=str(raw["evalkit"]), command=str(raw["command"]),
            inputs=dict(raw["inputs"]), targets=targets, series=series, seal=str(raw["seal"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise StoreError(f"{path}: not as evalkit writes a sealed forecast ({type(error).__name__}: {error})") from None


def _series(part: Mapping[str, Any], targets: Sequence[Target]) -> SealedSeries:
    key = SeriesKey(*(part[name] for name in SeriesKey._fields))
    shared = {**key._asdict(), **{name: part[name] for name in ("chance", "ceiling", "higher_is_better")}}
    forecasts = [
        Forecast(series=key, target=targets[int(row["target"])], notes=tuple(row["notes"]), **{
            name: row[name] for name in ("value", "low", "high", "same", "sizes", "level", "weights", "reason")
        })
        for row in part["forecasts"]
    ]  # fmt: skip
    return SealedSeries(
        key=key,
        points=[Observation(**shared, **point) for point in part["points"]],
        forecasts=forecasts,
        questions=[Question(**row["question"]) for row in part["forecasts"]],
    )


def _sealed_json(content: Sealed) -> dict[str, Any]:
    """Return a file's content with its seal."""
    places = {target: i for i, target in enumerate(content.targets)}
    body = {
        "format": FORMAT,
        "made": content.made,
        "evalkit": content.version,
        "command": content.command,
        "inputs": dict(content.inputs),
        "targets": [asdict(target) for target in content.targets],
        "series": [_series_json(series, places) for series in content.series],
    }
    return {**body, "seal": _seal(body)}


def _series_json(series: SealedSeries, places: Mapping[Target, int]) -> dict[str, Any]:
    first = series.points[0]
    own = ("model", "parameters", "tokens", "compute", "step", "seed", "value", "stderr", "n", "loss")
    return {
        **series.key._asdict(),
        "chance": first.chance,
        "ceiling": first.ceiling,
        "higher_is_better": first.higher_is_better,
        "points": [{name: getattr(point, name) for name in own} for point in series.points],
        "forecasts": [
            {
                "target": places[f.target], "value": f.value, "low": f.low, "high": f.high, "level": f.level,
                "same": f.same, "sizes": f.sizes, "weights": dict(f.weights), "reason": f.reason,
                "notes": list(f.notes), "question": asdict(q),
            }
            for f, q in zip(series.forecasts, series.questions, strict=True)
        ],
    }  # fmt: skip


def _seal(body: Mapping[str, Any]) -> str:
    return digest(canonical_json({name: value for name, value in body.items() if name != "seal"}), length=64)
