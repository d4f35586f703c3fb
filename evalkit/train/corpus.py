"""Text to tokens: documents from the world, text files or JSONL become one array with end of text between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit import world
from evalkit.errors import DataError, StoreError
from evalkit.files import digest, make_folder, read_json, write_atomic
from evalkit.harness.sources import open_text, read_jsonl
from evalkit.progress import progress
from evalkit.tokenizer import Tokenizer

_TEXT = (".txt", ".md", ".txt.gz", ".txt.bz2", ".txt.xz")
_JSONL = (".jsonl", ".jsonl.gz", ".jsonl.bz2", ".jsonl.xz")

# A document goes to the validation part when the hash of its text says so: one in this many.
VALIDATION_SHARE = 100


@dataclass(frozen=True, kw_only=True)
class CorpusInfo:
    """What a token array was made from. documents, characters, tokens: of both parts together."""

    name: str
    documents: int
    characters: int
    tokens: int
    validation_tokens: int
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Tokens to train on and to validate on (memory-mapped)."""

    train: NDArray[np.unsignedinteger]
    validation: NDArray[np.unsignedinteger]
    info: CorpusInfo


def corpus_files(names: Sequence[str]) -> list[Path]:
    """Expand files and folders into the text and JSONL files below them, sorted.

    Raises DataError for a name that does not exist, a folder without text and a file of another kind.
    """
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith(_TEXT + _JSONL))
            if not inside:
                raise DataError(f"{path}: no text in this folder; expected {', '.join(_TEXT + _JSONL)}")
            found += inside
        elif not path.is_file():
            raise DataError(f"corpus {name!r}: no such file or folder (or 'world' for the generated one)")
        elif not path.name.endswith(_TEXT + _JSONL):
            raise DataError(f"{path}: not a text file; expected {', '.join(_TEXT + _JSONL)}")
        else:
            found.append(path)
    return found


def read_documents(paths: Sequence[Path]) -> Iterator[str]:
    """Yield documents: a text file is one, a line of JSONL is one (its "text" column)."""
    for path in paths:
        if path.name.endswith(_JSONL):
            for row in read_jsonl([path]):
                if not isinstance(row.get("text"), str):
                    raise DataError(f"{path}: a row has no text in its column 'text'")
                yield row["text"]
        else:
            try:
                with open_text(path) as file:
                    yield file.read()
            except (OSError, EOFError, UnicodeDecodeError) as error:
                raise DataError(f"{path}: cannot be read as UTF-8 text ({error})") from error


def world_documents(tokens: int, *, seed: int) -> Iterator[str]:
    """Yield enough pages of the generated world for about `tokens` tokens (a page has about 128)."""
    yield from world.corpus(seed=seed, documents=max(100, tokens // 120))


def build(documents: Iterable[str], tokenizer: Tokenizer, folder: Path, *, name: str) -> Corpus:
    """Tokenise documents into folder/train.bin and validation.bin, with corpus.json beside them.

    Ids are little-endian unsigned integers of 16 bits (32 when the vocabulary needs them); each document is followed
    by end of text. Raises DataError when there is no text.
    """
    make_folder(folder)
    width = np.uint16 if tokenizer.size <= 1 << 16 else np.uint32
    count = characters = 0
    sizes = {"train": 0, "validation": 0}
    hashes = []
    source = iter(documents)
    with (
        (folder / "train.bin").open("wb") as train,
        (folder / "validation.bin").open("wb") as validation,
        progress(f"tokenise {name}", total=0, unit="documents") as bar,
    ):
        files = {"train": train, "validation": validation}
        while batch := list(islice(source, 256)):
            for text, ids in zip(batch, tokenizer.encode_batch(batch), strict=True):
                key = digest(text)
                # The very first document is training text, so that no corpus ends with an empty training part.
                part = "validation" if count and int(key, 16) % VALIDATION_SHARE == 0 else "train"
                files[part].write(np.asarray([*ids, tokenizer.end_of_text], dtype=width).tobytes())
                sizes[part] += len(ids) + 1
                characters += len(text)
                count += 1
                hashes.append(key)
            bar.advance(len(batch))
    if not characters:
        raise DataError(f"the corpus {name!r} holds no text")
    info = CorpusInfo(
        name=name,
        documents=count,
        characters=characters,
        tokens=sizes["train"] + sizes["validation"],
        validation_tokens=sizes["validation"],
        fingerprint=digest("".join(hashes) + tokenizer.content_hash()),
    )
    write_atomic(folder / "corpus.json", json.dumps(asdict(info) | {"width": width(0).nbytes}, indent=2) + "\n")
    return load(folder)


def load(folder: Path) -> Corpus:
    """Open a token array made by `build`. Raises StoreError when a file is missing or cut."""
    raw = read_json(folder / "corpus.json", StoreError)
    try:
        width = np.dtype(f"<u{raw.pop('width')}")
        info = CorpusInfo(**raw)
    except (TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{folder / 'corpus.json'}: not a corpus record ({error})") from None
    expected = {"train": info.tokens - info.validation_tokens, "validation": info.validation_tokens}
    arrays = {}
    for part, tokens in expected.items():
        path = folder / f"{part}.bin"
        size = path.stat().st_size if path.is_file() else -1
        if size != tokens * width.itemsize:
            raise StoreError(f"{path}: expected {tokens * width.itemsize} bytes, found {size}; is the file cut?")
        arrays[part] = np.memmap(path, dtype=width, mode="r") if tokens else np.zeros(0, dtype=width)
    return Corpus(train=arrays["train"], validation=arrays["validation"], info=info)


def prepare(
    names: Sequence[str],
    folder: Path,
    *,
    tokens: int,
    vocab_size: int,
    tokenizer_folder: Path | None,
    seed: int,
    reuse: bool,
) -> tuple[Tokenizer, Corpus]:
    """Return tokenizer and corpus for a training, made once and kept in `folder`.

    names: 'world', files and folders, or one folder made by `build`, which is used as it is. The tokenizer is trained
    on the first documents (20 million characters) unless a folder holds one. reuse: take what an earlier start left.
    """
    for ready in ([Path(names[0])] if len(names) == 1 else []) + ([folder] if reuse else []):
        if (ready / "corpus.json").exists():
            return Tokenizer.load(ready), load(ready)

    def documents() -> Iterator[str]:
        if names == ["world"] or tuple(names) == ("world",):
            return world_documents(tokens, seed=seed)
        return read_documents(corpus_files(names))

    tokenizer = Tokenizer.load(tokenizer_folder) if tokenizer_folder else None
    tokenizer = tokenizer or Tokenizer.train(_first(documents(), characters=20_000_000), vocab_size=vocab_size)
    make_folder(folder)
    corpus = build(documents(), tokenizer, folder, name=" ".join(Path(name).name for name in names))
    tokenizer.save(folder, context=0)
    return tokenizer, corpus


def _first(texts: Iterable[str], *, characters: int) -> Iterator[str]:
    """Yield texts until they hold `characters`."""
    seen = 0
    for text in texts:
        yield text
        seen += len(text)
        if seen >= characters:
            return
