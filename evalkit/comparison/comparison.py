"""A comparison: every task, number of shots and metric of two runs, with its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import NormalDist
from typing import Any

from evalkit import __version__, metrics
from evalkit.comparison import verdicts
from evalkit.comparison.comparable import Pair, pair_up
from evalkit.comparison.evidence import Evidence, label
from evalkit.comparison.verdicts import Verdict
from evalkit.errors import UsageError
from evalkit.stats import paired
from evalkit.stats.paired import LEAST_UNITS, change

# Digits of figures in files: as many as every machine agrees on.
_DIGITS = 9


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to compare. margins: task -> points, "" for all others. allow: fields in which the runs may differ.

    all_metrics: every metric gates, not only each task's first. strict: undecided fails too.
    """

    alpha: float = 0.05
    margins: Mapping[str, float] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    all_metrics: bool = False
    strict: bool = False
    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise UsageError(f"--alpha must be between 0 and 1, not {self.alpha}")
        if self.resamples < 100:
            raise UsageError(f"--resamples must be at least 100, not {self.resamples}")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One metric of one task and wording at one number of shots. protocol: the base's.

    Figures are in the metric's points; change is new - base. gates: whether it counts for the exit code. units: what
    was exchanged (documents or passages), in number; differing: on how many of them the scores differ. p: of no change;
    equivalence: of a change beyond the margin, NaN without one. adjusted, equivalence_adjusted: the same after Holm's
    correction, NaN for one that does not gate. method: "identical" where all responses are. needed: documents that
    would decide an undecided one, infinite if none would. reason: what stands in the way of deciding it, in words.
    """

    task: str
    family: str
    protocol: str
    shots: int
    template: str
    metric: str
    gates: bool
    higher_is_better: bool
    documents: int
    units: int
    differing: int
    seeds: int
    base: float
    new: float
    change: float
    low: float
    high: float
    p: float
    adjusted: float
    equivalence: float
    equivalence_adjusted: float
    method: str
    margin: float | None
    verdict: Verdict
    needed: float | None
    reason: str = ""

    @property
    def name(self) -> str:
        """Return the name of the finding in lists."""
        return f"{label(self.task, self.template)} {self.shots}-shot {self.metric}"

    @property
    def extent(self) -> str:
        """Return how many documents were compared, as it is shown."""
        return f"{self.documents:,}"

    @property
    def gain(self) -> float:
        """Return the change, above zero if it is an improvement."""
        return self.change if self.higher_is_better else -self.change


@dataclass(frozen=True, kw_only=True)
class MeanChange:
    """The paired change of a mean over tasks, new - base in its own units; p: of no change. It never gates.

    reason: why the runs have no such mean; the figures are then NaN and there is no verdict.
    """

    name: str
    base: float = math.nan
    new: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    verdict: Verdict | None = None
    reason: str = ""

    def __str__(self) -> str:
        if self.reason:
            return f"No verdict on {self.name}: {self.reason}"
        return (
            f"{self.name}, paired: {self.base:.4f} -> {self.new:.4f}, {self.new - self.base:+.4f} "
            f"[{self.low:+.4f}, {self.high:+.4f}], p {self.p:.2g}: {self.verdict}; it does not gate"
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs, the findings in the order of BASE, and the differences that were allowed.

    mean: of the tasks, for suites that are judged by one.
    """

    # What makes it, as CI shows it.
    command = "evalkit compare"

    base: Mapping[str, str]
    new: Mapping[str, str]
    findings: Sequence[Finding]
    notes: Sequence[str]
    settings: Settings
    mean: MeanChange | None = None

    @property
    def gating(self) -> list[Finding]:
        """Return the findings that count for the exit code, worst first."""
        return _ranked(f for f in self.findings if f.gates)

    @property
    def others(self) -> list[Finding]:
        """Return the findings that do not count for it, worst first."""
        return _ranked(f for f in self.findings if not f.gates)

    @property
    def failing(self) -> list[Finding]:
        """Return the findings that make the comparison fail."""
        bad = ("worse", "undecided") if self.settings.strict else ("worse",)
        return [f for f in self.gating if f.verdict in bad]

    @property
    def method(self) -> str:
        """Return in one sentence how the verdicts were reached."""
        return (
            f"Paired tests on shared documents; verdicts at a familywise error of {self.settings.alpha:g} "
            f"(Holm over {sum(not math.isnan(f.p) for f in self.gating)}); change is new - base in points."
        )

    @property
    def remarks(self) -> Sequence[str]:
        """Return what else is to be said, a line each."""
        return [str(self.mean)] if self.mean else []

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Return each finding's verdict, by its name."""
        return {f.name: f.verdict for f in self.findings}

    def to_json(self) -> dict[str, Any]:
        """Return plain values; infinity and NaN become null."""
        settings = asdict(self.settings) | {"allow": list(self.settings.allow)}
        return {
            "evalkit": __version__,
            "base": dict(self.base),
            "new": dict(self.new),
            "settings": settings,
            "notes": list(self.notes),
            "findings": [_plain_values(f) for f in self.findings],
            "mean": self.mean and _plain_values(self.mean),
            "failing": [f.name for f in self.failing],
        }


def compare(base: Evidence, new: Evidence, settings: Settings) -> tuple[Comparison, list[Pair]]:
    """Test everything that two runs share; return the pairs of sheets too, from which `flips` lists documents.

    Raises CompareError when the runs cannot be compared, UsageError for margins of tasks that they do not have.
    """
    pairs, notes = pair_up(base, new, allow=settings.allow)
    verdicts.check_margins(settings.margins, list(dict.fromkeys(pair.base.task for pair in pairs)))
    chosen = [(p, name, settings.all_metrics or name == p.metrics[0]) for p in pairs for name in p.metrics]
    family = sum(gates for _, _, gates in chosen)
    # A p by resampling is never below 1 / resamples; it must be able to pass the strictest step of Holm's correction.
    resamples = max(settings.resamples, math.ceil(10 * family / settings.alpha))
    raw = [
        _test(
            pair, name, gates, replace(settings, resamples=resamples), alpha=settings.alpha / (family if gates else 1)
        )
        for pair, name, gates in chosen
    ]
    adjusted = _corrected([f.p if f.gates else math.nan for f in raw])
    within = _corrected([f.equivalence if f.gates else math.nan for f in raw])
    tests, margins = (sum(not math.isnan(p) for p in ps) for ps in (adjusted, within))
    findings = [
        _judged(replace(f, adjusted=p, equivalence_adjusted=q), settings.alpha, tests=tests, margins=margins)
        for f, p, q in zip(raw, adjusted, within, strict=True)
    ]
    comparison = Comparison(
        base={**base.model, "path": str(base.path), "evalkit": base.evalkit},
        new={**new.model, "path": str(new.path), "evalkit": new.evalkit},
        findings=findings,
        notes=notes,
        settings=settings,
    )
    return comparison, pairs


def _corrected(ps: Sequence[float]) -> list[float]:
    """Correct p values by Holm's method; NaN, where there is no test, takes no part."""
    places = [i for i, p in enumerate(ps) if not math.isnan(p)]
    corrected = list(ps)
    for i, p in zip(places, verdicts.holm([ps[i] for i in places]), strict=True):
        corrected[i] = p
    return corrected


def _test(pair: Pair, name: str, gates: bool, settings: Settings, *, alpha: float) -> Finding:
    """Test one metric; the verdict comes later, because it depends on the others. alpha: its share, for `needed`."""
    metric = metrics.get(name, pair.base.rules[name])
    units, scale = pair.units(name), metric.scale
    changed = change(metric, units, resamples=settings.resamples, seed=settings.seed)
    if pair.identical and not changed.differing:
        changed = replace(changed, low=0.0, high=0.0, method="identical")
    margin = settings.margins.get(pair.base.task, settings.margins.get(""))
    equivalence, needed = math.nan, math.inf
    if margin is not None:
        equivalence = paired.equivalence(metric, units, margin / scale)
        needed = pair.documents * paired.copies_needed(metric, units, margin / scale, level=alpha / 2.0)
    return Finding(
        **pair.base.key._asdict(), family=pair.base.family, metric=name, gates=gates,
        higher_is_better=metric.higher_is_better, documents=pair.documents, units=len(units),
        differing=changed.differing, seeds=pair.shared.shape[1], base=changed.base * scale, new=changed.new * scale,
        change=changed.size * scale, low=changed.low * scale, high=changed.high * scale, p=changed.p, adjusted=math.nan,
        equivalence=equivalence, equivalence_adjusted=math.nan, margin=margin, verdict="undecided", needed=needed,
        method=changed.method,
    )  # fmt: skip


def _judged(finding: Finding, alpha: float, *, tests: int, margins: int) -> Finding:
    """Add the verdict. A metric that does not gate is judged by its own p values.

    tests, margins: how many p values of each kind were corrected together.
    """
    f = finding
    if f.method == "not finite":  # a likelihood of zero or NaN: nothing to test, but the outcome is clear
        broken = math.isfinite(f.base) and not math.isfinite(f.new)
        return replace(f, verdict="worse" if broken else "undecided", needed=math.inf)
    decided = verdicts.verdict(
        gain=f.gain, adjusted=f.adjusted if f.gates else f.p, alpha=alpha, identical=f.method == "identical",
        equivalence=f.equivalence_adjusted if f.gates else f.equivalence,
    )  # fmt: skip
    if decided != "undecided":
        return replace(f, verdict=decided, needed=None, reason=_reservation(f) if decided != "same" else "")
    tests, margins = (max(1, tests), margins) if f.gates else (1, 1)
    reason = "; ".join(_obstacles(f, alpha, tests=tests, margins=margins))
    return replace(f, verdict=decided, needed=_needed(f, alpha / tests), reason=reason)


def _reservation(finding: Finding) -> str:
    """Return in words why the interval of a significant change of single documents may hold 0; empty if it does not."""
    f = finding
    if f.method == "McNemar" or f.units < f.documents or not f.low < 0.0 < f.high:
        return ""
    return f"its interval allows for rare {'losses' if f.gain > 0 else 'gains'} that no document shows"


def _obstacles(finding: Finding, alpha: float, *, tests: int, margins: int) -> Iterator[str]:
    """Yield in words why a change is undecided, where more than the lack of documents is to be said."""
    f = finding
    kind = "document" if f.units == f.documents else "passage"
    corrected = f"after Holm's correction over {tests}"
    if f.units < LEAST_UNITS:
        yield f"{_number(f.units, kind)}, a test needs at least {LEAST_UNITS}"
    elif not f.differing:
        yield "no difference seen"
    elif f.p <= alpha:
        yield f"{'better' if f.gain > 0 else 'worse'} by itself (p {f.p:.2g}), but not {corrected} (p {f.adjusted:.2g})"
    elif f.differing < (fewest := verdicts.fewest_differing(f.method, alpha / tests)):
        level = f"p {alpha:g}" + (f" {corrected}" if tests > 1 else "")
        yield f"{_number(f.differing, f'differing {kind}')}, it takes at least {fewest} to reach {level}"
    if f.equivalence <= alpha / 2.0:
        yield f"within {f.margin:g} by itself, but not after Holm's correction over {margins}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _needed(finding: Finding, alpha: float) -> float:
    """Return how many documents would decide, more than there are.

    Decided means that a change of the observed size is significant with the power of a plan, or that documents like
    these show that the margin is kept. Where so few units differ that no test could decide: as many as one needs at
    least.
    """
    f = finding
    fewest = verdicts.fewest_differing(f.method, alpha)
    if f.units < LEAST_UNITS:
        significant: float = math.ceil(LEAST_UNITS * f.documents / f.units)
    elif 0 < f.differing < fewest:
        significant = math.ceil(f.documents * fewest / f.differing)
    else:
        significant = verdicts.documents_needed(f.documents, score=_score(f.p), alpha=alpha)
    return max(min(significant, math.inf if f.needed is None else f.needed), f.documents + 1.0)


def _ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings: worse, undecided, same, better, and losses before gains, the surest first."""
    order = ("worse", "undecided", "same", "better")
    return sorted(findings, key=lambda f: (order.index(f.verdict), f.gain > 0, 1.0 if math.isnan(f.p) else f.p))


def _score(p: float) -> float:
    """Return how many standard errors a normal test with this two-sided p was away from its hypothesis."""
    return NormalDist().inv_cdf(1.0 - p / 2.0) if 0.0 < p < 1.0 else 0.0 if p >= 1.0 else math.inf


def _plain_values(row: Finding | MeanChange) -> dict[str, Any]:
    return {name: _plain(value) for name, value in asdict(row).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value
