"""The outcome of a gate: a comparison whose tasks were read as far as it took to decide them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.comparison.comparison import Finding
from evalkit.comparison.verdicts import Verdict, documents_needed
from evalkit.frames import Comparison
from evalkit.gates.settings import GateSettings
from evalkit.gates.suite import Suite, verdict_of
from evalkit.gates.track import Claim, Track
from evalkit.stats.paired import change_noise, copies_needed


@dataclass(frozen=True, kw_only=True)
class GateFinding(Finding):
    """A finding after as many documents as it took. total: documents that there are.

    The p values and the interval are valid although the data decided when to stop. whole_low, whole_high: the interval
    of the change that all documents would show; NaN where none is known.
    """

    total: int
    whole_low: float
    whole_high: float

    @property
    def extent(self) -> str:
        """Return how many documents were compared, of how many."""
        return f"{self.documents:,}/{self.total:,}"


@dataclass(frozen=True, kw_only=True, repr=False)
class Gate(Comparison):
    """What a gate decided. suite: one verdict for all tasks. soonest: the tasks that would have told it soonest.

    documents, total: of all tasks and numbers of shots, read and in all. waves: how often there was a look. failed:
    tasks with too many failed items. spent: whether the budget ended it. folder: where it is stored, if it is.
    """

    command = "evalkit gate"

    suite: Verdict
    soonest: Sequence[tuple[str, int]]
    documents: int
    total: int
    waves: int
    failed: Mapping[str, str] = field(default_factory=dict)
    spent: bool = False
    folder: Path | None = None

    @property
    def method(self) -> str:
        """Return in one sentence how the verdicts were reached."""
        return (
            f"Valid at each of {self.waves} looks; verdicts at a familywise error of {self.settings.alpha:g} "
            f"(Holm over {len(self.gating)}); change is new - base in points."
        )

    @property
    def remarks(self) -> list[str]:
        """Return what else is to be told of the gate, a line each."""
        saved = 1.0 - self.documents / self.total
        spent = "; the budget is spent" if self.spent else ""
        read = f"read {self.documents:,} of {self.total:,} documents, {saved:.0%} saved{spent}"
        lines = [f"suite: {self.suite}; {read}"]
        if self.soonest:
            tasks = ", ".join(f"{name} ({documents:,})" for name, documents in self.soonest)
            lines.append(f"would have told soonest, each by itself (documents): {tasks}")
        return lines + [f"failed: {task}: {reason}" for task, reason in self.failed.items()]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; infinity and NaN become null."""
        return super().to_json() | {
            "suite": self.suite,
            "soonest": [{"task": name, "documents": documents} for name, documents in self.soonest],
            "documents": self.documents,
            "total": self.total,
            "waves": self.waves,
            "spent": self.spent,
            "failed": dict(self.failed),
        }


def outcome(
    suite: Suite,
    settings: GateSettings,
    *,
    base: Mapping[str, str],
    new: Mapping[str, str],
    notes: Sequence[str],
    waves: int,
    spent: bool,
    failed: Mapping[str, str],
    folder: Path | None,
) -> Gate:
    """Return what the looks have shown, in figures and verdicts."""
    claims = suite.claims
    findings = [
        _finding(track, claim, *corrected, alpha=settings.alpha, spent=spent, share=track.weight / suite.weight)
        for track, claim, corrected in zip(suite.tracks, claims, suite.corrected, strict=True)
    ]
    verdict = verdict_of(claims)
    parts = {track.part: track for track in suite.tracks}.values()
    return Gate(
        base=base, new=new, findings=findings, notes=notes, settings=settings, suite=verdict,
        soonest=suite.soonest(verdict), documents=sum(track.order.documents(track.read) for track in parts),
        total=sum(len(track.order.ids) for track in parts), waves=waves, failed=failed, spent=spent, folder=folder,
    )  # fmt: skip


def _finding(
    track: Track, claim: Claim | None, changed: float, within: float, *, alpha: float, spent: bool, share: float
) -> GateFinding:
    assert track.units is not None
    base, new = track.units.values(track.metric)
    scale, (low, high), (whole_low, whole_high) = track.metric.scale, track.interval(), track.interval(population=True)
    return GateFinding(
        **track.key._asdict(), family=track.family, metric=track.metric.name, gates=True,
        higher_is_better=track.metric.higher_is_better, documents=track.documents, units=len(track.units),
        differing=track.units.differing, seeds=track.seeds, base=base * scale, new=new * scale, change=track.change,
        low=low, high=high, p=track.changed, adjusted=changed,
        equivalence=math.nan if track.margin is None else track.p["same"],
        equivalence_adjusted=math.nan if track.margin is None else within, method=track.method, margin=track.margin,
        verdict=claim or "undecided", needed=None if claim else _needed(track, alpha * share),
        reason="the budget is spent" if spent and claim is None and not track.whole else "",
        total=len(track.order.ids), whole_low=whole_low, whole_high=whole_high,
    )  # fmt: skip


def _needed(track: Track, alpha: float) -> float:
    """Return about how many documents would decide, read at once."""
    assert track.units is not None
    base, new = track.units.values(track.metric)
    error = math.sqrt(change_noise(track.metric, track.units).variance)
    ways = [math.inf]
    if error > 0 and math.isfinite(new - base):
        ways.append(documents_needed(track.documents, score=abs(new - base) / error, alpha=alpha))
    if track.margin is not None and math.isfinite(new - base):
        margin = track.margin / track.metric.scale
        ways.append(track.documents * copies_needed(track.metric, track.units, margin, level=alpha / 2.0))
    return max(min(ways), track.documents + 1.0)
