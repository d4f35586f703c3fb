"""One pass over a corpus for the tests' runs of words: exact but for collisions of 64-bit hashes.

Only the tests' hashes are in memory, so that it depends on the tests alone, and every N takes part in the same pass. A
run of words is falsely seen with the probability that one of the corpus's G other runs has its hash, about G / 2^64:
below 1e-8 up to 10^11 words.

Each chunk of the corpus becomes a file, so that an interrupted search goes on with the next one; chunks are cut by size
alone, so the result is the same for any number of processes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.contamination.corpora import Chunk, Training
from evalkit.corpus.pool import run_in_order
from evalkit.corpus.word_hashes import GramSet, WordHasher, grams
from evalkit.errors import StoreError, UsageError
from evalkit.files import digest, make_folder, read_json, write_atomic
from evalkit.progress import progress

BETWEEN = np.uint64(0x6A09E667F3BCC909)  # between documents; an arbitrary number

_PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Sightings:
    """Which runs of words were seen.

    values: by n, sorted hashes of the tests' runs. first: by n, for each the number of the first document of the corpus
    that has it, or -1; of an index, which knows no documents, 0. sources: of those documents, by number.
    documents, words: of the corpus. bound: of the probability that a run is falsely seen.
    """

    values: Mapping[int, NDArray[np.uint64]]
    first: Mapping[int, NDArray[np.int64]]
    sources: Mapping[int, str]
    documents: int
    words: int
    bound: float

    def first_of(self, values: NDArray[np.uint64], *, n: int) -> NDArray[np.int64]:
        """Return the first document of each of these runs of n words, which are among the tests'; -1: not seen."""
        return self.first[n][np.searchsorted(self.values[n], values)]


def search(training: Training, values: Mapping[int, NDArray[np.uint64]], work: Path, *, jobs: int) -> Sightings:
    """Look for runs of words in a corpus, in `jobs` processes. work: a folder of files that an interrupted one left.

    Raises UsageError if `work` holds those of another search, DataError for bad sources.
    """
    plan = digest(f"{training.identity} {[(n, len(v), int(v.sum(dtype=np.uint64))) for n, v in values.items()]}")
    begin(work, plan, "search")
    for n, hashes in values.items():
        if not (path := _values_path(work, n)).exists():
            write_atomic(path, as_bytes(hashes))
    paths = process(training, work, _search_chunk, label="search", jobs=jobs)
    return _gather(paths, values)


def begin(work: Path, plan: str, what: str) -> None:
    """Make the folder of an unfinished piece of work, or check that it belongs to the same plan."""
    if not (work / _PLAN).exists():
        write_atomic(make_folder(work) / _PLAN, json.dumps(plan))
    elif read_json(work / _PLAN, StoreError) != plan:
        raise UsageError(
            f"{work} holds an unfinished {what} of another corpus or other tasks; give the same command again to "
            "continue it, delete the folder, or write to another place"
        )


def process(
    training: Training, work: Path, function: Callable[[Path, Chunk, int], int], *, label: str, jobs: int
) -> list[Path]:
    """Apply a function to every chunk that has no file yet; return the files in order."""
    paths: list[Path] = []
    with progress(f"{label} {training.name}", total=training.size, unit=training.unit) as bar:

        def unfinished() -> Iterator[tuple[Path, Chunk, int]]:
            for number, (chunk, size) in enumerate(training.chunks()):
                paths.append(work / f"chunk-{number:06d}.npz")
                if paths[-1].exists():
                    bar.advance(size)
                else:
                    yield paths[-1], chunk, size

        for size in run_in_order(function, unfinished(), jobs=jobs):
            bar.advance(size)
    return paths


def save(path: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Write what was made of a chunk. facts: any JSON values."""
    buffer = io.BytesIO()
    facts_bytes = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    np.savez(buffer, facts=facts_bytes, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())


def as_bytes(values: NDArray[np.uint64]) -> bytes:
    """Return an array as the content of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def facts_of(file: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the facts that `save` wrote."""
    facts: dict[str, Any] = json.loads(file["facts"].tobytes())
    return facts


@lru_cache(maxsize=1)
def hasher() -> WordHasher:
    """Return this process's hasher."""
    return WordHasher()


@lru_cache(maxsize=1)
def _sought(work: Path, plan: str) -> Mapping[int, GramSet]:
    """Return the runs that this process looks for, by the hash of the plan."""
    paths = sorted(work.glob("sought-*.npy"))
    return {int(path.stem.partition("-")[2]): GramSet(np.load(path, mmap_mode="r")) for path in paths}


def _values_path(work: Path, n: int) -> Path:
    return work / f"sought-{n:02d}.npy"


def _search_chunk(path: Path, chunk: Chunk, size: int) -> int:
    """Write which runs occur in a chunk, each with its first document there."""
    wanted = _sought(path.parent, read_json(path.parent / _PLAN, StoreError))
    names, words, bounds = joined(chunk)
    arrays: dict[str, NDArray[Any]] = {}
    firsts: set[int] = set()
    for n, values in wanted.items():
        positions, places = values.matches(grams(words, n=n))
        found, first = np.unique(places, return_index=True)
        owners = np.searchsorted(bounds, positions[first], side="right") - 1
        arrays |= {f"places-{n}": found, f"documents-{n}": owners}
        firsts |= set(owners.tolist())
    sources = {str(number): names[number] for number in sorted(firsts)}
    save(path, arrays, {"documents": len(names), "words": len(words) - len(names), "sources": sources})
    return size


def joined(chunk: Chunk) -> tuple[list[str], NDArray[np.uint64], NDArray[np.int64]]:
    """Return the sources of a chunk's D documents, their hashed words, and where each begins in these, (D + 1,).

    After each document stands a hash that is no word's, so that no run of words goes from one to the next.
    """
    names: list[str] = []
    words: list[NDArray[np.uint64]] = []
    for source, text in chunk.documents():
        names.append(source)
        words.append(np.append(hasher()(text), BETWEEN))
    bounds = np.cumsum([0, *map(len, words)])
    return names, np.concatenate([*words, np.zeros(0, dtype=np.uint64)]), bounds


def _gather(paths: Sequence[Path], values: Mapping[int, NDArray[np.uint64]]) -> Sightings:
    first = {n: np.full(len(hashes), -1, dtype=np.int64) for n, hashes in values.items()}
    sources: dict[int, str] = {}
    documents = words = 0
    for path in paths:
        with np.load(path) as file:
            facts = facts_of(file)
            for n, numbers in first.items():
                places, owners = file[f"places-{n}"], file[f"documents-{n}"]
                new = numbers[places] < 0
                numbers[places[new]] = documents + owners[new]
                sources |= {documents + o: facts["sources"][str(o)] for o in np.unique(owners[new]).tolist()}
        documents += facts["documents"]
        words += facts["words"]
    return Sightings(
        values=values, first=first, sources=sources, documents=documents, words=words, bound=words * 2.0**-64
    )
