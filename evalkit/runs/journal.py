"""records.jsonl as a journal: lines are only appended, and each carries its own length and checksum.

A line is a JSON object whose last field, "check", is "LENGTH-CRC32-RUN". LENGTH and CRC32 are those of the object
without that field, in UTF-8; RUN is a digest of the run's settings and enters the CRC32 first. Any reader of JSON lines
can read the file; ours refuses a line that does not match or belongs to another run. Lines of older runs have no RUN,
or no check at all, and are read as they are; but in a file whose lines name their run, a line that does not is refused.

A batch of lines is one write, so a killed process leaves at most one torn line, at the end. The file is synced to disk
at the end and about every SYNC seconds, which is all that a power cut can cost; on a slow disk less often, so that no
more than a fiftieth of the time is spent waiting.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
import zlib
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from evalkit.errors import StoreError, cannot
from evalkit.files import canonical_json, check_regular, replacing

# Files of a run folder: its records, and their numbers in columns (scores_file.py); and all that it has.
JOURNAL, SCORES = "records.jsonl", "scores.npz"
RUN_FILES = ("manifest.json", JOURNAL, "results.json", SCORES)

log = logging.getLogger(__name__)

SYNC = 10.0
_FIELD = b',"check":"'
_CHECK = re.compile(rb'([0-9]+)-([0-9a-f]{8})(?:-([0-9a-f]+))?"}')


def seal(text: str, run: str = "") -> bytes:
    """Return the line of a JSON object: with its length, checksum the run it belongs to, and a line break."""
    body = text.encode("utf-8", "backslashreplace")  # half of a surrogate pair becomes a JSON escape
    return b'%s%s%s"}\n' % (body[:-1], _FIELD, _check(body, run.encode()))


def _check(body: bytes, run: bytes) -> bytes:
    return b"%d-%08x%s%s" % (len(body), zlib.crc32(body, zlib.crc32(run)), b"-" * bool(run), run)


def _sealed(line: bytes) -> tuple[bytes, bytes] | None:
    """Return the object and the check of a line, unparsed; None for a line that does not end in a check."""
    place = line.rfind(_FIELD)
    if place > 0 and (check := line[place + len(_FIELD) :].rstrip()).endswith(b'"}') and b"{" not in check:
        return line[:place] + b"}", check
    return None


def names_run(line: bytes) -> bool:
    """Whether a line says which run it belongs to."""
    sealed = _sealed(line)
    check = sealed and _CHECK.fullmatch(sealed[1])
    return bool(check and check[3])


def unseal(line: bytes, run: str = "") -> dict[str, Any]:
    """Return the object of a line. run: the one that it must belong to, if it names one; "" for any.

    Raises ValueError for a line that is torn, damaged, of another run, or no object.
    """
    return _unsealed(line, run)[0]


def _unsealed(line: bytes, run: str) -> tuple[dict[str, Any], bool]:
    """Return what `unseal` does, and whether the line names its run."""
    body, named = line, False
    if sealed := _sealed(line):
        body, check = sealed
        named = bool(run) and check == _check(body, run.encode()) + b'"}'
        if not named:
            match = _CHECK.fullmatch(check)
            if not match or check != _check(body, match[3] or b"") + b'"}':
                raise ValueError("its checksum does not match")
            named = bool(match[3])
            if run and named:
                raise ValueError("it belongs to a run with other settings")
    try:
        raw = json.loads(body)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    if "check" in raw:  # rewritten by another program, which may have changed anything
        raise ValueError("its checksum is not at its end")
    return raw, named


def open_lines(path: Path) -> IO[bytes]:
    """Open a file of lines for reading. Raises StoreError when it cannot be read or is a pipe, a device or a folder."""
    check_regular(path, StoreError)
    try:
        return path.open("rb")
    except OSError as error:
        raise cannot("read", path, error) from error


def read_lines(
    file: IO[bytes], run: str, *, start: int = 0
) -> Iterator[tuple[bytes, dict[str, Any] | ValueError, bool]]:
    """Yield each line of a journal from the byte `start` on, its object or what is wrong with it, and whether it names
    its run, which is False where something is wrong.
    """
    bound = any(map(names_run, file))
    file.seek(start)
    for line in file:
        try:
            if not line.endswith(b"\n"):
                raise ValueError("it is torn")
            raw, named = _unsealed(line, run)
            if bound and not named:
                raise ValueError("it does not say that it belongs to this run, as others do")
        except ValueError as error:
            yield line, error, False
        else:
            yield line, raw, named


class Journal:
    """Appends to a file of lines; use as a context manager. Only one process at a time may hold it.

    run: a digest of the settings of the run whose lines it holds.

    Raises StoreError when another process holds it or it cannot be opened.
    """

    def __init__(self, path: Path, *, run: str = ""):
        self.path, self.run = path, run
        self._file: IO[bytes] | None = None
        self._lock: int | None = None
        self._size, self._next_sync = 0, time.monotonic() + SYNC

    def __enter__(self) -> Journal:
        self._lock = lock(self.path.parent)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file:
            with contextlib.suppress(OSError):
                self.sync()
            self._file.close()
        if self._lock is not None:
            os.close(self._lock)
        self._file = self._lock = None

    @property
    def size(self) -> int:
        """The bytes of the file."""
        return self._size if self._file else self.path.stat().st_size if self.path.exists() else 0

    def recover(self, add: Callable[[dict[str, Any], int], None], *, start: int = 0, lines: int = 0) -> None:
        """Call `add` with the object of each line that an earlier start left, and the byte at which it starts.

        A torn last line, as a killed process leaves it, is cut off. A line that is damaged, of another run, or refused
        by `add` is taken out with a warning. All of these are computed again. Lines of older runs become this run's.
        Call it before the first `append`.

        start, lines: the bytes and lines at the beginning that are known to be intact, and are skipped.

        Raises StoreError for a file that holds something else, and where lines cannot be taken out.
        """
        if not self.path.exists():
            return
        lost: set[int] = set()
        older = False
        place, kept = start, lines
        with open_lines(self.path) as file:
            for number, (line, raw, named) in enumerate(read_lines(file, self.run, start=start), start=lines + 1):
                try:
                    if isinstance(raw, ValueError):
                        raise raw
                    add(raw, place)
                    older = older or not named
                    place += len(line if named else self._own(line))
                    kept = number
                except (KeyError, TypeError, ValueError) as error:
                    lost.add(number)
                    if line.endswith(b"\n"):
                        reason = str(error) or repr(error)
                        log.warning("%s line %d is left out (%s); it is computed again", self.path, number, reason)
            file.seek(0)
            if lost and not kept and file.read(1) != b"{":
                raise StoreError(
                    f"{self.path} holds no records (is it compressed?); move it away to compute them again"
                )
            if (older and self.run) or (lost and min(lost) < kept):
                self._rewrite(file, lost)
            elif lost:  # at the end: no copy of a large file, for which a full disk may have no room
                self._cut(place)

    def _cut(self, size: int) -> None:
        try:
            os.truncate(self.path, size)
        except OSError as error:
            raise cannot("write", self.path, error) from error

    def _rewrite(self, file: IO[bytes], lost: Container[int]) -> None:
        """Write the file without some lines, given by their numbers, and the others as this run's."""
        file.seek(0)
        with replacing(self.path) as new:
            for number, line in enumerate(file, start=1):
                if number not in lost:
                    new.write(self._own(line))

    def _own(self, line: bytes) -> bytes:
        return line if names_run(line) or not self.run else seal(canonical_json(unseal(line)), self.run)

    def append(self, lines: Iterable[bytes]) -> None:
        """Write lines as one batch. When the disk is full, raises DiskError and leaves nothing of the batch behind."""
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


def lock(folder: Path) -> int | None:
    """Lock a folder until the returned descriptor is closed or the process ends; None where locks are not supported.

    Raises StoreError when another process holds it, and where it cannot be opened.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise cannot("read", folder, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StoreError(f"another process is writing to {folder}; wait for it, or choose another --out") from None
    except OSError:  # a file system without locks
        os.close(handle)
        return None
    return handle
