"""The training text as chunks of documents, which processes take one by one: raw files, or the shards of a corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from evalkit.corpus import prepare, shards, sources
from evalkit.corpus.filters import text_of
from evalkit.corpus.formats import Raw
from evalkit.corpus.shards import Corpus
from evalkit.files import canonical_json, digest
from evalkit.tokenizer import Tokenizer

TOKENS = 2_000_000  # of a chunk, and those up to the end of its last document
_WORLD_TOKENS = 9_000_000


@dataclass(frozen=True)
class TextChunk:
    """Documents as their sources have them."""

    raws: Sequence[Raw]

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield the source and the cleaned text of each document."""
        return ((raw.source, text_of(raw)) for raw in self.raws if not raw.left_out)


@dataclass(frozen=True)
class TokenChunk:
    """Whole documents of a built corpus: the tokens from start to end of its training part."""

    folder: Path
    start: int
    end: int

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield the folder's name and the text of each document."""
        tokenizer, corpus = _opened(self.folder)
        ids = np.asarray(corpus.train[self.start : self.end])
        special = [token for token in (tokenizer.begin, tokenizer.end_of_text) if token is not None]
        for document in np.split(ids, np.flatnonzero(ids == tokenizer.end_of_text) + 1):
            if len(document):
                yield self.folder.name, tokenizer.decode(document[~np.isin(document, special)].tolist())


Chunk = TextChunk | TokenChunk


@dataclass(frozen=True, kw_only=True)
class Training:
    """A corpus. identity: changes when the content does. size: in units. chunks: yields each with its size in units."""

    name: str
    identity: str
    size: int
    unit: str
    chunks: Callable[[], Iterator[tuple[Chunk, int]]]


def open_training(
    words: Sequence[str], *, column: str = "text", skip_bad: bool = False, out: Path | None = None
) -> Training:
    """Return the corpus that words stand for: a built corpus, or files, folders, hf: datasets and 'world'.

    column, skip_bad: as in Recipe. out: a folder that is not read. Raises DataError, StoreError for bad ones.
    """
    if folder := prepare.built_corpus(words):
        return _of_shards(folder)
    found = sources.find(words, column=column, tokens=_WORLD_TOKENS, seed=0, skip_bad=skip_bad, out=out)

    def chunks() -> Iterator[tuple[Chunk, int]]:
        return ((TextChunk(raws), size) for raws, size in sources.chunks(found))

    return Training(
        name=" ".join(Path(word).name for word in words),
        identity=digest(canonical_json([column, skip_bad, [source.identity or source.name for source in found]])),
        size=sum(source.size for source in found), unit="bytes", chunks=chunks,
    )  # fmt: skip


def _of_shards(folder: Path) -> Training:
    tokenizer, corpus = _opened(folder)

    def chunks() -> Iterator[tuple[Chunk, int]]:
        start = 0
        while start < len(corpus.train):
            end = _document_end(corpus, start + TOKENS, tokenizer.end_of_text)
            yield TokenChunk(folder, start, end), end - start
            start = end

    return Training(
        name=folder.name, identity=corpus.info.fingerprint, size=len(corpus.train), unit="tokens", chunks=chunks
    )


def _document_end(corpus: Corpus, place: int, end_of_text: int) -> int:
    """Return where the document that holds this place of the training part ends."""
    while place < len(corpus.train):
        ends = np.flatnonzero(corpus.train[place : place + TOKENS] == end_of_text)
        if len(ends):
            return place + int(ends[0]) + 1
        place += TOKENS
    return len(corpus.train)


@lru_cache(maxsize=1)
def _opened(folder: Path) -> tuple[Tokenizer, Corpus]:
    return shards.load_tokenizer(folder), shards.load(folder)
