"""Findings as text: the columns that the terminal, Markdown and JUnit share."""

from __future__ import annotations

import math
from collections.abc import Mapping

from evalkit.comparison.comparison import Comparison, Finding
from evalkit.comparison.evidence import label
from evalkit.stats.intervals import too_few
from evalkit.stats.paired import LEAST_UNITS

HEADER = ("task", "shots", "metric", "n", "base", "new", "change", "95% interval", "p (Holm)", "verdict")

_MILLION = 1_000_000


def columns(finding: Finding) -> list[str]:
    """Return a finding's columns, as HEADER names them."""
    f = finding
    return [
        label(f.task, f.template), str(f.shots), f.metric, f"{f.documents:,}", figure(f.base), figure(f.new),
        signed(f.change), interval(f), probability(f.p if math.isnan(f.adjusted) else f.adjusted), judgement(f),
    ]  # fmt: skip


def judgement(finding: Finding) -> str:
    """Return the verdict, how many documents would settle an undecided one, and whether it counts."""
    f = finding
    text: str = f.verdict
    if f.verdict == "same":
        text += " (identical)" if f.method == "identical" else f" (within {f.margin:g})"
    if f.needed is not None:
        text += f" ({needed(f.needed, estimated=not math.isnan(f.low))})"
    return text if f.gates else f"{text}, not gating"


def needed(documents: float, *, estimated: bool = True) -> str:
    """Return in words how many documents would decide, to two digits.

    estimated: from the interval; otherwise the number is the least with which any test could.
    """
    if documents > _MILLION:
        return "more than a million documents would do"
    step = 10 ** max(0, len(str(int(documents))) - 2)
    rounded = f"{math.ceil(documents / step) * step:,} documents"
    return f"about {rounded} would do" if estimated else f"at least {rounded} are needed"


def figure(value: float, *, like: float | None = None) -> str:
    """Return a value with two decimals, or three digits below 1. like: a value whose precision is used instead."""
    if math.isnan(value):
        return "-"
    size = round(abs(value if like is None else like), 2)
    return f"{value:,.2f}" if size >= 1 or value == 0 else f"{value:.3g}"


def signed(value: float, *, like: float | None = None) -> str:
    """Return a difference with its sign."""
    sign = "" if math.isnan(value) or value == 0 else "+" if value > 0 else "-"
    return sign + figure(abs(value), like=like)


def interval(finding: Finding) -> str:
    """Return the interval of the change, or why there is none, or a dash."""
    low, high = finding.low, finding.high
    if math.isnan(low) or math.isnan(high):
        return too_few(finding.units, finding.documents, fewest=LEAST_UNITS) or "-"
    widest = max(abs(low), abs(high))
    return f"[{signed(low, like=widest)}, {signed(high, like=widest)}]"


def probability(p: float) -> str:
    """Return a p value with two digits."""
    if math.isnan(p):
        return "-"
    return f"{p:.1e}" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def side(model: Mapping[str, str]) -> str:
    """Return a model with the start of its hash and its dtype."""
    return f"{model['model']}@{model['hash'][:8]} ({model['dtype']})"


def headline(comparison: Comparison) -> str:
    """Return the outcome in one line."""
    counts = {
        name: sum(f.verdict == name for f in comparison.gating) for name in ("worse", "undecided", "same", "better")
    }
    summary = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if any(f.verdict == "worse" for f in comparison.failing):
        outcome = "regression"
    else:
        outcome = "not decided (--strict)" if comparison.failing else "no regression found"
    return f"{outcome}: {summary} of {len(comparison.gating)} compared"


def method(comparison: Comparison) -> str:
    """Return in one sentence how the verdicts were reached."""
    return (
        f"Paired tests on shared documents; verdicts at a familywise error of {comparison.settings.alpha:g} "
        f"(Holm over {len(comparison.gating)}); change is new - base in points."
    )
