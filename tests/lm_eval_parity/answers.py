"""A model that both programs can ask: its answers are drawn from a hash of the texts. Needs nothing but Python."""

from __future__ import annotations

import hashlib


def likelihood(context: str, continuation: str) -> tuple[float, bool]:
    """Return a log-likelihood, longer texts being less likely, and whether it is greedy (one time in three)."""
    number = _number(context, continuation)
    return -(number % 9973 + 1) / 997 - 0.3 * len(continuation), number % 3 == 0


def text(context: str) -> str:
    """Return some words of the context's end in their order, and stops, as a generation before it is cut."""
    number = _number(context, "")
    words = context.split()[-40:] or ["yes"]
    start = number % len(words)
    return " " + " ".join(words[start : start + 1 + number % 7]) + (".\n" if number % 2 else "\n\n")


def _number(*texts: str) -> int:
    return int(hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12], 16)
