"""The length of a text, in the units in which perplexity is reported."""

from __future__ import annotations

import re

_GAP = re.compile(r"\s+")


def count_words(text: str) -> int:
    """Count words as WikiText and PTB results do: white-space separated tokens, plus one per end of line.

    Ends of line are newline characters. So the count of a file is the sum of the counts of its pieces if every piece
    keeps its newlines: WikiText-2's test file has 245,569 words, its validation file 217,646.
    """
    return len(text.split()) + text.count("\n")


def count_gaps(text: str) -> int:
    r"""Count words as lm-evaluation-harness does: pieces of a split at `\s+`, empty ends included."""
    return len(_GAP.split(text))


def count_bytes(text: str) -> int:
    """Count UTF-8 bytes."""
    return len(text.encode("utf-8"))
