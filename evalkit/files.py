"""Files: atomic writes, content hashes, and JSON that fails with one clear line."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from evalkit.errors import DataError, EvalkitError, StoreError, UsageError, cannot

# Kinds of file systems that several machines may mount, as Linux names them.
_NETWORK_DISKS = frozenset(
    ("afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.juicefs", "fuse.sshfs", "glusterfs", "gpfs", "lustre",
     "nfs", "nfs4", "orangefs", "panfs", "smb3", "smbfs", "wekafs")
)  # fmt: skip


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def canonical_json(value: Any) -> str:
    """Return the canonical JSON of a value: sorted keys, no spaces, so that equal values hash equally."""
    return _CANONICAL.encode(value)


def digest(text: str, *, length: int = 16) -> str:
    """Return the first `length` hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def digest_of_list(values: Iterable[Any]) -> str:
    """Return what `digest` gives for the canonical JSON of a list of these values, which are not held."""
    total = hashlib.sha256(b"[")
    for number, value in enumerate(values):
        total.update(b"," * bool(number) + canonical_json(value).encode("utf-8", "surrogatepass"))
    total.update(b"]")
    return total.hexdigest()[:16]


def hash_files(*paths: Path) -> str:
    """Return one SHA-256 (64 hexadecimal digits) of the files' contents in the order given.

    Raises DataError for a pipe, a device or a folder, which would never end.
    """
    total = hashlib.sha256()
    for path in paths:
        check_regular(path, DataError)
        content = hashlib.sha256()  # hashlib.file_digest came with Python 3.11 only
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                content.update(block)
        total.update(content.digest())
    return total.hexdigest()


def make_folder(path: Path) -> Path:
    """Create a folder with its parents.

    Raises StoreError when it cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise cannot("write to the folder", path, error) from error
    return path


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees either the old or the complete new content, even after a crash.

    Raises StoreError when it cannot be written (no such folder, no permission, disk full).
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to be written piece by piece, which takes the place of an older one when it is complete.

    Raises StoreError as `write_atomic` does, and for a device or a pipe, whose place no file may take.
    """
    _check_replaceable(path)
    try:
        with _replaced(path) as file:
            yield file
    except OSError as error:
        raise cannot("write", path, error) from error


def write_files(folder: Path, contents: Mapping[str, str | bytes]) -> list[Path]:
    """Write files into a folder, which is made, each atomically; return their paths. contents: by name."""
    make_folder(folder)
    for name, content in contents.items():
        write_atomic(folder / name, content)
    return [folder / name for name in contents]


def make_private(path: Path) -> None:
    """Create a folder with its parents that only its owner may enter; an existing one is left unchanged."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def cache_folder() -> Path | None:
    """Return the folder for data cached across runs (EVALKIT_CACHE); None if the user turned it off.

    Raises UsageError for a URL.
    """
    place = os.environ.get("EVALKIT_CACHE", "")
    if "://" in place:
        raise UsageError(f"EVALKIT_CACHE={place}: the cache is a database; give a folder of this machine, or off")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  (never fails)
    return None if place == "off" else Path(place or Path(home) / "evalkit")


def network_disk(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the kind of network file system that a folder is on; empty for any other, and where it cannot be told."""
    with contextlib.suppress(OSError):
        rows = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
        places = {row[1].replace("\\040", " "): row[2] for row in rows if len(row) > 2}
        path = folder.absolute()
        kinds = [places[str(parent)] for parent in [path, *path.parents] if str(parent) in places]
        return kinds[0] if kinds and kinds[0] in _NETWORK_DISKS else ""
    return ""


def cached_text(name: str, key: str, make: Callable[[], str]) -> str:
    """Return a text from the cache folder, or make it and cache it.

    name: of the file, which holds one text. key: identifies everything that the text depends on. A file with another
    key, a damaged or an unreadable one is ignored, and a folder that cannot be written to is not an error.
    """
    folder = cache_folder()
    if folder is None:
        return make()
    path = folder / name
    with contextlib.suppress(OSError, ValueError):
        head, _, text = path.read_text(encoding="utf-8").partition("\n")
        if head == f"{key} {digest(text)}":
            return text
    text = make()
    with contextlib.suppress(StoreError, OSError):
        make_private(folder)
        write_atomic(path, f"{key} {digest(text)}\n{text}")
    return text


def leftovers(folder: Path, *names: str) -> list[Path]:
    """Return the files that a killed `write_atomic` of these names left in a folder."""
    return [path for name in names for path in folder.glob(f".{name}.*")]


def _check_replaceable(path: Path) -> None:
    """Raise StoreError for /dev/null, /dev/stdout and the like: whoever may write to /dev would lose them for all."""
    try:
        mode = path.stat().st_mode
        of_a_process = path.is_symlink() and str(path.readlink()).startswith("/proc/")
    except (OSError, ValueError):
        return
    if of_a_process or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise StoreError(f"cannot write {path}: it is a device or a pipe; give a file")


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[IO[bytes]]:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; give this one the mode that open() would have given it.
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut; does nothing where folders cannot be opened (Windows)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_regular(path: Path, error: type[EvalkitError]) -> None:
    """Raise `error` for anything but a regular file, which might block or never end; an absent path passes."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
        raise error(f"{path} is {kinds.get(stat.S_IFMT(mode), 'not a file')}; expected a file")


def read_bytes(path: Path, error: type[EvalkitError], *, most: int) -> bytes:
    """Read a regular file of at most `most` bytes. Raises `error`, naming the file, for any fault."""
    check_regular(path, error)
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except (OSError, ValueError) as cause:
        raise error(f"{path}: cannot be read ({getattr(cause, 'strerror', None) or cause})") from None
    if len(raw) > most:
        raise error(f"{path}: more than {most >> 20} MiB")
    return raw


def read_json(path: Path, error: type[EvalkitError]) -> Any:
    """Read a JSON file. Raises `error`, naming the file and if possible the line, for any fault."""
    check_regular(path, error)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path} is missing") from None
    except OSError as cause:
        raise error(f"cannot read {path}: {cause.strerror or cause}") from cause
    return parse_json(content, path, error)


def parse_json(content: bytes, path: Path, error: type[EvalkitError]) -> Any:
    """Read the content of a JSON file. Raises `error`, naming the file and if possible the line, for any fault."""
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as cause:
        raise error(f"{path} is not UTF-8 text (byte {cause.start})") from None
    except json.JSONDecodeError as cause:
        raise error(f"{path} line {cause.lineno}: not valid JSON ({cause.msg}); is the file cut?") from None
    except RecursionError:
        raise error(f"{path}: JSON nested too deeply") from None
    except ValueError as cause:
        raise error(f"{path}: not valid JSON ({cause})") from None  # a number of thousands of digits


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a log, a file of JSON lines; incomplete or damaged lines are skipped."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError, RecursionError):
            rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict)]
