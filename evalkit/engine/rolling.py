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

    The first window scores up to `context` tokens after what the stream begins with, every later one the next `stride`,
    with as much context before them as fits. With stride = context only the last window overlaps, as in
    lm-evaluation-harness.
    every_begins: the beginning is put before each window, which takes one of its places; no window holds it then.
    """
    assert 1 <= stride <= context, f"stride {stride} must be in 1..{context}"
    windows = []
    done = 0
    while done < tokens:
        most = max(1, min(stride, context - every_begins)) if done else context
        scored = min(most, tokens - done)
        stop = done + scored + 1
        windows.append(Window(max(1, stop - context) if every_begins else max(0, stop - context - 1), stop, scored))
        done += scored
    return windows
