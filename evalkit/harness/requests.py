"""Texts -> token ids, at the boundary between context and continuation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from evalkit.engine.base import TextEncoder
from evalkit.errors import UnknownTextError


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one request; context is never empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


# Prompts encoded in one call: enough for all cores, few enough for memory.
_TOGETHER = 64

Pairs = Sequence[tuple[str, str]]


def encode_all(
    prompts: Sequence[Pairs], encoder: TextEncoder
) -> Iterator[tuple[Pairs, list[Encoded] | UnknownTextError]]:
    """Yield each prompt's pairs with their encodings, or why it has none; many prompts per call of the encoder."""
    for start in range(0, len(prompts), _TOGETHER):
        batch = prompts[start : start + _TOGETHER]
        try:
            encoded = iter(encode(list(chain.from_iterable(batch)), encoder))
        except UnknownTextError:
            yield from ((pairs, _encode_or_not(pairs, encoder)) for pairs in batch)
            continue
        for pairs in batch:
            yield pairs, list(islice(encoded, len(pairs)))


def _encode_or_not(pairs: Pairs, encoder: TextEncoder) -> list[Encoded] | UnknownTextError:
    try:
        return encode(pairs, encoder)
    except UnknownTextError as error:
        return error


def encode(pairs: Pairs, encoder: TextEncoder) -> list[Encoded]:
    """Encode (context, continuation) pairs as lm-evaluation-harness does.

    Trailing whitespace of the context moves to the continuation. The whole text is encoded, and the continuation's
    tokens are those after the number that the context has by itself; an empty context is the end-of-text token. Where
    the whole text has no more tokens than the context (the boundary merged), the continuation is encoded by itself, so
    that something is scored. An empty continuation has no tokens (a generation request).
    """
    moved = []
    for context, continuation in pairs:
        if continuation:
            stripped = context.rstrip()
            moved.append((stripped, context[len(stripped) :] + continuation))
        else:
            moved.append((context, ""))
    texts = dict.fromkeys(text for context, continuation in moved for text in (context, context + continuation))
    ids = dict(zip(texts, encoder.encode_batch(list(texts)), strict=True))
    encoded = []
    for context, continuation in moved:
        before = ids[context]
        after = ids[context + continuation][len(before) :]
        if continuation and not after:
            after = encoder.encode_batch([continuation])[0]
        encoded.append(Encoded(tuple(before) or (encoder.end_of_text,), tuple(after)))
    return encoded
