"""Responses kept across runs, in a SQLite file that several processes may share.

The cache is a convenience: a problem with it costs one warning, never a run or a number. Every row carries a checksum,
and a damaged file is set aside and a new one begun. A row also carries a digest keyed with the user's secret
(responses-UID.key, which nobody else may read), so rows that another user of a shared folder wrote are ignored.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import stat
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import reduce
from hashlib import blake2b
from operator import or_
from pathlib import Path
from typing import TypeVar

from evalkit.errors import UsageError
from evalkit.files import cache_folder, make_private, network_disk
from evalkit.types import Response

log = logging.getLogger(__name__)
T = TypeVar("T")

# Raised whenever what is stored, or how a key is made, changes.
FORMAT = 2
# A row's value: checksum of the key and the rest, keyed digest, log-likelihood, tokens, is_greedy; then the text.
_HEAD = struct.Struct("<I16sdI?")
_DIGEST, _SECRET = 16, 32  # bytes
_ME = os.getuid() if hasattr(os, "getuid") else None
# Keys in one query: SQLite allows at least some hundreds of variables.
_AT_ONCE = 500
# Seconds to wait for another process that is writing.
_PATIENCE = 10.0
# A row's last use is stored to the hour, so that reading it again soon writes nothing.
_HOUR = 3600
# How SQLite describes a damaged file in errors that it also raises for locks and full disks.
_DAMAGE = ("no such table", "no such column", "could not decode", "malformed")


class ResponseCache:
    """Responses by 16-byte keys; the least recently used are removed when they take more than `limit` bytes.

    A corrupt file is renamed and a new one begun. A folder that cannot be read or written, or a full disk, switches the
    cache off.
    """

    def __init__(self, folder: Path, *, limit: int = 1 << 30, now: Callable[[], float] = time.time):
        self.path = folder / "responses.sqlite"
        self._limit, self._now = limit, now
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._secret = b""
        self._foreign: set[bytes] = set()  # keys of rows that are not this user's
        self._guarded(self._open)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Response]:
        """Return the responses that are stored under these keys."""
        key_list = list(keys)
        responses = self._guarded(lambda: self._read(self._db, key_list)) if self._db else None
        return responses or {}

    def put(self, responses: Mapping[bytes, Response]) -> None:
        """Add responses, all or none; rows that this user has already stored stay as they are."""
        if self._db and responses:
            self._guarded(lambda: self._write(self._db, responses))

    def close(self) -> None:
        """Close the file."""
        if self._db:
            with suppress(sqlite3.Error):
                self._db.close()
        self._db = None

    def _guarded(self, work: Callable[[], T]) -> T | None:
        """Work on the file; after an error set a corrupt file aside and begin a new one, or do without a cache."""
        try:
            return work()
        except (_CorruptError, sqlite3.Error, OSError) as error:
            self.close()
            if not _is_corrupt(error):
                log.warning("continuing without the cache %s: %s", self.path, error)
                return None
            reason = str(error)
        try:
            aside = self._set_aside()
            log.warning("the cache %s is corrupt (%s); it is set aside as %s", self.path, reason, aside.name)
            self._open()
        except (sqlite3.Error, OSError) as error:
            self.close()
            log.warning("continuing without the cache %s: %s", self.path, error)
        return None

    def _open(self) -> None:
        make_private(self.path.parent)
        self._secret = _secret(self.path.parent)
        self._db = db = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
        self._inode = self.path.stat().st_ino
        # Never waits for the disk: a killed process harms nothing, and damage by a power cut is detected and set aside.
        db.execute("PRAGMA synchronous = OFF")
        if _format(db) == FORMAT:
            return
        _become_shared(db)
        with _transaction(db):
            if _format(db) != FORMAT:  # another process may have been faster
                db.execute("DROP TABLE IF EXISTS responses")
                db.execute("CREATE TABLE responses (key BLOB PRIMARY KEY, value BLOB, used INTEGER) WITHOUT ROWID")
                db.execute(f"PRAGMA user_version = {FORMAT}")

    def _read(self, db: sqlite3.Connection | None, keys: Sequence[bytes]) -> dict[bytes, Response]:
        assert db
        responses: dict[bytes, Response] = {}
        outdated: list[bytes] = []
        hour = int(self._now()) // _HOUR
        for start in range(0, len(keys), _AT_ONCE):
            chunk = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(chunk))
            for key, value, used in db.execute(f"SELECT * FROM responses WHERE key IN ({marks})", chunk):
                response = _unpack(self._secret, key, value)
                if response is None:
                    self._foreign.add(key)
                    continue
                responses[key] = response
                if used != hour:
                    outdated.append(key)
        if outdated:
            with _transaction(db):
                db.executemany("UPDATE responses SET used = ? WHERE key = ?", [(hour, key) for key in outdated])
        return responses

    def _write(self, db: sqlite3.Connection | None, responses: Mapping[bytes, Response]) -> None:
        assert db
        hour = int(self._now()) // _HOUR
        rows = [(key, _pack(self._secret, key, responses[key]), hour) for key in sorted(responses)]
        foreign = [(key,) for key in self._foreign & responses.keys()]
        with _transaction(db):
            db.executemany("DELETE FROM responses WHERE key = ?", foreign)
            db.executemany("INSERT OR IGNORE INTO responses VALUES (?, ?, ?)", rows)
        size = _size(db)
        if size > self._limit:
            _shrink(db, share=1 - 0.9 * self._limit / size)

    def _set_aside(self) -> Path:
        """Rename the file, unless another process has done so, and remove the files that SQLite keeps beside it."""
        aside = self.path.with_name(f"{self.path.name}.corrupt-{self._now():.0f}")
        if self.path.exists() and self.path.stat().st_ino in (self._inode, 0):
            for end in ("-wal", "-shm"):
                self.path.with_name(self.path.name + end).unlink(missing_ok=True)
            self.path.replace(aside)
        return aside


class _CorruptError(Exception):
    """A row that differs from what was written."""


def _is_corrupt(error: Exception) -> bool:
    if isinstance(error, sqlite3.OperationalError):  # locked, full, read-only, ... unless it says this
        return any(phrase in str(error).lower() for phrase in _DAMAGE)
    return isinstance(error, (_CorruptError, sqlite3.Error))


def _secret(folder: Path) -> bytes:
    """Return this user's secret, creating it when it is first needed.

    A secret that others could have read, or that is truncated, is replaced: rows written with it are then ignored.
    Raises OSError when its file belongs to someone else or cannot be created.
    """
    path = folder / f"responses-{_ME or 0}.key"
    for _ in range(3):
        secret, ours = _read_secret(path)
        if secret and not ours:
            raise PermissionError(f"{path} belongs to another user")
        if len(secret) == _SECRET:
            return secret
        (_replace_secret if ours else _create_secret)(path)
    raise OSError(f"{path} cannot be created")


def _read_secret(path: Path) -> tuple[bytes, bool]:
    """Return the content of a secret's file, empty if others may read it, and whether it is this user's."""
    flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))  # a pipe would block forever
    try:
        handle = os.open(path, reduce(or_, flags, os.O_RDONLY))
    except FileNotFoundError:
        return b"", False
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or (_ME is not None and status.st_uid != _ME):
            return b"another's", False
        return (b"" if _ME is not None and status.st_mode & 0o077 else file.read(_SECRET + 1)), True


def _create_secret(path: Path) -> None:
    """Write a new secret in one move, unless another process was faster."""
    scratch = _scratch_secret(path)
    try:
        os.link(scratch, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _replace_secret(path: Path) -> None:
    _scratch_secret(path).replace(path)


def _scratch_secret(path: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # creates it readable by its owner only
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(_SECRET))
    return Path(name)


def _pack(secret: bytes, key: bytes, response: Response) -> bytes:
    text = response.text.encode("utf-8", "surrogatepass")
    start = 4 + _DIGEST
    body = _HEAD.pack(0, b"", response.loglikelihood, response.tokens, response.is_greedy)[start:] + text
    signed = blake2b(key + body, digest_size=_DIGEST, key=secret).digest() + body
    return zlib.crc32(key + signed).to_bytes(4, "little") + signed


def _unpack(secret: bytes, key: object, value: object) -> Response | None:
    """Return the response of a row, or None if another secret signed it."""
    if not isinstance(key, bytes) or not isinstance(value, bytes) or len(value) < _HEAD.size:
        raise _CorruptError("a row has another format")
    check, signature, loglikelihood, tokens, is_greedy = _HEAD.unpack_from(value)
    if check != zlib.crc32(key + value[4:]):
        raise _CorruptError("a row's checksum does not match")
    expected = blake2b(key + value[4 + _DIGEST :], digest_size=_DIGEST, key=secret).digest()
    if not secrets.compare_digest(signature, expected):
        return None
    text = value[_HEAD.size :].decode("utf-8", "surrogatepass")
    return Response(loglikelihood=loglikelihood, is_greedy=is_greedy, tokens=tokens, text=text)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _format(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _become_shared(db: sqlite3.Connection) -> None:
    """Let readers and a writer work side by side. SQLite itself does not wait here for a process doing the same."""
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _size(db: sqlite3.Connection) -> int:
    """Return the bytes in use."""
    pages, free, each = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * each)


def _shrink(db: sqlite3.Connection, *, share: float) -> None:
    """Remove a share of the rows, the least recently used, and free their space."""
    with _transaction(db):
        rows = int(db.execute("SELECT count(*) FROM responses").fetchone()[0] * share) + 1
        db.execute("DELETE FROM responses WHERE key IN (SELECT key FROM responses ORDER BY used LIMIT ?)", (rows,))
    db.execute("PRAGMA incremental_vacuum").fetchall()


def response_cache() -> ResponseCache | None:
    """Open the cache of responses, in EVALKIT_CACHE or its usual place; None if that is "off"."""
    folder = cache_folder()
    if folder is not None and (disk := network_disk(folder)):
        log.warning(
            "continuing without the cache of responses: %s is on a network disk (%s), where its locks are not safe; "
            "set EVALKIT_CACHE to a folder of this machine's own disk", folder, disk,
        )  # fmt: skip
        return None
    return None if folder is None else ResponseCache(folder, limit=_bytes(os.environ.get("EVALKIT_CACHE_SIZE", "1G")))


def _bytes(text: str) -> int:
    """Parse 500M, 2G or a plain number of bytes."""
    power = "KMG".find(text[-1:].upper()) + 1 if text else 0
    try:
        return int(float(text[:-1] if power else text) * 1024**power)
    except (ValueError, OverflowError):
        raise UsageError(
            f"EVALKIT_CACHE_SIZE={text!r}: expected a size such as 500M, 2G or a number of bytes"
        ) from None
