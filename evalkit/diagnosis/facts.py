"""Sections of facts, and findings: what is broken or slow, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal["broken", "slow", "note"]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One fact: value is for programs (JSON), text for people (default: the value)."""

    name: str
    value: Any
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is wrong or slow, and why; and a remedy.

    kind: "broken" keeps evalkit from working, "slow" makes it slower than it could be, "note" is worth knowing.
    """

    kind: Kind
    text: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """The facts about one subject, and what follows from them."""

    title: str
    facts: Sequence[Fact]
    findings: Sequence[Finding] = field(default_factory=tuple)


def examined(title: str, examine: Callable[[], Section]) -> Section:
    """Return a section; whatever keeps it from being made is its finding."""
    try:
        return examine()
    except Exception as error:
        text = f"{title}: {type(error).__name__}: {error}"
        return Section(title=title, facts=[], findings=[Finding(kind="broken", text=text)])


def ranked(sections: Sequence[Section]) -> list[Finding]:
    """Return all findings, the broken first."""
    findings = [finding for section in sections for finding in section.findings]
    return sorted(findings, key=lambda finding: get_args(Kind).index(finding.kind))


def as_json(sections: Sequence[Section]) -> Mapping[str, Any]:
    """Return everything as plain values."""
    findings = ranked(sections)
    return {
        "usable": not any(finding.kind == "broken" for finding in findings),
        "findings": [{"kind": finding.kind, "text": finding.text, "remedy": finding.remedy} for finding in findings],
        **{section.title: {fact.name: fact.value for fact in section.facts} for section in sections},
    }


def size(count: float) -> str:
    """Write bytes with a unit (powers of 1024).

    >>> size(512), size(16 * 2**30), size(1.5 * 2**40)
    ('512 B', '16.0 GiB', '1.5 TiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
