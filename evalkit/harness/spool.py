"""The documents of a large benchmark in a temporary file, of which memory holds only the places.

The file is this process's own and no other can open it, so what is read from it is what was written. A worker, which
may be on another machine, gets a copy.
"""

from __future__ import annotations

import contextlib
import pickle
import tempfile
import threading
import weakref
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import cannot
from evalkit.harness.prompts import packed, unpacked
from evalkit.types import Document, Example

Pair = tuple[Document, Example]

# Documents that are held in memory; more go to a file.
HELD = 10_000

# What values of a row that cannot be pickled raise.
_NOT_PICKLED = (pickle.PicklingError, TypeError, AttributeError, RecursionError)


class _File:
    """Documents by their places. It has no name, so nothing is left of it when the process ends, killed or not.

    Raises DiskError where it cannot be made.
    """

    def __init__(self) -> None:
        with _on_disk():
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the last documents)
        self._lock = threading.Lock()
        self._end = 0
        weakref.finalize(self, _close, self._file)

    def write(self, pair: Pair) -> int:
        """Add a document; return its place. Raises DiskError where the disk is full, and what pickling raises."""
        [row] = packed([pair])
        content, place = pickle.dumps(row, pickle.HIGHEST_PROTOCOL), self._end
        with _on_disk():
            self._file.write(content)
        self._end += len(content)
        return place

    def read(self, place: int) -> Pair:
        """Read the document at a place."""
        with self._lock:
            self._file.seek(place)
            row = pickle.load(self._file)
        [pair] = unpacked([row])
        return pair

    def finish(self) -> None:
        """Write what is still in memory. Raises DiskError where the disk is full."""
        with _on_disk():
            self._file.flush()

    def __getstate__(self) -> bytes:
        with self._lock:
            self._file.seek(0)
            return self._file.read()

    def __setstate__(self, content: bytes) -> None:
        self.__init__()  # type: ignore[misc]
        with _on_disk():
            self._file.write(content)
        self.finish()


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # what could not be written is not needed any more
        file.close()


@contextlib.contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot("write", Path("a temporary file (TMPDIR chooses its folder)"), error) from error


class Spooled(Sequence[Pair]):
    """Documents in a file; one is read whenever it is asked for. places: of each, in their order, (n,)."""

    def __init__(self, file: _File, places: NDArray[np.int64]):
        self._file, self._places = file, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, which: int) -> Pair: ...
    @overload
    def __getitem__(self, which: slice) -> Spooled: ...
    def __getitem__(self, which: int | slice) -> Pair | Spooled:
        if isinstance(which, slice):
            return Spooled(self._file, self._places[which])
        return self._file.read(int(self._places[which]))

    def __iter__(self) -> Iterator[Pair]:
        return map(self._file.read, map(int, self._places))


class Gathered:
    """Documents as they are read: in memory, or in a file where they are many and can be pickled."""

    def __init__(self) -> None:
        self._pairs: list[Pair] = []
        self._file: _File | None = None
        self._places = array("q")
        self._most: float = HELD

    def add(self, pair: Pair) -> None:
        """Add a document. Raises DiskError where the disk is full."""
        if self._file is None:
            self._pairs.append(pair)
            if len(self._pairs) > self._most:
                self._spool()
            return
        try:
            self._places.append(self._file.write(pair))
        except _NOT_PICKLED:
            self._hold([*map(self._file.read, self._places), pair])

    def ordered(self, order: NDArray[Any]) -> Sequence[Pair]:
        """Return the documents in this order, given by the places at which they came."""
        if self._file is None:
            return [self._pairs[place] for place in order.tolist()]
        self._file.finish()
        return Spooled(self._file, np.array(self._places, dtype=np.int64)[order])

    def _spool(self) -> None:
        self._file = _File()
        try:
            self._places.extend(map(self._file.write, self._pairs))
        except _NOT_PICKLED:
            self._hold(self._pairs)
        else:
            self._pairs = []

    def _hold(self, pairs: list[Pair]) -> None:
        self._pairs, self._file, self._most = pairs, None, float("inf")
