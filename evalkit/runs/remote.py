"""Run folders at a URL, on a shared file system or an object store (fsspec): s3://BUCKET/RUN, gs://..., file:///DISK/RUN.

Nothing can be appended to an object, so a run is written in a folder of this machine, and what is new of it goes to the
URL in numbered parts that never change:

    manifest.json            what was asked
    records-00001.jsonl ...  the lines of records.jsonl, part by part
    results.json, scores.npz the aggregates of a finished run, and the numbers of its records
    writer.json              who writes the run now

A part is complete or absent: in a file system it is written under another name, and renamed. A command that is started
again, on any machine, gets the parts and goes on. One command at a time may write a run: each says every few seconds in
writer.json that it is alive, and another takes its place only where that has stopped. That is as good as the store
allows; it is not a lock.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import re
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import StoreError, UsageError
from evalkit.extras import require
from evalkit.files import hash_files
from evalkit.runs.journal import JOURNAL, SCORES

log = logging.getLogger(__name__)

# Seconds between two signs of life, and the least between two parts.
_SIGN = 10.0
# A part goes out after this share of the time since the start, so that the number of parts stays small.
_SHARE = 0.02
# Seconds without a sign of life after which a writer counts as dead.
_SILENCE = 60.0
_WRITER = "writer.json"
# Object stores have no folders, and an object is there as a whole or not at all.
_OBJECTS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci")
_PART = re.compile(r"records-([0-9]{5,})\.jsonl")


@dataclass(frozen=True)
class Url:
    """A folder that fsspec reaches."""

    text: str

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self.text.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """The last part."""
        return self.text.rstrip("/").rpartition("/")[2]


def place(text: str | Path) -> Path | Url:
    """Return a path, or the URL that a text is."""
    return Url(text) if isinstance(text, str) and "://" in text else Path(text)


class RemoteFolder:
    """A run at a URL, with its copy on this machine (`folder`), in which it is written. Use as a context manager.

    Raises UsageError for a URL that cannot be reached with what is installed, StoreError for one that cannot be written
    or is written by another command.
    """

    def __init__(self, url: Url):
        self.url, self.folder = url, _copy(url)
        self._files = _Files(url)
        self._id = uuid.uuid4().hex
        self._sign = 0
        self._records = self.folder / JOURNAL
        self._got = ""  # the hash of the records as they came
        self._sent = 0  # bytes of the records that are at the URL
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._lost: StoreError | None = None

    def __enter__(self) -> RemoteFolder:
        self._claim()
        try:
            _download(self._files, self.folder, results=False)
            self._got = self._hash()
        except BaseException:
            with contextlib.suppress(StoreError):
                self._files.remove(_WRITER)
            raise
        return self

    def follow(self) -> None:
        """Send from now on what is written. Call it when the run is open: damaged lines have then been taken out."""
        self._files.write("manifest.json", (self.folder / "manifest.json").read_bytes())
        if self._hash() == self._got:
            self._sent = self._records.stat().st_size if self._records.exists() else 0
        else:  # what is intact goes up before what is damaged goes
            damaged = self._files.parts()
            self._send_new()
            for name in damaged:
                self._files.remove(name)
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            if self._lost:
                raise self._lost
            if self._thread.ident:
                self._send_new()
                for name in ("results.json", SCORES, "manifest.json") if kind is None else ():
                    if (self.folder / name).exists():
                        self._files.write(name, (self.folder / name).read_bytes())
            self._files.remove(_WRITER)
        except StoreError as failure:
            _COPIES.discard(self.folder)
            raise StoreError(f"{failure}; the run is kept in {self.folder}") from error
        if isinstance(error, StoreError) and str(self.folder) in str(error):
            raise type(error)(str(error).replace(str(self.folder), str(self.url))) from error

    def _hash(self) -> str:
        return hash_files(self._records) if self._records.exists() else ""

    def _claim(self) -> None:
        """Become the writer. Raises StoreError where another one is alive."""
        if (other := self._files.find(_WRITER)) is not None and not _gone(other):
            log.warning("%s is being written, or was until its command died; waiting for a sign of life", self.url)
            silent_since = time.monotonic()
            while time.monotonic() - silent_since < _SILENCE:
                time.sleep(min(1.0, _SILENCE / 10))
                if (now := self._files.find(_WRITER)) != other:
                    if now is None:
                        break
                    raise StoreError(f"another command is writing to {self.url}; wait for it, or choose another --out")
        self._renew(new=other is None)

    def _renew(self, *, new: bool = False) -> None:
        self._sign += 1
        about = {"id": self._id, "machine": _machine(), "process": os.getpid(), "sign": self._sign}
        try:
            self._files.write(_WRITER, json.dumps(about).encode(), new=new)
        except FileExistsError:
            raise StoreError(f"another command has just begun to write to {self.url}; choose another --out") from None

    def _follow(self) -> None:
        """Give signs of life, and send what is new from time to time."""
        began = sent = time.monotonic()
        while not self._ended.wait(_SIGN):
            try:
                writer = _parsed(self._files.find(_WRITER))
                if writer.get("id") != self._id:
                    self._lost = StoreError(f"another command has taken over {self.url}; this one ends")
                    return
                self._renew()
                now = time.monotonic()
                if now - sent >= _SHARE * (now - began):
                    self._send_new()
                    sent = now
            except StoreError as error:
                log.warning("%s; trying again", error)

    def _send_new(self) -> None:
        """Send the whole lines that are not at the URL yet, as one part."""
        if self._records.exists():
            with self._records.open("rb") as file:
                file.seek(self._sent)
                lines = file.read()
            lines = lines[: lines.rfind(b"\n") + 1]
            self._send(lines)
            self._sent += len(lines)

    def _send(self, lines: bytes) -> None:
        if lines:
            last = max((int(_number(name)) for name in self._files.parts()), default=0)
            self._files.write(f"records-{last + 1:05}.jsonl", lines)


def fetch(at: Path | Url) -> Path:
    """Return a folder with the run at a URL, or with the runs in its folders; a path is returned as it is.

    Raises UsageError as RemoteFolder does, StoreError where there is no run.
    """
    if isinstance(at, Path):
        return at
    top, files = _copy(at), _Files(at)
    manifests = files.manifests()
    if not manifests:
        raise StoreError(f"{at} holds no run (no manifest.json)")
    for name in manifests:
        folder = top / name if name else top
        folder.mkdir(parents=True, exist_ok=True)
        _download(_Files(at / name if name else at), folder, results=True)
    return top


def _download(files: _Files, folder: Path, *, results: bool) -> None:
    for name in ("manifest.json", SCORES, *(["results.json"] if results else [])):
        if (content := files.find(name)) is not None:
            (folder / name).write_bytes(content)
    if parts := files.parts():
        with (folder / JOURNAL).open("wb") as file:
            for name in parts:
                file.write(files.read(name))


class _Files:
    """The files of a folder at a URL. Every method raises StoreError for what the store refuses."""

    def __init__(self, url: Url):
        self._url = url
        fsspec = require("fsspec", "run folders at URLs")
        try:
            self._system, self._root = fsspec.core.url_to_fs(url.text, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            needed = f": pip install 'evalkit[s3]' ({error})" if "s3fs" in str(error) else f": {error}"
            raise UsageError(f"{url}{needed}") from None
        self._root = self._root.rstrip("/")

    def parts(self) -> list[str]:
        """Return the names of the parts, in order."""
        with self._told("read"):
            if not self._system.isdir(self._root):
                return []
            names = [path.rstrip("/").rpartition("/")[2] for path in self._system.ls(self._root, detail=False)]
        return sorted((name for name in names if _PART.fullmatch(name)), key=_number)

    def manifests(self) -> list[str]:
        """Return the folders below that hold a run; an empty name stands for this one.

        Raises StoreError for the name of an object that leads elsewhere, for copies are made under these names.
        """
        with self._told("read"):
            found = self._system.find(self._root)
        root = self._system._strip_protocol(self._root)
        inside = [path[len(root) :].strip("/") for path in found]
        if elsewhere := next((name for name in inside if ".." in name.split("/")), None):
            raise StoreError(f"{self._url} holds {elsewhere!r:.60}, which leads out of it")
        return sorted(name.rpartition("/")[0] for name in inside if name.rpartition("/")[2] == "manifest.json")

    def find(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is none."""
        with self._told("read"):
            try:
                return bytes(self._system.cat_file(f"{self._root}/{name}"))
            except FileNotFoundError:
                return None

    def read(self, name: str) -> bytes:
        """Return the content of a file that is there."""
        with self._told("read"):
            return bytes(self._system.cat_file(f"{self._root}/{name}"))

    def write(self, name: str, content: bytes, *, new: bool = False) -> None:
        """Write a whole file. new: raise FileExistsError if there is one."""
        with self._told("write"):
            path, objects = f"{self._root}/{name}", self._url.text.partition("://")[0] in _OBJECTS
            if not objects:
                self._system.makedirs(self._root, exist_ok=True)
            if new:
                self._system.pipe_file(path, content, mode="create")
            elif objects:
                self._system.pipe_file(path, content)
            else:
                self._system.pipe_file(f"{path}.new", content)
                self._system.mv(f"{path}.new", path)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._told("write"), contextlib.suppress(FileNotFoundError):
            self._system.rm_file(f"{self._root}/{name}")

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except Exception as error:  # every store has its own errors
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise StoreError(f"cannot {what} {self._url}: {reason}") from error


def _number(part: str) -> int:
    match = _PART.fullmatch(part)
    assert match
    return int(match[1])


def _parsed(content: bytes | None) -> Mapping[str, Any]:
    """Return what a writer says of itself; nothing where it is unreadable."""
    with contextlib.suppress(ValueError, TypeError):
        about = json.loads(content or b"")
        return about if isinstance(about, dict) else {}
    return {}


def _gone(content: bytes) -> bool:
    """Whether a writer was a process of this machine that has ended."""
    about = _parsed(content)
    process = about.get("process")
    if about.get("machine") != _machine() or not isinstance(process, int):
        return False
    return not Path(f"/proc/{process}").exists()


def _machine() -> str:
    """Name this machine, and its table of processes; unique where it cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()} {uuid.uuid4()}"


# The copies of runs on this machine; they go when the process ends.
_COPIES: set[Path] = set()


def _copy(url: Url) -> Path:
    """Make an empty folder for a run."""
    folder = Path(tempfile.mkdtemp(prefix="evalkit-")) / (url.name if url.name.strip(".") else "run")
    folder.mkdir()
    if not _COPIES:
        atexit.register(_forget)
    _COPIES.add(folder)
    return folder


def _forget() -> None:
    for folder in _COPIES:
        shutil.rmtree(folder.parent, ignore_errors=True)
