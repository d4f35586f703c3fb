"""Where rows come from: the generated world, the files a benchmark's authors released, a JSONL, or the hub.

Every source yields rows with the column names of the benchmark's hub dataset, so that a task is written once.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import logging
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from evalkit import world
from evalkit.errors import DataError, UsageError
from evalkit.files import canonical_json, digest, hash_files

Split = Literal["test", "shots"]
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class DataPaths:
    """Where the user keeps benchmark files: `--data NAME=PATH` wins over the folder named by EVALKIT_DATA."""

    named: Mapping[str, Path] = field(default_factory=dict)
    root: Path | None = None

    @classmethod
    def from_user(cls, pairs: Sequence[str], environment: Mapping[str, str]) -> DataPaths:
        """Parse NAME=PATH pairs. Raises UsageError for a pair without '=' or a path that does not exist."""
        named = {}
        for pair in pairs:
            name, equals, path = pair.partition("=")
            if not (name and equals and path):
                raise UsageError(f"--data {pair!r}: expected NAME=PATH, for example coqa=coqa-dev-v1.0.json")
            if not Path(path).exists():
                raise UsageError(f"--data {pair!r}: {path} does not exist")
            named[name] = Path(path)
        root = environment.get("EVALKIT_DATA")
        if root and not Path(root).is_dir():
            raise UsageError(f"EVALKIT_DATA names {root}, which is no folder")
        return cls(named=named, root=Path(root) if root else None)


class Source(Protocol):
    """Rows of a benchmark: the scored split and the pool that shots are drawn from."""

    @property
    def name(self) -> str:
        """What `--data NAME=PATH` calls it."""
        ...

    def rows(self, split: Split, data: DataPaths) -> Iterator[Row]:
        """Yield the rows of a split. Raises DataError naming file, line and what was expected."""
        ...

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        """Return 16 hexadecimal digits of the split's content."""
        ...

    def at_hand(self, data: DataPaths) -> str:
        """Return where the scored split would be read from without a network, or an empty text."""
        ...


@dataclass(frozen=True)
class WorldSource:
    """Held-out items of the generated world; always at hand."""

    name: str

    def rows(self, split: Split, data: DataPaths) -> Iterator[Row]:
        """Yield the items; shots come from content that the training text may hold, tests never do."""
        yield from _world_items(self.name, split)

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        """Hash the items themselves, so that a changed generator is noticed without a new version."""
        return digest(canonical_json(_world_items(self.name, split)))

    def at_hand(self, data: DataPaths) -> str:
        """Name the generator's version."""
        return world.VERSION


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A dataset on the hub: its ID, config and revision, and the split that plays each role."""

    id: str
    config: str | None = None
    revision: str | None = None
    splits: Mapping[Split, str]


@dataclass(frozen=True, kw_only=True)
class Release:
    """Files as the benchmark's authors published them.

    files: names relative to the data folder, all needed, read together. read: their paths -> rows.
    """

    files: tuple[str, ...]
    read: Callable[[Sequence[Path]], Iterator[Row]]


@dataclass(frozen=True, kw_only=True)
class BenchmarkSource:
    """A published benchmark, looked for in this order: --data, EVALKIT_DATA, the hub (its cache when offline).

    `--data NAME=FILE` is a release file, or JSONL or parquet with the hub's columns. `--data NAME=FOLDER` and
    EVALKIT_DATA/NAME hold release files or the hub's layout. Release files may carry .gz at the end of their names.
    releases: per split, the release files. A split that has none, there or on the hub, falls back to the scored
    split; the harness then leaves out the scored document, as lm-eval does for test-only tasks.
    """

    name: str
    hub: Hub
    releases: Mapping[Split, Release]

    def rows(self, split: Split, data: DataPaths) -> Iterator[Row]:
        """Yield the rows of the first place that has the benchmark."""
        found = self._find(split, data)
        if found:
            yield from found.rows()
        else:
            yield from self._load_hub(split)

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        """Hash the files' content; for a hub dataset the library's own fingerprint."""
        found = self._find(split, data)
        return hash_files(*found.paths)[:16] if found else str(self._load_hub(split)._fingerprint)

    def at_hand(self, data: DataPaths) -> str:
        """Name the file or folder of the scored split, if there is one."""
        found = self._find("test", data)
        return str(found.paths[0]) if found else ""

    def _find(self, split: Split, data: DataPaths) -> _Found | None:
        """Look through the user's own files. Shots come from where the scored split is, never from the hub then."""
        if self.name in data.named:
            path = data.named[self.name]
            return self._of_folder(split, path) if path.is_dir() else self._of_file(path)
        if data.root is None:
            return None
        found = self._released(split, data.root, flat=False) or self._tables(split, data.root / self.name)
        return self._find("test", data) if found is None and split == "shots" else found

    def _of_file(self, path: Path) -> _Found:
        """Take one file for both splits."""
        test = self.releases["test"]
        names = {Path(name).name for release in self.releases.values() for name in release.files}
        if path.name.endswith(_TABLES) and path.name.removesuffix(".gz") not in names:
            return _Found([path], read_tables)
        if len(test.files) > 1:
            raise DataError(f"{path}: {self.name} needs {len(test.files)} files; name the folder that holds them")
        return _Found([path], test.read)

    def _of_folder(self, split: Split, folder: Path) -> _Found:
        """Look for release files in the layout of EVALKIT_DATA or side by side, then for the hub's layout."""
        found = self._released(split, folder, flat=False) or self._released(split, folder, flat=True)
        found = found or self._tables(split, folder)
        if found:
            return found
        if split == "shots":
            return self._of_folder("test", folder)
        wanted = " and ".join(Path(name).name for name in self.releases["test"].files)
        raise DataError(
            f"{folder}: no data of {self.name}; expected {wanted}, or {self.hub.splits[split]}.jsonl/.parquet"
        )

    def _released(self, split: Split, folder: Path, *, flat: bool) -> _Found | None:
        """Find all files of a release, or none; some of them are an error."""
        release = self.releases.get(split)
        if release is None:
            return None
        wanted = [folder / (Path(name).name if flat else name) for name in release.files]
        there = [next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None) for path in wanted]
        paths = [path for path in there if path]
        if not paths:
            return None
        if len(paths) < len(wanted):
            missing = wanted[there.index(None)]
            raise DataError(f"{missing} is missing: {self.name} needs it together with {paths[0].name}")
        return _Found(paths, release.read)

    def _tables(self, split: Split, folder: Path) -> _Found | None:
        """Find a split's tables: test.jsonl, data/test-00000-of-00001.parquet, CONFIG/test/0000.parquet."""
        if self.hub.config and (folder / self.hub.config).is_dir():
            folder = folder / self.hub.config  # another config's files must not be mixed in
        name = self.hub.splits.get(split, self.hub.splits["test"])
        tables = sorted(path for path in folder.rglob("*") if path.name.endswith(_TABLES) and path.is_file())
        found = [
            path
            for path in tables
            if path.name.split(".")[0] == name or path.name.startswith(f"{name}-") or path.parent.name == name
        ]
        return _Found(found, read_tables) if found else None

    def _load_hub(self, split: Split) -> Any:
        hub = self.hub
        try:
            return _hub_dataset(hub.id, hub.config, hub.splits.get(split, hub.splits["test"]), hub.revision)
        except Exception as error:  # the library has no common base class for its failures
            expected = " and ".join(self.releases["test"].files)
            raise DataError(
                f"no data for {self.name}: the hub's {hub.id} cannot be loaded "
                f"({type(error).__name__}) and no local copy was found. Give one of: --data {self.name}=PATH "
                f"(release file, JSONL with the hub's columns, or a folder in the hub's layout); EVALKIT_DATA=FOLDER "
                f"that holds {expected}; or a network connection"
            ) from error


@lru_cache(maxsize=2)
def _world_items(name: str, split: Split) -> list[dict[str, Any]]:
    """Make the items once for their rows and their hash; nobody changes them."""
    return world.items(name, split)


@lru_cache(maxsize=4)
def _hub_dataset(repository: str, config: str | None, split: str, revision: str | None) -> Any:
    """Load a split from the hub or its cache, saying so: without a network the library tries for half a minute."""
    print(f"loading {repository} ({split}) from the hub or its cache", file=sys.stderr, flush=True)
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    import datasets

    # Its retries are no news beside the one error that follows them.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return datasets.load_dataset(repository, config, split=split, revision=revision)


@dataclass(frozen=True)
class _Found:
    """Files and the function that reads them."""

    paths: list[Path]
    read: Callable[[Sequence[Path]], Iterator[Row]]

    def rows(self) -> Iterator[Row]:
        return self.read(self.paths)


_OPENERS: Mapping[str, Callable[[Path], IO[bytes]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}  # type: ignore[dict-item]
_TABLES = (".jsonl", ".jsonl.gz", ".jsonl.bz2", ".jsonl.xz", ".parquet")


def _open(path: Path) -> IO[bytes]:
    opener = _OPENERS.get(path.suffix)
    return opener(path) if opener else path.open("rb")


def open_text(path: Path) -> io.TextIOWrapper:
    """Open a text file, decompressing .gz, .bz2 and .xz as it is read."""
    return io.TextIOWrapper(_open(path), encoding="utf-8", newline="\n")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, line without its end). Raises DataError for an unreadable, cut or empty file."""
    number = 0
    try:
        with _open(path) as file:
            # Decoded line by line: a text file decodes ahead, and would not know which line is at fault.
            for number, line in enumerate(file, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} line {number}: not UTF-8 text ({error.reason})") from None
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} after line {number}: cannot be read ({reason}); is the file cut?") from error
    if not number:
        raise DataError(f"{path} is empty")


def read_json(path: Path) -> Any:
    """Read a file that is one JSON value. Raises DataError naming the line where it stops being one."""
    try:
        return json.loads("\n".join(line for _, line in read_lines(path)))
    except json.JSONDecodeError as error:
        raise DataError(f"{path} line {error.lineno}: not valid JSON ({error.msg}); is the file cut?") from None
    except RecursionError:
        raise DataError(f"{path}: JSON nested too deeply") from None


def read_jsonl(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield one object per line of JSON. Raises DataError naming the file and line that is no object."""
    for path in paths:
        for number, line in read_lines(path):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise DataError(f"{path} line {number}: not valid JSON ({error}); is the file cut?") from None
            if not isinstance(row, dict):
                raise DataError(f"{path} line {number}: expected a JSON object, found {type(row).__name__}")
            yield row


def read_tables(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the rows of JSONL or parquet files, as the hub lays datasets out."""
    for path in paths:
        if path.suffix != ".parquet":
            yield from read_jsonl([path])
            continue
        import pyarrow
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1024):
                    yield from batch.to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path}: not a readable parquet file ({error})") from error
