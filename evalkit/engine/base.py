"""What the harness needs of an engine: three methods, a tokenizer and a context length."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from evalkit.errors import out_of_memory
from evalkit.types import Request, RequestKind, Response

log = logging.getLogger(__name__)


class TextEncoder(Protocol):
    """The part of a tokenizer that the harness uses; evalkit.tokenizer.Tokenizer is one."""

    end_of_text: int

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return token ids of each text, nothing added."""
        ...

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return each token's (start, end) in characters."""
        ...


class TextCodec(TextEncoder, Protocol):
    """What an engine that generates needs of a tokenizer in addition; evalkit.tokenizer.Tokenizer is one."""

    begin: int | None  # the id that the tokenizer puts before every text, if it does
    bos: int | None  # the id that the tokenizer names as the beginning of a sequence, if it does

    @property
    def size(self) -> int:
        """Number of token ids."""
        ...

    @property
    def highest(self) -> int | None:
        """The highest token id; None where it is not known."""
        ...

    def __hash__(self) -> int:
        """Return a hash, so that what is computed once per tokenizer can be cached."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, nothing added."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids."""
        ...

    def content_hash(self) -> str:
        """Return 16 hexadecimal digits that change whenever an encoding could."""
        ...


class Engine(Protocol):
    """Answers requests, in any order.

    Each method yields (position of the request in the sequence given, its response), every position once, as soon
    as it is known, so that the caller can store it. A response must not depend on the other requests.
    """

    @property
    def tokenizer(self) -> TextEncoder:
        """The tokenizer that turns texts into token ids."""
        ...

    @property
    def context_length(self) -> int:
        """Tokens that one forward pass can see."""
        ...

    def signature(self) -> Mapping[str, str]:
        """Return what identifies the numbers: model name, content hash, dtype, parameters."""
        ...

    def loglikelihood(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score continuation_ids after context_ids."""
        ...

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score every token of continuation_ids exactly once, in windows of the context length."""
        ...

    def generate_until(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Decode after context_ids until a stop string, end of text or max_tokens."""
        ...


@runtime_checkable
class Frugal(Protocol):
    """An engine that can do with less memory."""

    def halve_batches(self) -> bool:
        """From now on read half as many tokens at once; return False if that is impossible."""
        ...


def ask(engine: Engine, kind: RequestKind, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
    """Send requests of one kind to an engine; a response whose score is not finite becomes a failed one.

    Where memory runs out, what is not answered yet is sent again with smaller batches.
    """
    methods = {
        "loglikelihood": engine.loglikelihood,
        "loglikelihood_rolling": engine.loglikelihood_rolling,
        "generate_until": engine.generate_until,
    }
    dtype = engine.signature().get("dtype", "")
    missing = list(range(len(requests)))
    while True:
        answered: set[int] = set()
        try:
            for place, response in methods[kind]([requests[i] for i in missing]):
                answered.add(place)
                yield missing[place], sound(response, dtype=dtype)
            return
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or not isinstance(engine, Frugal) or not engine.halve_batches():
                raise
            log.warning("out of memory: continuing with smaller batches")
        missing = [i for place, i in enumerate(missing) if place not in answered]


def sound(response: Response, *, dtype: str) -> Response:
    """Turn a response whose score is not a finite number into a failed one.

    A softmax of finite numbers never gives a token probability zero. So minus infinity, even for a single option, is an
    overflow or comes from broken weights; compared with other scores, it would decide which option is chosen.
    """
    if problem := not_finite(response.loglikelihood, dtype=dtype):
        return replace(response, loglikelihood=0.0, error=response.error or problem)
    return response


def not_finite(score: float, *, dtype: str) -> str:
    """Return a message, with a hint, for a score that is not a finite number; an empty text for any other."""
    if math.isfinite(score):
        return ""
    hint = "; fp16 ends at 65504, try --dtype fp32" if dtype == "float16" else "; are its weights sound?"
    return f"the model's score is {score:g}, not a finite number{hint}"
