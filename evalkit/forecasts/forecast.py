"""The forecasts of every series at every target."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from evalkit.errors import UsageError
from evalkit.forecasts import bands, stacking
from evalkit.forecasts.backtests import Guess, backtests, guesses
from evalkit.forecasts.bands import Factors
from evalkit.forecasts.checkpoints import smoothed_ends
from evalkit.forecasts.ladders import MIN_SIZES, Ladder, ladder, places, units
from evalkit.forecasts.lines import largest
from evalkit.forecasts.links import Array, Unit
from evalkit.forecasts.observations import Forecast, Observation, SeriesKey, Target, checked
from evalkit.forecasts.parts import Part
from evalkit.forecasts.stacking import Weights
from evalkit.forecasts.verdicts import reasons

_OTHER_RECIPE = 0.1  # sd, in the unit of a link, by which another recipe is taken to move a score
_UNLIKE = 0.7  # ln D / N beyond those of the ladder from which on it is said
_FAR = 3.0  # e-folds of C beyond the ladder that are said where the ladder is no longer itself
_MOST = 100.0  # e-folds, in words


def forecast(observations: Iterable[Observation], *, targets: Sequence[Target]) -> list[Forecast]:
    """Forecast every series at every target, in the order of the observations and the targets.

    Nothing but the observations is used: the models that are to be forecast must not be among them. Raises DataError
    for observations that contradict each other, UsageError where there is no target.
    """
    if not targets:
        raise UsageError("a forecast needs at least one target")
    given = checked(observations)
    kinds = units(given)
    last, smoothed = smoothed_ends(given, kinds)
    groups: dict[Unit, dict[str, list[int]]] = {}
    for i, o in enumerate(last):
        groups.setdefault(kinds[o.series], {}).setdefault(o.family, []).append(i)
    found = [
        one
        for unit, families in groups.items()
        for one in _of_unit(
            [ladder(unit, [last[i] for i in group], [smoothed[i] for i in group]) for group in families.values()],
            targets,
        )
    ]
    order = {key: i for i, key in enumerate(dict.fromkeys(o.series for o in given))}
    return sorted(found, key=lambda f: (order[f.series], targets.index(f.target)))


def _of_unit(ladders: Sequence[Ladder], targets: Sequence[Target]) -> list[Forecast]:
    """Forecast the series of ladders of one unit; their series are weighed together."""
    tests = backtests(ladders)
    found = guesses([Part(ladder=one, at=places(one, targets)) for one in ladders])
    weights = stacking.stack(tests, ladders[0].unit)
    factors = bands.factors(tests, weights)
    verdicts = reasons(tests, weights)
    families = {one.family for one in ladders}
    return [
        forecast
        for guess in found
        for forecast in _forecasts(guess, targets, weights, factors, verdicts)
        if forecast.target.family in ("", forecast.family) or forecast.target.family not in families
    ]


def _forecasts(
    guess: Guess,
    targets: Sequence[Target],
    weights: Weights,
    factors: Factors,
    verdicts: Mapping[SeriesKey, str | None],
) -> Iterator[Forecast]:
    """Yield the forecasts of a ladder's series at all targets."""
    ladder, link = guess.ladder, guess.ladder.link
    scores, shares = stacking.combined(guess, weights), weights.of(guess)
    others = [target.family not in ("", ladder.family) for target in targets]
    spread = bands.spread(guess, weights, extra=np.square(np.array(others, float) * _OTHER_RECIPE))
    spread = np.hypot(spread, _unlike(guess, scores)) * factors.of(guess)
    down, up = (link.back(link.to(scores) + side * spread) for side in (-1, 1))
    reach = down, np.where(up >= ladder.top[:, None], np.maximum(up, 1.0), up)
    value, *bounds = (ladder.values(reached) for reached in (scores, *reach))
    low, high = np.minimum(*bounds), np.maximum(*bounds)
    each = np.stack([ladder.values(guess.scores[..., p]) for p in range(len(guess.names))], axis=-1)
    same = ladder.values(largest(ladder, ladder.measured)[:, None])[:, 0]
    sizes = ladder.measured_sizes
    for i, key in enumerate(ladder.series):
        reason = verdicts[key] if key in verdicts and sizes[i] >= MIN_SIZES else _few(int(sizes[i]))
        for k, target in enumerate(targets):
            yield Forecast(
                series=key, target=target, value=float(value[i, k]), low=float(low[i, k]), high=float(high[i, k]),
                same=float(same[i]), sizes=int(sizes[i]), reason=reason, notes=tuple(_notes(guess, target, k)),
                weights=dict(zip(guess.names, shares[i].tolist(), strict=True)),
                predictions=dict(zip(guess.names, each[i, k].tolist(), strict=True)),
            )  # fmt: skip


def _few(sizes: int) -> str:
    return f"{sizes} {'size' if sizes == 1 else 'sizes'}, of which none can be held out to see what a forecast is worth"


def _unlike(guess: Guess, scores: Array) -> Array:
    """Return the sd that a target of other tokens per parameter than the ladder's adds, (T, K), in the unit's link.

    What they do cannot be told from models of the same ones; N and D may share the change between them in any way.
    """
    link = guess.ladder.link
    change = np.abs(link.to(scores) - link.to(largest(guess.ladder, guess.ladder.scores))[:, None])
    return np.asarray(change * np.minimum(1.0, guess.turn / np.maximum(2 * guess.distance, 1e-9)))


def _notes(guess: Guess, target: Target, k: int) -> Iterator[str]:
    ladder = guess.ladder
    if target.family not in ("", ladder.family):
        yield f"another recipe ({target.family}) than that of the models observed ({ladder.family or 'unnamed'})"
    if guess.distance[k] > max(_FAR, np.log(ladder.place.compute.max() / ladder.place.compute.min())):
        times = math.exp(min(guess.distance[k], _MOST))
        yield f"{times:.3g} times the largest compute observed: farther than the ladder is long"
    if guess.turn[k] > _UNLIKE:
        times = math.exp(min(guess.turn[k], _MOST))
        yield f"tokens per parameter are off those of the models observed, by a factor of {times:.2g}"
