"""Findings as text: the columns that the terminal, Markdown and JUnit share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from evalkit.comparison.comparison import Comparison, Finding
from evalkit.comparison.evidence import label
from evalkit.stats.paired import LEAST_UNITS

HEADER = ("task", "shots", "metric", "n", "base", "new", "change", "95% interval", "p (Holm)", "verdict")

_MILLION = 1_000_000


def table(findings: Sequence[Finding]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of findings, without the columns in which none has anything."""
    rows = [columns(f) for f in findings]
    filled = [i for i in range(len(HEADER)) if any(row[i] not in ("", "-") for row in rows)]
    return [HEADER[i] for i in filled], [[row[i] for i in filled] for row in rows]


def columns(finding: Finding) -> list[str]:
    """Return a finding's columns, as HEADER names them."""
    f = finding
    return [
        label(f.task, f.template), str(f.shots), f.metric, f.extent, figure(f.base), figure(f.new),
        signed(f.change), interval(f), probability(f.p if math.isnan(f.adjusted) else f.adjusted), judgement(f),
    ]  # fmt: skip


def judgement(finding: Finding) -> str:
    """Return the verdict, and of an undecided one why it is, and how many documents would settle it."""
    f = finding
    if f.verdict == "same":
        return "same (identical)" if f.method == "identical" else f"same (within {f.margin:g})"
    if f.needed is None:
        return f"{f.verdict} ({f.reason})" if f.reason else f.verdict
    estimated = f.units >= LEAST_UNITS
    words = [needed(f.needed, estimated=estimated)] if f.differing or f.margin is not None or not estimated else []
    return f"{f.verdict} ({'; '.join([f.reason] * bool(f.reason) + words)})"


def needed(documents: float, *, estimated: bool = True) -> str:
    """Return in words how many documents would decide, to two digits.

    estimated: from the p values; otherwise the number is the least with which any test could.
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
    """Return the interval of the change, or a dash."""
    low, high = finding.low, finding.high
    if math.isnan(low) or math.isnan(high):
        return "-"
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


def figures(finding: Finding) -> str:
    """Return a finding's values, change, interval and p, those that it has, in one line."""
    f = finding
    change = signed(f.change) if math.isnan(f.low) else f"{signed(f.change)} {interval(f)}"
    p = f"p {probability(f.adjusted)} (Holm)" if f.gates else f"p {probability(f.p)}"
    return ", ".join([f"{figure(f.base)} -> {figure(f.new)}", change] + [p] * (not math.isnan(f.p)))


def headline(comparison: Comparison) -> str:
    """Return the outcome in one line."""
    if any(f.verdict == "worse" for f in comparison.failing):
        outcome = "regression"
    else:
        outcome = "not decided (--strict)" if comparison.failing else "no regression found"
    return f"{outcome}: {counted(comparison.gating)} of {len(comparison.gating)} compared"


def aside(comparison: Comparison) -> str:
    """Return how many metrics do not gate, and how they came out; empty if all do."""
    others = comparison.others
    verb = "metric does" if len(others) == 1 else "metrics do"
    return f"{len(others)} {verb} not gate: {counted(others)}, each by itself" if others else ""


def counted(findings: Sequence[Finding]) -> str:
    """Return how many findings have each verdict."""
    counts = Counter(f.verdict for f in findings)
    return ", ".join(f"{counts[name]} {name}" for name in ("worse", "undecided", "same", "better") if counts[name])
