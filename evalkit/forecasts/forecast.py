"""The forecasts of every series at every target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evalkit.errors import UsageError
from evalkit.forecasts.observations import Forecast, Observation, SeriesKey, Target, checked

MIN_SIZES = 3  # below, nothing tells a trend from noise


def forecast(observations: Iterable[Observation], *, targets: Sequence[Target]) -> list[Forecast]:
    """Forecast every series at every target, in the order of the observations and the targets.

    Nothing but the observations is used: the models that are to be forecast must not be among them. Raises DataError
    for observations that contradict each other, UsageError where there is no target.
    """
    if not targets:
        raise UsageError("a forecast needs at least one target")
    groups: dict[SeriesKey, list[Observation]] = {}
    for observation in checked(observations):
        groups.setdefault(observation.series, []).append(observation)
    families = {key.family for key in groups}
    return [
        _forecast(key, group, target)
        for key, group in groups.items()
        for target in targets
        if target.family in ("", key.family) or target.family not in families
    ]


def _forecast(key: SeriesKey, group: Sequence[Observation], target: Target) -> Forecast:
    largest = max(group, key=lambda o: (o.flops or o.parameters, o.progress))
    spread = 1.645 * (largest.stderr or 0.0)
    sizes = len({o.parameters for o in group})
    return Forecast(
        series=key, target=target, value=largest.value, low=largest.value - spread, high=largest.value + spread,
        same=largest.value, sizes=sizes, weights={"same": 1.0},
        reason=None if sizes >= MIN_SIZES else f"{sizes} sizes; at least {MIN_SIZES} are needed",
    )  # fmt: skip
