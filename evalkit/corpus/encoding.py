"""From a part to its tokens: the work of one process after the decisions on all documents."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.corpus import contamination, parts
from evalkit.corpus.shards import as_array, document, is_held_out
from evalkit.files import write_atomic
from evalkit.tokenizer import Tokenizer

_BATCH = 1 << 17  # characters encoded at a time
# Characters of a stretch held out of a longer document: at most, and at least.
_STRETCH, _LEAST = 8192, 256
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A text to be tokenised: a document, or a piece of it between cuts. held_out: for validation."""

    text: str
    source: str
    held_out: bool


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which documents of one part are kept and held out. common: grams that do not count as collisions.

    first: whether the corpus begins here; its first document is trained on, so that the training part is not empty.
    split: whether stretches of long documents are held out, because no whole document is.
    """

    keep: NDArray[np.bool_]
    common: NDArray[np.uint64]
    validation: float
    first: bool
    split: bool

    def pieces(self, path: Path) -> Iterator[Piece]:
        """Yield the texts of a part."""
        first = self.first
        for keep, (text, source, key, hits) in zip(self.keep.tolist(), parts.documents(path), strict=True):
            if keep:
                held_out = not first and is_held_out(int(key[0]), self.validation)
                first = False
                for start, end in contamination.pieces(len(text), contamination.without(hits, self.common)):
                    for part, apart in _stretches_apart(text[start:end], self.validation if self.split else 0):
                        yield Piece(text=part, source=source, held_out=held_out or apart)


def _stretches_apart(text: str, share: float) -> Iterator[tuple[str, bool]]:
    """Cut a text into (stretch, whether it is held out); a share is held out, in stretches at even distances."""
    cuts, begin = [0], 0
    if len(text) * share >= _LEAST:
        count = math.ceil(len(text) * share / _STRETCH)
        length, distance = len(text) * share / count, len(text) / count
        for i in range(count):
            start = (i + 0.5) * distance - length / 2
            cuts += [_next_word(text, int(start)), _next_word(text, int(start + length))]
    for i, end in enumerate([*cuts[1:], len(text)]):
        if part := text[begin:end].strip():
            yield part, i % 2 == 1
        begin = end


def _next_word(text: str, place: int) -> int:
    """Return where the next white space begins, or `place` if none is near."""
    space = _SPACE.search(text, place, place + _LEAST)
    return space.start() if space else place


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Counts of a part by source: documents (pieces), characters, bytes of UTF-8 and tokens."""

    sources: dict[str, tuple[int, int, int, int]]
    validation_documents: int


def encode(path: Path, selection: Selection, tokenizer: Tokenizer) -> Encoded:
    """Write the tokens of a part beside it, a file for training and one for validation, and then their counts."""
    streams: dict[bool, list[bytes]] = {False: [], True: []}
    sources: dict[str, tuple[int, int, int, int]] = {}
    held_out = 0
    for piece in selection.pieces(path):
        ids = document(encode_long(piece.text, tokenizer), tokenizer)
        streams[piece.held_out].append(ids.tobytes())
        held_out += piece.held_out
        counts = (1, len(piece.text), len(piece.text.encode()), len(ids))
        before = sources.get(piece.source, (0, 0, 0, 0))
        sources[piece.source] = tuple(map(sum, zip(before, counts, strict=True)))  # type: ignore[assignment]
    for part, chunks in (("train", streams[False]), ("validation", streams[True])):
        write_atomic(path.with_suffix(f".{part}"), b"".join(chunks))
    encoded = Encoded(sources=sources, validation_documents=held_out)
    write_atomic(path.with_suffix(".encoded"), json.dumps(asdict(encoded)))
    return encoded


def encode_long(text: str, tokenizer: Tokenizer) -> NDArray[np.unsignedinteger]:
    """Encode a text, a long one in stretches, so that the encoder's own records stay small."""
    stretches = tokenizer.stretches(text, characters=_BATCH)
    return np.concatenate([as_array(tokenizer.encode_batch([stretch])[0], tokenizer) for stretch in stretches])


def sample(path: Path, selection: Selection, *, share: float, seed: int) -> list[str]:
    """Return a random share of a part's training text, in stretches of some thousand characters."""
    rng = random.Random(seed)
    chosen = []
    for piece in selection.pieces(path):
        if not piece.held_out:
            chosen += [stretch for stretch in _stretches(piece.text) if rng.random() < share]
    return chosen


def _stretches(text: str, *, characters: int = 4096) -> Sequence[str]:
    return [text[start : start + characters] for start in range(0, len(text), characters)]
