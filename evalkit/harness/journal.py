"""records.jsonl as a journal: lines are only appended, and each carries its own length and checksum.

A line is a JSON object whose last field, "check", is "LENGTH-CRC32": of the object without that field, in bytes of
UTF-8. Any reader of JSON lines reads it; ours refuses a line that does not match. Lines without the field, of older
runs, are read as they are.

A batch of lines is one write, so a killed process leaves at most one torn line, at the end. The file is synced with
the disk at the end and about every SYNC seconds, which is what a power cut can cost; on a slow disk less often, so that
no more than a fiftieth of the time is spent waiting.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from evalkit.errors import StoreError, cannot
from evalkit.files import write_atomic

log = logging.getLogger(__name__)
T = TypeVar("T")

SYNC = 10.0
_FIELD = b',"check":"'


def seal(text: str) -> bytes:
    """Return the line of a JSON object: with its length and checksum, and a line break."""
    body = text.encode("utf-8", "backslashreplace")  # half a surrogate pair is written as JSON can
    return b'%s%s%d-%08x"}\n' % (body[:-1], _FIELD, len(body), zlib.crc32(body))


def unseal(line: bytes) -> dict[str, Any]:
    """Return the object of a line. Raises ValueError for one that is torn, damaged or no object."""
    place = line.rfind(_FIELD)
    body = line
    if place > 0 and (check := line[place + len(_FIELD) :].rstrip()).endswith(b'"}') and b"{" not in check:
        body = line[:place] + b"}"
        if check != b'%d-%08x"}' % (len(body), zlib.crc32(body)):
            raise ValueError("its checksum does not match")
    try:
        raw = json.loads(body)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    if "check" in raw:  # written again by another program, which may have changed anything
        raise ValueError("its checksum does not stand at its end")
    return raw


class Journal:
    """Appends to a file of lines; use as a context manager. Only one process at a time may hold it.

    Raises StoreError when another process holds it or it cannot be opened.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file: IO[bytes] | None = None
        self._lock: int | None = None
        self._size, self._next_sync = 0, time.monotonic() + SYNC

    def __enter__(self) -> Journal:
        self._lock = _lock(self.path.parent)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file:
            with contextlib.suppress(OSError):
                self.sync()
            self._file.close()
        if self._lock is not None:
            os.close(self._lock)
        self._file = self._lock = None

    def recover(self, parse: Callable[[dict[str, Any]], T]) -> Iterator[T]:
        """Yield what `parse` makes of each line that an earlier start left.

        A torn last line, as a killed process leaves it, is cut off. A damaged line is taken out with a warning. Both
        are to be computed again. Call it before the first `append`.
        """
        lost: dict[int, str] = {}
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    if not line.endswith(b"\n"):
                        raise ValueError("torn")
                    yield parse(unseal(line))
                except (KeyError, TypeError, ValueError) as error:
                    lost[number] = "" if not line.endswith(b"\n") else str(error) or repr(error)
            if lost:
                file.seek(0)
                kept = b"".join(line for number, line in enumerate(file, start=1) if number not in lost)
        if lost:
            write_atomic(self.path, kept)
        for number, reason in lost.items():
            if reason:
                log.warning("%s line %d is damaged (%s); it is computed again", self.path, number, reason)

    def append(self, lines: Iterable[bytes]) -> None:
        """Write lines as one batch. Raises DiskError, and leaves nothing of the batch, when the disk is full."""
        data = memoryview(b"".join(lines))
        try:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
                self._size = self.path.stat().st_size
            written = 0
            while written < len(data):
                written += self._file.write(data[written:]) or 0
            self._size += written
            if time.monotonic() > self._next_sync:
                self.sync()
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self.path, self._size)
            raise cannot("write", self.path, error, note="; finished items are kept") from error

    def sync(self) -> None:
        """Wait until all lines are on the disk."""
        if self._file:
            began = time.monotonic()
            os.fsync(self._file.fileno())
            now = time.monotonic()
            self._next_sync = now + max(SYNC, 50 * (now - began))


def _lock(folder: Path) -> int | None:
    """Hold a folder until the number returned is closed, or the process ends; None where that is not offered."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StoreError(f"another process is writing to {folder}; wait for it, or choose another --out") from None
    except OSError:  # a file system without locks
        os.close(handle)
        return None
    return handle
