"""Adapters that make any tokenizer usable by an engine: transformers', tokenizers', tiktoken's, or a user's object."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import tokenizers

from evalkit.engine.base import TextCodec
from evalkit.errors import UsageError
from evalkit.files import digest
from evalkit.model import formats, resolve
from evalkit.tokenizer import Tokenizer

# The end of a decoded text whose last character is still incomplete.
_UNFINISHED = "\ufffd"


@runtime_checkable
class PlainTokenizer(Protocol):
    """The minimum that a user's own tokenizer must offer; end of text is given separately."""

    def encode(self, text: str) -> Sequence[int]:
        """Return the token ids of a text, nothing added."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids."""
        ...


class PlainEncoder:
    """Wraps a tokenizer that can encode and decode, and adds what the harness and the engines need.

    If it can encode a text without interpreting special tokens (tiktoken's `encode_ordinary`), that is used.
    """

    def __init__(self, plain: PlainTokenizer, *, end_of_text: int):
        self._encode: Callable[[str], Sequence[int]] = getattr(plain, "encode_ordinary", plain.encode)
        self._plain, self.end_of_text = plain, end_of_text
        self.begin: int | None = None
        self.bos: int | None = None

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text; nothing is added."""
        return [int(token) for token in self._encode(text)]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts."""
        return [self.encode(text) for text in texts]

    @property
    def size(self) -> int:
        """Number of token ids, as the tokenizer states it; otherwise the ids up to end of text."""
        sizes = (getattr(self._plain, name, None) for name in ("n_vocab", "vocab_size"))
        return next((number for number in sizes if isinstance(number, int)), self.end_of_text + 1)

    @property
    def highest(self) -> None:
        """The highest token id: not known."""
        return None

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids."""
        return str(self._plain.decode(list(ids)))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return each token's (start, end) in characters: where the text of the tokens before it ends."""
        ids = self.encode(text)
        ends = [len(self.decode(ids[: i + 1]).rstrip(_UNFINISHED)) for i in range(len(ids))]
        return list(zip([0, *ends], ends, strict=False))

    def content_hash(self) -> str:
        """Return 16 hexadecimal digits of its encoding of sample texts, because its tables are not accessible."""
        sample = ["".join(map(chr, range(start, start + 64))) for start in range(0, 1024, 64)]
        sample += ["The quick brown fox jumps over the lazy dog. 0123456789", "été — 東京 🙂\n\n\tend"]
        ids: list[object] = []
        for text in sample:
            try:
                ids.append(self.encode(text))
            except Exception:  # a character outside a small tokenizer's alphabet
                ids.append(None)
        return digest(repr((self.end_of_text, ids)))


def encoder_of(tokenizer: Any, *, end_of_text: str | int | None = None, begin: int | None = None) -> TextCodec:
    """Return a tokenizer's adapter.

    tokenizer: evalkit's own, a folder that holds one or a model's name, a fast one of transformers, a
    `tokenizers.Tokenizer`, a tiktoken encoding, or any object with `encode` and `decode`. end_of_text: the token that
    separates documents and stands for an empty context, as text or id, if the tokenizer does not define it. begin: the
    id with which every text began in training, if the tokenizer does not put it there. The object is not changed.

    Raises UsageError for an object that cannot be used or whose end of text is unknown, CheckpointError for a folder
    that cannot be read.
    """
    encoder = _adapter(tokenizer, end_of_text)
    if begin is not None:
        encoder = copy.copy(encoder)
        encoder.begin = encoder.bos = begin
    return encoder


def _adapter(tokenizer: Any, end_of_text: str | int | None) -> Tokenizer | PlainEncoder:
    if isinstance(tokenizer, Tokenizer | PlainEncoder):
        return tokenizer
    if isinstance(tokenizer, str | Path):
        return formats.vocabulary_at(resolve.tokenizer_path(str(tokenizer))).tokenizer
    backend = (
        tokenizer if isinstance(tokenizer, tokenizers.Tokenizer) else getattr(tokenizer, "backend_tokenizer", None)
    )
    if isinstance(backend, tokenizers.Tokenizer):
        return _of_backend(backend, tokenizer, end_of_text)
    if not isinstance(tokenizer, PlainTokenizer):
        raise UsageError(
            f"tokenizer: {type(tokenizer).__name__} cannot be used; expected one of transformers (fast), tokenizers or "
            "tiktoken, a folder that holds one, or an object with encode(text) and decode(ids)"
        )
    candidates = (end_of_text, getattr(tokenizer, "eot_token", None), getattr(tokenizer, "eos_token_id", None))
    end = next((token for token in candidates if token is not None), None)
    if isinstance(end, str):
        ids = list(tokenizer.encode(end))
        end = ids[0] if len(ids) == 1 else None
    if not isinstance(end, int):
        raise UsageError(
            f"tokenizer: {type(tokenizer).__name__} names no token that separates documents; give end_of_text=ID"
        )
    return PlainEncoder(tokenizer, end_of_text=end)


def _of_backend(backend: tokenizers.Tokenizer, owner: Any, end_of_text: str | int | None) -> Tokenizer:
    """Copy a tokenizer of the `tokenizers` library, because ours switches its padding and truncation off."""
    own = tokenizers.Tokenizer.from_str(backend.to_str())
    end = backend.id_to_token(end_of_text) if isinstance(end_of_text, int) else end_of_text
    begin = getattr(owner, "bos_token", None)
    return Tokenizer(own, end_of_text=end or getattr(owner, "eos_token", None) or begin, begin=begin)
