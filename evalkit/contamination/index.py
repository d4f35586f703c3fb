"""An index of a corpus: Bloom filters of its 8-grams, as GPT-2's authors made them, in one file that is made once.

A search with the index needs neither the corpus nor a pass over it. It can say "seen" of a run that is not in the
corpus with a probability of 2^-27 = 7.5e-9 (Radford et al. 2019: at most 1 in 10^8), and never "not seen" of one that
is. With 27 hashes that takes 27 / ln 2 = 39 bits per run, sized by the number of runs, which is known before the first
bit is set: each chunk of the corpus first becomes a file of its own sorted hashes. The filter is cut by the hashes'
first bits into partitions of at most 16 MiB; each is filled and tested by itself, so memory does not grow with the
corpus. All 27 positions of a run are mixed from its hash independently of one another.

The file: a line of JSON, then the partitions one after the other.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.contamination.corpora import Chunk, Training
from evalkit.contamination.documents import OVERLAP_N
from evalkit.contamination.search import Sightings, as_bytes, begin, facts_of, joined, process, save
from evalkit.corpus.pool import run_in_order
from evalkit.corpus.word_hashes import grams
from evalkit.errors import StoreError, cannot
from evalkit.files import digest, make_folder, parse_json, write_atomic
from evalkit.progress import progress
from evalkit.runs.shapes import check

HASHES = 27
_BITS_PER_RUN = HASHES / math.log(2)
# Bits of a partition, on average at most, and at least: of a few bits, more than half may be set by chance.
_PARTITION, _LEAST = 1 << 27, 1 << 20
_FORMAT = "evalkit 8-grams 1"
_MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, kw_only=True)
class About:
    """The header. corpus, identity: the corpus's name and digest. runs: 8-grams, each counted once per chunk.

    bits: of each of the 2^k partitions, a multiple of 8. bound: of the chance that a run is falsely seen, from the
    share of bits that are set. sha256: of the partitions.
    """

    format: str
    corpus: str
    identity: str
    documents: int
    words: int
    runs: int
    bits: Sequence[int]
    bound: float
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Index:
    """An open index. start: the byte at which the partitions begin."""

    path: Path
    about: About
    start: int

    def sightings(self, values: Mapping[int, NDArray[np.uint64]]) -> Sightings:
        """Return which of the runs of 8 words the corpus has. Raises StoreError for a damaged file."""
        first = {OVERLAP_N: np.where(self._has(values[OVERLAP_N]), 0, -1)}
        about = self.about
        return Sightings(
            values={OVERLAP_N: values[OVERLAP_N]}, first=first, sources={}, documents=about.documents,
            words=about.words, bound=about.bound,
        )  # fmt: skip

    def _has(self, values: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return whether each of these sorted hashes is in the filter. Raises StoreError for a damaged file."""
        present = np.zeros(len(values), dtype=bool)
        bounds = _cuts(values, len(self.about.bits))
        place, total = self.start, hashlib.sha256()
        for partition, bits in enumerate(self.about.bits):
            field = np.fromfile(self.path, dtype=np.uint8, count=bits // 8, offset=place)
            total.update(field.tobytes())
            part = slice(bounds[partition], bounds[partition + 1])
            present[part] = _test(field, values[part])
            place += bits // 8
        if total.hexdigest() != self.about.sha256:
            raise StoreError(f"{self.path} is damaged: its checksum does not fit; make it again")
        return present


def is_index(path: Path) -> bool:
    """Whether a path is the file of an index."""
    try:
        with path.open("rb") as file:
            return _FORMAT.encode() in file.read(64)
    except OSError:
        return False


def open_index(path: Path) -> Index:
    """Open an index. Raises StoreError for a file that is none, or is cut."""
    try:
        with path.open("rb") as file:
            head = file.readline(1 << 24)
        raw = parse_json(head, path, StoreError)
        check(About, raw)
        about = About(**raw)
    except OSError as error:
        raise cannot("read", path, error) from error
    except TypeError as error:
        raise StoreError(f"{path}: not an index of `evalkit contamination --index` ({error})") from None
    count = len(about.bits)
    if about.format != _FORMAT or count & (count - 1) or not all(_is_size(bits) for bits in about.bits):
        raise StoreError(f"{path}: not an index of this version ({_FORMAT})")
    expected, size = len(head) + sum(about.bits) // 8, path.stat().st_size
    if size != expected:
        raise StoreError(f"{path}: expected {expected:,} bytes, found {size:,}; is the file cut?")
    return Index(path=path, about=about, start=len(head))


def _is_size(bits: int) -> bool:
    return _LEAST <= bits < 1 << 32 and bits % 8 == 0


def build(training: Training, path: Path, *, jobs: int) -> Index:
    """Make the index of a corpus, or continue one that was interrupted, in `jobs` processes.

    Raises UsageError if another corpus's unfinished index is there, DataError for bad sources, StoreError.
    """
    work = path.with_name(f"{path.name}.unfinished")
    begin(work, digest(f"{_FORMAT} {training.identity}"), "index")
    paths = process(training, work, _hash_chunk, label="hash", jobs=jobs)
    facts = []
    for chunk in paths:
        with np.load(chunk) as file:
            facts.append(facts_of(file))
    runs = sum(each["runs"] for each in facts)
    count = 1 << max(0, math.ceil(math.log2(max(1.0, runs * _BITS_PER_RUN / _PARTITION))))
    fields = _fields(paths, count, jobs=jobs, label=f"index {training.name}")
    _write(path, fields, training, facts)
    shutil.rmtree(work)
    return open_index(path)


def _hash_chunk(path: Path, chunk: Chunk, size: int) -> int:
    """Write the sorted hashes of a chunk's 8-grams, each once; those across documents are of no text, and stay out."""
    names, words, bounds = joined(chunk)
    hashes = grams(words, n=OVERLAP_N)
    inside = np.ones(len(hashes), dtype=bool)
    for before in range(OVERLAP_N):  # a run that holds the mark at the end of a document
        places = bounds[1:] - 1 - before
        inside[places[(places >= 0) & (places < len(hashes))]] = False
    values = np.unique(hashes[inside])
    facts = {"documents": len(names), "words": len(words) - len(names), "runs": len(values)}
    write_atomic(_hashes(path), as_bytes(values))
    save(path, {}, facts)
    return size


def _hashes(path: Path) -> Path:
    """Return the file of a chunk's hashes, of which slices are read."""
    return path.with_suffix(".npy")


def _fields(paths: Sequence[Path], count: int, *, jobs: int, label: str) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield the bits of each partition in order, and how many of them are set."""
    with progress(label, total=count, unit="partitions") as bar:
        for field in run_in_order(_fill, ((paths, number, count) for number in range(count)), jobs=jobs):
            yield field
            bar.advance(1)


def _fill(paths: Sequence[Path], number: int, count: int) -> tuple[NDArray[np.uint8], int]:
    """Return the bits of a partition of `count`, sized for the runs of all chunks in it, and how many are set."""
    slices = [_slice(path, number, count) for path in paths]
    bits = max(_LEAST, -(-math.ceil(sum(map(len, slices)) * _BITS_PER_RUN) // 8) * 8)
    field = np.zeros(bits, dtype=bool)
    for values in slices:
        for i in range(HASHES):
            field[_positions(values, i, bits)] = True
    return np.packbits(field), int(field.sum())


def _slice(path: Path, number: int, count: int) -> NDArray[np.uint64]:
    """Read a chunk's hashes that are in a partition of `count`."""
    values = np.load(_hashes(path), mmap_mode="r")
    bounds = _cuts(values, count)
    return np.array(values[bounds[number] : bounds[number + 1]])


def _cuts(values: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """Return where each of `count` (a power of two) partitions begins among sorted hashes, and the end."""
    shift = np.uint64(64 - count.bit_length() + 1)
    inner = np.arange(1, count, dtype=np.uint64) << shift
    return np.concatenate([[0], np.searchsorted(values, inner), [len(values)]]).astype(np.int64)


def _positions(values: NDArray[np.uint64], i: int, bits: int) -> NDArray[np.int64]:
    """Return the i-th position of each hash in a field of fewer than 2^32 bits (Steele et al. 2014's mixer)."""
    mixed = values + np.uint64(((i + 1) * int(_MIX[0])) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[1]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[2]
    mixed ^= mixed >> np.uint64(31)
    return (((mixed >> np.uint64(32)) * np.uint64(bits)) >> np.uint64(32)).astype(np.int64)


def _test(field: NDArray[np.uint8], values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of these hashes have all their bits set in a packed field."""
    candidates = np.arange(len(values))
    for i in range(HASHES):
        places = _positions(values[candidates], i, 8 * len(field))
        candidates = candidates[(field[places >> 3] >> (7 - (places & 7)).astype(np.uint8)) & 1 == 1]
    present = np.zeros(len(values), dtype=bool)
    present[candidates] = True
    return present


def _write(
    path: Path, fields: Iterator[tuple[NDArray[np.uint8], int]], training: Training, facts: Sequence[Mapping[str, Any]]
) -> None:
    """Write the partitions beside the file, then the header and them into it. Raises StoreError."""
    make_folder(path.parent)
    body, written = path.with_name(f"{path.name}.unfinished") / "body", path.with_name(f".{path.name}.new")
    bits, total, bound = [], hashlib.sha256(), 0.0
    try:
        with body.open("wb") as file:
            for field, ones in fields:
                data = field.tobytes()
                file.write(data)
                total.update(data)
                bits.append(8 * len(data))
                bound = max(bound, (ones / bits[-1]) ** HASHES)
        about = About(
            format=_FORMAT, corpus=training.name, identity=training.identity, runs=sum(f["runs"] for f in facts),
            documents=sum(f["documents"] for f in facts), words=sum(f["words"] for f in facts), bits=bits, bound=bound,
            sha256=total.hexdigest(),
        )  # fmt: skip
        with written.open("wb") as out, body.open("rb") as file:
            out.write(json.dumps(asdict(about)).encode() + b"\n")
            shutil.copyfileobj(file, out, 1 << 22)
        written.replace(path)
    except OSError as error:
        raise cannot("write", path, error) from error
