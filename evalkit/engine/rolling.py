"""Windows over documents that are longer than the context."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens start..stop (exclusive) of a stream that begins with end of text; the last `scored` are scored."""

    start: int
    stop: int
    scored: int


def rolling_windows(tokens: int, *, context: int, stride: int, every_begins: bool = False) -> list[Window]:
    """Cut a document of `tokens` tokens into windows that score each token exactly once.

    The first window scores up to `context` tokens after the stream's first token, every later one the next `stride`
    tokens, with as much context before them as fits. With stride = context only the last window overlaps, as in
    lm-evaluation-harness.
    every_begins: the caller puts the first token before each window, which takes one position; no window includes it.
    """
    assert 1 <= stride <= context, f"stride {stride} must be in 1..{context}"
    windows = []
    position = 0
    while position < tokens:
        limit = max(1, min(stride, context - every_begins)) if position else context
        scored = min(limit, tokens - position)
        stop = position + scored + 1
        windows.append(Window(max(1, stop - context) if every_begins else max(0, stop - context - 1), stop, scored))
        position += scored
    return windows
