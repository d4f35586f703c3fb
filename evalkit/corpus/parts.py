"""Parts: a few megabytes of cleaned documents each, in parquet files that are kept until the corpus is finished."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.corpus.contamination import Hits
from evalkit.corpus.duplicates import PERMUTATIONS
from evalkit.files import write_atomic

_COUNTS = b"evalkit"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A document that passed the filters.

    source: the file or dataset it comes from. key: (2,) uint64, 128 bits of its text's hash. signature: of MinHash, or
    None if it has too few words. hits: collisions with evaluation text.
    """

    text: str
    source: str
    key: NDArray[np.uint64]
    signature: NDArray[np.uint32] | None
    hits: Hits


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the decisions on all documents need from a part. has_signature: which documents have a signature.

    lengths: of the documents, in characters.
    """

    lengths: NDArray[np.int64]
    keys: NDArray[np.uint64]
    has_signature: NDArray[np.bool_]
    signatures: NDArray[np.uint32]
    hits: Sequence[Hits]


def write(path: Path, entries: Sequence[Entry], counts: Any) -> None:
    """Write a part; counts: what was read and left out, any JSON value."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table(
        {
            "text": pa.array([entry.text for entry in entries], pa.large_string()),
            "length": pa.array([len(entry.text) for entry in entries], pa.int64()),
            "source": pa.array([entry.source for entry in entries], pa.string()),
            "key": pa.array([entry.key.tobytes() for entry in entries], pa.binary(16)),
            "signature": pa.array(
                [None if entry.signature is None else entry.signature.tobytes() for entry in entries],
                pa.binary(4 * PERMUTATIONS),
            ),
            "hits": pa.array([entry.hits.tobytes() for entry in entries], pa.binary()),
        }
    ).replace_schema_metadata({_COUNTS: json.dumps(counts)})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd", compression_level=1, use_dictionary=["source"])
    write_atomic(path, buffer.getvalue())


def counts(path: Path) -> Any:
    """Return the counts of a part."""
    from pyarrow import parquet

    return json.loads(parquet.read_schema(path).metadata[_COUNTS])


def facts(path: Path) -> Facts:
    """Read everything in a part except its texts."""
    from pyarrow import parquet

    table = parquet.read_table(path, columns=["length", "key", "signature", "hits"])
    signatures = table["signature"].to_pylist()
    present = [row for row in signatures if row is not None]
    return Facts(
        lengths=table["length"].to_numpy(),
        keys=np.frombuffer(b"".join(table["key"].to_pylist()), dtype=np.uint64).reshape(-1, 2),
        has_signature=np.array([row is not None for row in signatures], dtype=bool),
        signatures=np.frombuffer(b"".join(present), dtype=np.uint32).reshape(-1, PERMUTATIONS),
        hits=[_hits(row) for row in table["hits"].to_pylist()],
    )


def documents(path: Path) -> Iterator[tuple[str, str, NDArray[np.uint64], Hits]]:
    """Yield (text, source, key, hits) of each document of a part."""
    from pyarrow import parquet

    table = parquet.read_table(path, columns=["text", "source", "key", "hits"])
    for row in range(table.num_rows):
        text, source, key, hits = (column[row].as_py() for column in table.columns)
        yield text, source, np.frombuffer(key, dtype=np.uint64), _hits(hits)


def _hits(raw: bytes) -> Hits:
    return np.frombuffer(raw, dtype=np.uint64).reshape(-1, 4)
