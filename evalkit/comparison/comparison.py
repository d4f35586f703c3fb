"""A comparison: every task, number of shots and metric of two runs, with its verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import NormalDist
from typing import Any

from evalkit import __version__, metrics
from evalkit.comparison import verdicts
from evalkit.comparison.comparable import Pair, pair_up
from evalkit.comparison.evidence import Evidence, label
from evalkit.comparison.verdicts import Verdict
from evalkit.errors import UsageError
from evalkit.stats.paired import change

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

    Figures are in the metric's points; change is new - base. gates: whether it counts for the exit code; adjusted
    (Holm's p) is NaN where it does not. units: what was exchanged (documents or passages), in number. needed: documents
    that would decide an undecided one, infinite if none would.
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
    seeds: int
    base: float
    new: float
    change: float
    low: float
    high: float
    p: float
    adjusted: float
    method: str
    margin: float | None
    verdict: Verdict
    needed: float | None

    @property
    def name(self) -> str:
        """Return the name of the finding in lists."""
        return f"{label(self.task, self.template)} {self.shots}-shot {self.metric}"

    @property
    def gain(self) -> float:
        """Return the change, above zero if it is an improvement."""
        return self.change if self.higher_is_better else -self.change


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs, the findings, and the differences that were allowed."""

    base: Mapping[str, str]
    new: Mapping[str, str]
    findings: Sequence[Finding]
    notes: Sequence[str]
    settings: Settings

    @property
    def gating(self) -> list[Finding]:
        """Return the findings that count for the exit code."""
        return [f for f in self.findings if f.gates]

    @property
    def failing(self) -> list[Finding]:
        """Return the findings that make the comparison fail."""
        bad = ("worse", "undecided") if self.settings.strict else ("worse",)
        return [f for f in self.gating if f.verdict in bad]

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
            "findings": [{name: _plain(value) for name, value in asdict(f).items()} for f in self.findings],
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
    raw = [_test(pair, name, gates, replace(settings, resamples=resamples)) for pair, name, gates in chosen]
    tested = [f for f in raw if f.gates]
    adjusted = iter(verdicts.holm([1.0 if math.isnan(f.p) else f.p for f in tested]))
    findings = [_judged(f, next(adjusted) if f.gates else math.nan, settings.alpha, family=family) for f in raw]
    comparison = Comparison(
        base={**base.model, "path": str(base.path), "evalkit": base.evalkit},
        new={**new.model, "path": str(new.path), "evalkit": new.evalkit},
        findings=findings,
        notes=notes,
        settings=settings,
    )
    return comparison, pairs


def _test(pair: Pair, name: str, gates: bool, settings: Settings) -> Finding:
    """Test one metric; the verdict comes later, because it depends on the others."""
    metric = metrics.get(name, pair.base.rules[name])
    units = pair.units(name)
    changed = change(metric, units, resamples=settings.resamples, seed=settings.seed)
    scale = metric.scale
    return Finding(
        **pair.base.key._asdict(), family=pair.base.family, metric=name, gates=gates,
        higher_is_better=metric.higher_is_better, documents=pair.documents, units=len(units),
        seeds=pair.shared.shape[1], base=changed.base * scale, new=changed.new * scale, change=changed.size * scale,
        low=changed.low * scale, high=changed.high * scale, p=changed.p, adjusted=math.nan, method=changed.method,
        margin=settings.margins.get(pair.base.task, settings.margins.get("")), verdict="undecided", needed=None,
    )  # fmt: skip


def _judged(finding: Finding, adjusted: float, alpha: float, *, family: int) -> Finding:
    """Add the verdict. A metric that does not gate is judged by its own p and interval."""
    if finding.method == "not finite":  # a likelihood of zero or NaN: nothing to test, but the outcome is clear
        broken = math.isfinite(finding.base) and not math.isfinite(finding.new)
        return replace(finding, adjusted=adjusted, verdict="worse" if broken else "undecided", needed=math.inf)
    low, high = sorted((finding.low, finding.high), key=lambda x: x if finding.higher_is_better else -x)
    sign = 1.0 if finding.higher_is_better else -1.0
    decided = verdicts.verdict(
        gain=finding.gain, low=sign * low, high=sign * high, adjusted=finding.p if math.isnan(adjusted) else adjusted,
        alpha=alpha, margin=finding.margin, identical=finding.method == "identical",
    )  # fmt: skip
    needed = None
    if decided == "undecided":
        needed = _needed(finding, alpha / family if finding.gates else alpha)
    return replace(finding, adjusted=adjusted, verdict=decided, needed=needed)


def _needed(finding: Finding, alpha: float) -> float:
    """Return how many documents would decide, more than there are.

    Where there are too few units for an interval: as many as a test needs to reach alpha when all change alike.
    """
    error = (finding.high - finding.low) / (2.0 * NormalDist().inv_cdf(0.975))
    if math.isnan(error):
        needed = math.ceil(math.log2(2.0 / alpha)) * finding.documents / finding.units
    else:
        needed = verdicts.documents_needed(
            finding.documents, effect=finding.change, error=error, alpha=alpha, margin=finding.margin
        )
    return max(needed, finding.documents + 1.0)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value
