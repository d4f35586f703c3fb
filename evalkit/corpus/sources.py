"""Sources: words of the command line -> the files and datasets to read, always in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from evalkit import world
from evalkit.corpus import formats
from evalkit.corpus.formats import Raw
from evalkit.data.readers import COMPRESSED
from evalkit.errors import DataError, UsageError

Reading = Callable[[Path, IO[bytes], formats.Naming], Iterator[Raw]]

_READERS: Mapping[str, Reading] = {
    ".txt": formats.read_text,
    ".md": formats.read_text,
    ".jsonl": formats.read_jsonl,
    ".json": formats.read_json_file,
    ".parquet": formats.read_parquet,
    ".html": formats.read_page,
    ".htm": formats.read_page,
    ".warc": formats.read_warc,
    ".wet": formats.read_warc,
}
_COMPRESSIBLE = tuple(kind for kind in _READERS if kind != ".parquet")
_KINDS = f"{', '.join(_READERS)}; all but parquet also compressed: {', '.join(COMPRESSED)}"

PART = 8_000_000  # characters (of pages: bytes) of raw documents that a process gets at a time
_MOST = 50_000  # documents

HUB = "hf:"
_PAGE = 490  # bytes of a page of the world


@dataclass(kw_only=True)
class Source:
    """One file, dataset or generator.

    size: its bytes, 0 if unknown. identity: a text that changes when the content does, as far as can be known without
    reading it; empty for a file that is only counted. open_documents: yields its documents. raw: the open file, whose
    position shows the progress.
    """

    name: str
    size: int
    identity: str
    open_documents: Callable[[Source], Iterator[Raw]]
    raw: IO[bytes] | None = field(default=None, init=False)

    def documents(self) -> Iterator[tuple[Raw, int]]:
        """Yield each document with the number of bytes of the source read so far."""
        for document in self.open_documents(self):
            yield document, min(self.raw.tell(), self.size) if self.raw and not self.raw.closed else 0


def find(
    words: Sequence[str], *, column: str, tokens: int, seed: int, skip_bad: bool = False, out: Path | None = None
) -> list[Source]:
    """Return the sources that words stand for: 'world', files, all files of known kinds below folders, hf: datasets.

    column: the column of the text; skip_bad: whether rows without it are only counted. tokens, seed: of the generated
    world. out: a folder that is not read. Files of other kinds come last, as sources without documents.
    Raises DataError for a name that does not exist, a folder without text and a file of another kind.
    """
    if list(words) == ["world"]:
        return [_world(tokens, seed)]
    readable: list[Source] = []
    unreadable: list[Source] = []
    for word in words:
        if word.startswith(HUB):
            readable.append(_dataset(word, column, skip_bad))
        else:
            for path, name in _files(Path(word), out):
                if _kind(path):
                    readable.append(_file(path, formats.Naming(source=name, column=column, skip_bad=skip_bad)))
                else:
                    unreadable.append(_unreadable(path, name))
    return readable + unreadable


def chunks(sources: Iterable[Source]) -> Iterator[tuple[list[Raw], int]]:
    """Yield chunks of documents of about PART characters, each with the number of source bytes read for it."""
    chunk: list[Raw] = []
    length = before = reported = 0
    for source in sources:
        for raw, position in source.documents():
            chunk.append(raw)
            length += len(raw.content)
            if length >= PART or len(chunk) == _MOST:
                yield chunk, before + position - reported
                reported = before + position
                chunk, length = [], 0
        before += source.size
    if chunk:
        yield chunk, before - reported


def _world(tokens: int, seed: int) -> Source:
    documents = max(100, tokens // 120)  # a page has about 128

    def read(_: Source) -> Iterator[Raw]:
        return (Raw(page, "world") for page in world.corpus(seed=seed, documents=documents))

    return Source(
        name="world", size=documents * _PAGE, identity=f"{world.VERSION} {seed} {documents}", open_documents=read
    )


def _dataset(word: str, column: str, skip_bad: bool) -> Source:
    identifier, _, rest = word.removeprefix(HUB).partition(":")
    config, _, split = rest.partition(":")
    if not identifier:
        raise UsageError(f"source {word!r}: expected hf:ID, hf:ID:CONFIG or hf:ID:CONFIG:SPLIT")
    naming = formats.Naming(source=f"hf:{identifier}", column=column, skip_bad=skip_bad)
    read = partial(formats.read_dataset, identifier, config or None, split or "train", naming)
    return Source(name=word, size=0, identity=word, open_documents=lambda _: read())


def _files(path: Path, out: Path | None) -> Iterator[tuple[Path, str]]:
    """Yield the files of any kind below a path, except those in `out`, each with its name in statistics."""
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        if out:
            inside = [p for p in inside if out.resolve() not in p.resolve().parents]
        if not any(map(_kind, inside)):
            raise DataError(f"{path}: no text in this folder; expected files that end in {_KINDS}")
        yield from ((p, str(p.relative_to(path))) for p in inside)
    elif not path.is_file():
        raise DataError(f"corpus {str(path)!r}: no such file or folder (or 'world' for the generated one, or hf:ID)")
    elif not _kind(path):
        raise DataError(f"{path}: not a text file; expected one that ends in {_KINDS}")
    else:
        yield path, path.name


def _kind(path: Path) -> str:
    """Return the ending that determines how a file is read, or an empty text."""
    if path.suffix in COMPRESSED:
        inner = Path(path.stem).suffix.lower()
        return inner if inner in _COMPRESSIBLE else ""
    return path.suffix.lower() if path.suffix.lower() in _READERS else ""


def _unreadable(path: Path, name: str) -> Source:
    """Return a source that only counts a file that cannot be read as text."""
    ending = path.suffix.lower()
    kind = ending if ending[1:].isalnum() and len(ending) < 10 else "no ending" if not ending else "another ending"
    left_out = Raw("", name, left_out=f"file of another kind ({kind})")
    return Source(name=name, size=0, identity="", open_documents=lambda _: iter([left_out]))


def _file(path: Path, naming: formats.Naming) -> Source:
    status = path.stat()
    reader = _READERS[_kind(path)]

    def read(source: Source) -> Iterator[Raw]:
        with ExitStack() as stack:
            try:
                source.raw = stack.enter_context(path.open("rb"))
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror})") from None
            yield from reader(path, source.raw, naming)

    name = naming.source
    identity = f"{name} {status.st_size} {status.st_mtime_ns}"
    return Source(name=name, size=status.st_size, identity=identity, open_documents=read)
