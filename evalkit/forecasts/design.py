"""Which models to train so that a larger one is forecast best: ladders under a budget, compared by simulation.

Each ladder is trained in worlds that the observations allow (worlds.py), the target is forecast from what it would show
together with the models that exist, and the widths of the bands and the errors are compared, in the same worlds for all
ladders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from evalkit.errors import UsageError
from evalkit.forecasts.forecast import forecast
from evalkit.forecasts.observations import FLOPS, Forecast, Observation, Target
from evalkit.forecasts.sealed import ends
from evalkit.forecasts.worlds import Laws, World, drawn, fitted, observed
from evalkit.progress import progress

Forecaster = Callable[..., Sequence[Forecast]]

RUNGS = (3, 4, 5, 6)
SPREADS = (4.0, 16.0, 64.0)  # the largest size over the smallest
OPTIMAL = 20.0  # tokens per parameter that suit a budget best (Hoffmann et al. 2022)
_LEAST_SIZE = 1e5  # parameters: below, embeddings are nearly all of a model
_WORLDS = 8
_NOISE = 1_000_000  # of the seeds, apart from the laws
_KEPT = 6  # plans that are simulated in all worlds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A ladder to train. rungs: from small to large, compute unknown: 6 N D."""

    rungs: Sequence[Target]

    @property
    def compute(self) -> float:
        """What it costs, in FLOPs."""
        return sum(rung.flops or 0.0 for rung in self.rungs)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a plan is worth: means over worlds and series.

    half_width, error: in points, of metrics with a ceiling; ratio_half_width, ratio_error: in percent of the value, of
    others; NaN where there are none. spread: standard error of the half width shown first, over the worlds. coverage:
    bands that hold the target's simulated value.
    """

    plan: Plan
    half_width: float
    error: float
    ratio_half_width: float
    ratio_error: float
    spread: float
    coverage: float


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The plans by the widths of their bands, the narrowest first, and what more than the best one would buy.

    now: from the models that exist alone. compared: how many plans were simulated in all worlds; the others lost in the
    first few.
    """

    target: Target
    budget: float
    now: Outcome
    outcomes: Sequence[Outcome]
    further: Mapping[str, Outcome]
    compared: int


def plans(budget: float, target: Target) -> list[Plan]:
    """Return ladders that cost the budget: by rungs, spread of sizes, and tokens per parameter.

    Raises UsageError for a budget that trains the target itself, or no ladder.
    """
    ratio = target.tokens / target.parameters if target.tokens else OPTIMAL
    whole = FLOPS * target.parameters**2 * ratio
    if budget >= whole:
        raise UsageError(f"the budget of {budget:.3g} FLOPs trains the target itself, which takes {whole:.3g}")
    found = [
        plan
        for per_parameter in dict.fromkeys((ratio, OPTIMAL))
        for count in RUNGS
        for spread in SPREADS
        if (plan := _plan(budget, count, spread, per_parameter)).rungs[0].parameters >= _LEAST_SIZE
        and plan.rungs[-1].parameters < target.parameters
    ]
    if not found:
        least = FLOPS * OPTIMAL * _LEAST_SIZE**2 * 20
        raise UsageError(f"a budget of {budget:.3g} FLOPs trains no ladder; from about {least:.0e} on there is one")
    return found


def _plan(budget: float, count: int, spread: float, per_parameter: float) -> Plan:
    """Return `count` sizes in equal ratios, the largest `spread` times the smallest, that together cost the budget."""
    sizes = spread ** (np.arange(count) / (count - 1))
    smallest = math.sqrt(budget / (FLOPS * per_parameter * float((sizes**2).sum())))
    return Plan(rungs=[Target(parameters=n, tokens=per_parameter * n) for n in (smallest * sizes).tolist()])


def advise(
    observations: Sequence[Observation],
    *,
    budget: float,
    target: Target,
    seed: int = 0,
    worlds: int = _WORLDS,
    predict: Forecaster = forecast,
) -> Advice:
    """Compare the plans for a target by simulation. observations: of models that exist, of the target's family.

    Raises UsageError for a budget without a plan, DataError for too few models.
    """
    existing = [o for points in ends(observations).values() for o in points]
    trial = _Trial(existing=existing, laws=fitted(existing), target=target, seed=seed, predict=predict)
    candidates = plans(budget, target)
    first = min(worlds, max(2, worlds // 4))
    kept = min(_KEPT, len(candidates))
    steps = first * len(candidates) + (worlds - first) * kept + 4 * worlds
    with progress("simulating ladders", total=steps, unit="forecasts") as bar:
        now = trial.run(Plan(rungs=()), range(worlds), bar.advance)
        trials = [trial.run(plan, range(first), bar.advance) for plan in candidates]
        order = _order(trials)
        for i in order[:kept]:
            trials[i] += trial.run(candidates[i], range(first, worlds), bar.advance)
        order = [order[i] for i in _order([trials[i] for i in order[:kept]])] + order[kept:]
        best = candidates[order[0]]
        further = {
            name: _outcome(plan, trial.run(plan, range(worlds), bar.advance, documents=documents))
            for name, plan, documents in _further(best, target)
        }
    return Advice(
        target=target, budget=budget, now=_outcome(Plan(rungs=()), now), further=further,
        outcomes=[_outcome(candidates[i], trials[i]) for i in order], compared=kept,
    )  # fmt: skip


def _further(best: Plan, target: Target) -> Iterator[tuple[str, Plan, float]]:
    """Yield what more could be done: a larger rung, all rungs twice, twice the documents."""
    step = best.rungs[-1].parameters / best.rungs[-2].parameters
    top = best.rungs[-1]
    size = min(top.parameters * step, 0.9 * target.parameters)
    assert top.tokens
    larger = Target(parameters=size, tokens=size * top.tokens / top.parameters)
    yield "a larger rung", Plan(rungs=[*best.rungs, larger]), 1.0
    yield "a second seed each", Plan(rungs=[*best.rungs, *best.rungs]), 1.0
    yield "twice the documents", best, 2.0


Pairs = list[tuple[Forecast, Observation]]  # forecasts of the target, each with what it scores
Shown = list[Pairs]  # by world


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """Runs plans in the same worlds."""

    existing: Sequence[Observation]
    laws: Sequence[Laws]
    target: Target
    seed: int
    predict: Forecaster

    def run(
        self, plan: Plan, samples: Iterable[int], advance: Callable[[int], None], *, documents: float = 1.0
    ) -> Shown:
        """Return the forecasts that a plan gives. documents: of the new models, times as many as were observed."""
        shown: Shown = []
        for sample in samples:
            # Every plan meets the same worlds, with noise of its own.
            worlds = [drawn(laws, np.random.default_rng((self.seed, sample, i))) for i, laws in enumerate(self.laws)]
            rng = np.random.default_rng((self.seed, sample, _NOISE))
            shown.append(self._in_world(worlds, plan, rng, documents))
            advance(1)
        return shown

    def _in_world(self, worlds: Sequence[World], plan: Plan, rng: np.random.Generator, documents: float) -> Pairs:
        actual = {o.series: o for world in worlds for o in observed(world, [self.target], rng, documents=1.0)}
        new = [o for world in worlds if plan.rungs for o in observed(world, plan.rungs, rng, documents=documents)]
        forecasts = self.predict([*self.existing, *new], targets=[self.target])
        return [(f, actual[f.series]) for f in forecasts]


def _unit(actual: Observation) -> float:
    """Return what a width is divided by: 1 for metrics with a ceiling, a hundredth of the value for others."""
    return 1.0 if actual.ceiling is not None else abs(actual.value) / 100


def _half_width(f: Forecast, actual: Observation) -> float:
    return (f.high - f.low) / 2


def _error(f: Forecast, actual: Observation) -> float:
    return abs(f.value - actual.value)


def _outcome(plan: Plan, shown: Shown) -> Outcome:
    pairs = [pair for world in shown for pair in world]
    first = any(o.ceiling is not None for _, o in pairs)

    def mean(of: Callable[[Forecast, Observation], float], *, points: bool, of_pairs: Pairs = pairs) -> float:
        numbers = [of(f, o) / _unit(o) for f, o in of_pairs if (o.ceiling is not None) == points]
        return fmean(numbers) if numbers else math.nan

    by_world = [mean(_half_width, points=first, of_pairs=world) for world in shown]
    return Outcome(
        plan=plan, half_width=mean(_half_width, points=True), error=mean(_error, points=True),
        ratio_half_width=mean(_half_width, points=False), ratio_error=mean(_error, points=False),
        spread=stdev(by_world) / math.sqrt(len(by_world)),
        coverage=fmean(f.low <= o.value <= f.high for f, o in pairs),
    )  # fmt: skip


def _order(trials: Sequence[Shown]) -> list[int]:
    """Return the places of the trials by the widths of their bands, over all trials' mean and averaged over series."""
    widths: list[dict[object, float]] = []
    for shown in trials:
        by_series: dict[object, list[float]] = {}
        for f, actual in (pair for world in shown for pair in world):
            by_series.setdefault(f.series, []).append(_half_width(f, actual) / _unit(actual))
        widths.append({key: fmean(values) for key, values in by_series.items()})
    usual = {key: fmean(width[key] for width in widths) or 1.0 for key in widths[0]}
    relative = [fmean(width[key] / usual[key] for key in usual) for width in widths]
    return sorted(range(len(trials)), key=lambda i: relative[i])
