"""Texts -> token ids, at the boundary between context and continuation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

from evalkit.engine.base import TextEncoder
from evalkit.errors import UnknownTextError


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one request; context is never empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


# What an empty context is: the end-of-text token, as in the papers of GPT, or the beginning-of-sequence token.
EmptyContext = Literal["end", "begin"]


@dataclass(slots=True)
class _FromBeginning:
    """A tokenizer for which an empty context is its beginning-of-sequence token, which takes end_of_text's place."""

    encoder: TextEncoder
    end_of_text: int

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return token ids of each text, nothing added."""
        return self.encoder.encode_batch(texts)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return each token's (start, end) in characters."""
        return self.encoder.offsets(text)


def with_empty_context(encoder: TextEncoder, empty: EmptyContext) -> TextEncoder:
    """Return the tokenizer to encode prompts with, whose end_of_text stands for an empty context.

    "begin" is the choice of lm-evaluation-harness. It differs only for a tokenizer that names a beginning-of-sequence
    token (`bos`), does not put it before every text, and ends texts with another one, as those of many chat models do.
    """
    bos: int | None = getattr(encoder, "bos", None)  # a tokenizer of a user's engine may be without it
    if empty == "end" or bos is None or bos == encoder.end_of_text or getattr(encoder, "begin", None) is not None:
        return encoder
    return _FromBeginning(encoder, bos)


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
    tokens are those after the number that the context has by itself; an empty context is the encoder's end_of_text (see
    with_empty_context). Where the whole text has no more tokens than the context (the boundary merged), the
    continuation is encoded by itself, so that something is scored. An empty continuation has no tokens (a generation
    request).
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
    contexts = {context: tuple(ids[context]) for context, _ in moved}  # one tuple for all choices of a context
    encoded = []
    for context, continuation in moved:
        before = contexts[context]
        after = ids[context + continuation][len(before) :] if continuation else []
        if continuation and not after:
            after = encoder.encode_batch([continuation])[0]
        encoded.append(Encoded(before or (encoder.end_of_text,), tuple(after)))
    return encoded
