"""Shards: token files with an index, opened as one stream for training and one for validation.

A corpus folder holds corpus.json (the index, written last: without it the corpus is unfinished), train-00000.bin, ...,
validation-00000.bin, ... (ids as little-endian unsigned integers of 16 bits, or 32 if the vocabulary needs them, each
document followed by end of text; before it the token that begins texts, if the tokenizer has one), tokenizer.json, and
stats.json with stats.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import DataError, StoreError
from evalkit.files import digest, make_folder, read_json, write_atomic
from evalkit.progress import progress
from evalkit.tokenizer import Tokenizer

INDEX = "corpus.json"
UNFINISHED = "unfinished"
PARTS = ("train", "validation")


@dataclass(frozen=True, kw_only=True)
class CorpusInfo:
    """What the tokens were made from. documents, characters, tokens: of both parts together.

    skipped: bad rows that the build was told to skip; 0 in an index that is older than this count.
    """

    name: str
    documents: int
    characters: int
    tokens: int
    validation_tokens: int
    fingerprint: str
    skipped: int = 0


class TokenStream(Protocol):
    """Token ids that are read in slices: an array, or the shards of a corpus."""

    def __len__(self) -> int:
        """Return the number of tokens."""
        ...

    def __getitem__(self, place: slice, /) -> NDArray[np.unsignedinteger]:
        """Return a slice."""
        ...


class Tokens:
    """A stream of token ids over one or several files, read like an array: len(), [i], [start:end]."""

    def __init__(self, arrays: Sequence[NDArray[np.unsignedinteger]], dtype: np.dtype[np.unsignedinteger]):
        self._arrays, self.dtype = arrays, dtype
        self._ends = np.cumsum([0, *map(len, arrays)])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, place: slice | int) -> Any:
        """Return the ids of a slice (steps of 1 only) as an array, or one id."""
        if not isinstance(place, slice):
            index = range(len(self))[place]  # as in a list: negative from the end, IndexError beyond
            return self[index : index + 1][0]
        start, stop, step = place.indices(len(self))
        if step != 1:
            raise ValueError("a token stream is read in steps of 1")
        first = int(np.searchsorted(self._ends, start, side="right")) - 1
        slices = []
        for array, offset in zip(self._arrays[first:], self._ends[first:], strict=False):
            if offset >= stop:
                break
            slices.append(array[max(0, start - offset) : stop - offset])
        return slices[0] if len(slices) == 1 else np.concatenate([*slices, np.zeros(0, dtype=self.dtype)])

    def __iter__(self) -> Iterator[np.unsignedinteger]:
        for array in self._arrays:
            yield from array

    def max(self) -> int:
        """Return the largest id, or 0 if there are none."""
        return max((int(array.max()) for array in self._arrays if len(array)), default=0)


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Tokens to train on and to validate on (memory-mapped)."""

    train: Tokens
    validation: Tokens
    info: CorpusInfo


@dataclass
class ShardWriter:
    """Writes the token files of a folder, then its index. width: bytes of an id. limit: tokens of a file."""

    folder: Path
    width: int
    limit: int
    _shards: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {part: [] for part in PARTS})
    _open: dict[str, tuple[IO[bytes], Any]] = field(default_factory=dict)
    _total: dict[str, Any] = field(default_factory=lambda: {part: hashlib.sha256() for part in PARTS})

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for file, _sha in self._open.values():
            file.close()

    def write(self, part: str, ids: bytes) -> None:
        """Append ids to the last file of a part, and continue in a new one when it is full."""
        self._total[part].update(ids)
        while ids:
            if part not in self._open:
                name = f"{part}-{len(self._shards[part]):05d}.bin"
                self._open[part] = (self.folder / name).open("wb"), hashlib.sha256()
                self._shards[part].append({"file": name, "tokens": 0})
            shard, (file, file_hash) = self._shards[part][-1], self._open[part]
            fits = ids[: (self.limit - shard["tokens"]) * self.width]
            file.write(fits)
            file_hash.update(fits)
            shard["tokens"] += len(fits) // self.width
            ids = ids[len(fits) :]
            if shard["tokens"] == self.limit:
                self._close(part)

    def _close(self, part: str) -> None:
        file, file_hash = self._open.pop(part)
        file.close()
        self._shards[part][-1]["sha256"] = file_hash.hexdigest()

    def close(
        self, tokenizer: Tokenizer, *, name: str, documents: int, characters: int, skipped: int = 0
    ) -> CorpusInfo:
        """Close the files. The fingerprint is of the tokens, however they are split into files, and the tokenizer."""
        for part in list(self._open):
            self._close(part)
        tokens = {part: sum(shard["tokens"] for shard in self._shards[part]) for part in PARTS}
        hashes = "".join(self._total[part].hexdigest() for part in PARTS)
        return CorpusInfo(
            name=name,
            documents=documents,
            characters=characters,
            tokens=sum(tokens.values()),
            validation_tokens=tokens["validation"],
            fingerprint=digest(hashes + tokenizer.content_hash()),
            skipped=skipped,
        )

    def write_index(self, tokenizer: Tokenizer, info: CorpusInfo, *, plan: str = "") -> None:
        """Write the tokenizer, then the index. plan: hash of the build's plan, if there was a build."""
        tokenizer.save(self.folder, context=0)
        settings = {
            "width": self.width,
            "vocabulary": tokenizer.size,
            "tokenizer": tokenizer.content_hash(),
            "plan": plan,
        }
        write_atomic(
            self.folder / INDEX, json.dumps(asdict(info) | settings | {"shards": self._shards}, indent=2) + "\n"
        )


def width_of(tokenizer: Tokenizer) -> int:
    """Return the number of bytes that hold any id of a tokenizer: 2 or 4."""
    return 2 if tokenizer.size <= 1 << 16 else 4


def is_corpus(folder: Path) -> bool:
    """Whether a folder holds a corpus. Raises StoreError if its build is unfinished."""
    if (folder / INDEX).is_file():
        return True
    if (folder / UNFINISHED).is_dir():
        raise StoreError(f"{folder}: the build of this corpus is unfinished; give the same command again to continue")
    return False


def load(folder: Path) -> Corpus:
    """Open a corpus folder. Raises StoreError if it is unfinished or a file is missing, truncated or inconsistent."""
    if not is_corpus(folder):
        raise StoreError(f"{folder}: no corpus here ({INDEX} is missing); make one with `evalkit corpus build`")
    path = folder / INDEX
    raw = read_json(path, StoreError)
    try:
        if raw["width"] not in (2, 4):
            raise TypeError(f"width {raw['width']!r:.40}")
        dtype = np.dtype(f"<u{int(raw['width'])}")
        known = {"skipped": 0, **raw}
        info = CorpusInfo(**{name: known[name] for name in CorpusInfo.__dataclass_fields__})
        if not all(isinstance(count, int) for count in (info.documents, info.characters, info.tokens, info.skipped)):
            raise TypeError("documents, characters, tokens and skipped must be whole numbers")
        shards = raw.get("shards") or _single(info)
        streams = {part: Tokens([_map(folder, shard, dtype) for shard in shards[part]], dtype) for part in PARTS}
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise StoreError(f"{path}: not a corpus index ({type(error).__name__}: {error})") from None
    if len(streams["train"]) + len(streams["validation"]) != info.tokens:
        raise StoreError(f"{path}: {info.tokens:,} tokens in total, but the shards' numbers do not add up to that")
    return Corpus(train=streams["train"], validation=streams["validation"], info=info)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read the tokenizer of a corpus folder. Raises StoreError if the tokens were made with another one."""
    tokenizer = Tokenizer.load(folder)
    stored_hash = read_json(folder / INDEX, StoreError).get("tokenizer")
    if stored_hash is not None and stored_hash != tokenizer.content_hash():
        raise StoreError(f"{folder}: its tokenizer.json is not the one that its tokens were made with")
    return tokenizer


def verify(folder: Path) -> None:
    """Read all shards of a corpus. Raises StoreError for one whose content has changed."""
    for shard in chain.from_iterable(read_json(folder / INDEX, StoreError).get("shards", {}).values()):
        path = _shard_path(folder, shard)
        with progress(f"verify {path.name}", total=path.stat().st_size, unit="bytes") as bar, path.open("rb") as file:
            file_hash = hashlib.sha256()
            while block := file.read(1 << 22):
                file_hash.update(block)
                bar.advance(len(block))
        if file_hash.hexdigest() != shard.get("sha256"):
            raise StoreError(f"{path}: its content has changed since it was written")


def _single(info: CorpusInfo) -> Mapping[str, list[dict[str, Any]]]:
    """Return the shards of a corpus from before there were shards: one file per part."""
    tokens = {"train": info.tokens - info.validation_tokens, "validation": info.validation_tokens}
    return {part: [{"file": f"{part}.bin", "tokens": count}] if count else [] for part, count in tokens.items()}


def _map(folder: Path, shard: Mapping[str, Any], dtype: np.dtype[Any]) -> NDArray[np.unsignedinteger]:
    path = _shard_path(folder, shard)
    expected, size = shard["tokens"] * dtype.itemsize, path.stat().st_size if path.is_file() else None
    if size is None:
        raise StoreError(f"{path} is missing")
    if size != expected:
        raise StoreError(f"{path}: expected {expected} bytes, found {size}; is the file cut?")
    return np.memmap(path, dtype=dtype, mode="r")


def _shard_path(folder: Path, shard: Mapping[str, Any]) -> Path:
    """Return the path of a shard in the corpus folder. Raises TypeError for an entry that is not a shard."""
    name, tokens = shard["file"], shard["tokens"]
    if not isinstance(name, str) or Path(name).name != name or len(name) > 255:
        raise TypeError(f"{name!r:.60} must be a file's name in this folder")
    if not isinstance(tokens, int) or tokens < 1:
        raise TypeError(f"{name} with {tokens!r:.40} tokens")
    return folder / name


def of_texts(
    texts: Iterable[str], tokenizer: Tokenizer, folder: Path, *, name: str, validation: float = 0.01
) -> Corpus:
    """Write texts unchanged into a corpus folder, without any filter. Raises DataError if there is no text."""
    documents = characters = 0
    source = iter(texts)
    with ShardWriter(make_folder(folder), width=width_of(tokenizer), limit=1 << 30) as writer:
        while batch := list(islice(source, 256)):
            for text, ids in zip(batch, tokenizer.encode_batch(batch), strict=True):
                held_out = documents and is_held_out(int(digest(text), 16), validation)
                tokens = document(as_array(ids, tokenizer), tokenizer)
                writer.write("validation" if held_out else "train", tokens.tobytes())
                documents, characters = documents + 1, characters + len(text)
        if not characters:
            raise DataError(f"the corpus {name!r} holds no text")
        writer.write_index(tokenizer, writer.close(tokenizer, name=name, documents=documents, characters=characters))
    return load(folder)


def is_held_out(key: int, share: float) -> bool:
    """Whether a document whose text has this hash (64 bits) belongs to the validation part."""
    return key < share * 2**64


def document(ids: NDArray[np.unsignedinteger], tokenizer: Tokenizer) -> NDArray[np.unsignedinteger]:
    """Return a document's ids with the token that begins every text, if the tokenizer has one, and end of text."""
    begin = [] if tokenizer.begin is None else [tokenizer.begin]
    return np.concatenate([as_array(begin, tokenizer), ids, as_array([tokenizer.end_of_text], tokenizer)])


def as_array(ids: Sequence[int], tokenizer: Tokenizer) -> NDArray[np.unsignedinteger]:
    """Return ids as an array in the width used in the tokenizer's shards."""
    return np.array(ids, dtype=f"<u{width_of(tokenizer)}")
