"""Where rows come from: the generated world, the files a benchmark's authors released, a JSONL, or the hub.

Every source yields rows with the column names of the benchmark's hub dataset, so that a task is written once.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

from evalkit import world
from evalkit.data.readers import (
    COMPRESSED,
    HUB_TABLES,
    SHEETS,
    TABLES,
    Row,
    count_rows,
    open_text,
    plain_name,
    read_json,
    read_jsonl,
    read_lines,
    read_tables,
    row_place,
)
from evalkit.errors import DataError, NoDataError, UsageError
from evalkit.files import canonical_json, digest, hash_files, kept

log = logging.getLogger(__name__)

# The readers are offered here too, so that a task's file has one place to import from.
__all__ = [
    "BenchmarkSource",
    "DataPaths",
    "Hub",
    "Release",
    "Row",
    "Source",
    "Split",
    "WorldSource",
    "count",
    "files",
    "open_text",
    "read_json",
    "read_jsonl",
    "read_lines",
    "read_tables",
    "released",
    "size",
    "whereabouts",
    "with_earlier",
]

Split = Literal["test", "shots"]

# Tables that may also be a release in a form of its own.
_EVERY = (*HUB_TABLES, *SHEETS)
_OTHERS = tuple(kind for kind in _EVERY if kind not in TABLES)


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


def released(
    test: str, *, shots: str = "", read: Callable[[Sequence[Path]], Iterator[Row]] = read_jsonl
) -> dict[Split, Release]:
    """Return the releases of a benchmark that has one file a split, all of one form; `shots` may be missing."""
    names: dict[Split, str] = {"test": test, "shots": shots}
    return {split: Release(files=(name,), read=read) for split, name in names.items() if name}


@dataclass(frozen=True, kw_only=True)
class BenchmarkSource:
    """A published benchmark, looked for in this order: --data, EVALKIT_DATA, the hub (its cache when offline).

    `--data NAME=FILE` is a release file, or JSONL, JSON, CSV, TSV or parquet with the hub's columns (JSON, CSV and TSV
    where no release file ends so). `--data NAME=FOLDER` and EVALKIT_DATA/NAME hold release files or the hub's layout.
    Files may be compressed: .gz, .bz2, .xz or .zst at the end of their names.
    releases: per split, the release files, if any. A split that has none, there or on the hub, falls back to the scored
    split; the harness then leaves out the scored document, as lm-eval does for test-only tasks.
    samples: files looked for where those of `releases` are absent: another split, a part, another form.
    prepare: makes the rows that the task sees of those of the hub (earlier questions of a passage, one row a question).
    make: makes a split's rows where the user has no files, instead of the hub: for benchmarks that are a recipe.
    """

    name: str
    hub: Hub
    releases: Mapping[Split, Release] = field(default_factory=dict)
    samples: Mapping[Split, Release] = field(default_factory=dict)
    prepare: Callable[[Iterable[Row]], Iterator[Row]] = iter
    make: Callable[[Split], Iterator[Row]] | None = None

    def rows(self, split: Split, data: DataPaths) -> Iterator[Row]:
        """Yield the rows of the first place that has the benchmark."""
        found = self.find(split, data)
        made = self.make(split) if self.make and not found else None
        yield from self.prepare(found.rows() if found else made or self._load_hub(split))

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        """Hash the files' content, or the rows that were made; for a hub dataset the library's own fingerprint."""
        found = self.find(split, data)
        if found:
            return hash_files(*found.paths)[:16]
        if self.make:
            return digest(canonical_json(list(self.make(split))))
        return str(self._load_hub(split)._fingerprint)

    def at_hand(self, data: DataPaths) -> str:
        """Name the file or folder of the scored split, if there is one."""
        found = self.find("test", data)
        return str(found.paths[0]) if found else "generated" if self.make else ""

    def find(self, split: Split, data: DataPaths) -> Found | None:
        """Look through the user's own files. Shots come from where the scored split is, never from the hub then."""
        if self.name in data.named:
            path = data.named[self.name]
            return self._of_folder(split, path) if path.is_dir() else self._of_file(split, path)
        if data.root is None:
            return None
        found = self._released(split, data.root, flat=False) or self._tables(split, data.root / self.name)
        return self.find("test", data) if found is None and split == "shots" else found

    def _of_file(self, split: Split, path: Path) -> Found:
        """Take one file for both splits; of an archive that holds both, each reads its own part."""
        known = {
            Path(name).name: releases[role]
            for role in ("shots", "test", split)  # the last one counts
            for releases in (self.samples, self.releases)
            if role in releases
            for name in releases[role].files
        }
        release = known.get(path.name, known.get(plain_name(path)))
        ending = Path(plain_name(path)).suffix
        own = any(Path(name).suffix == ending for each in self.releases.values() for name in each.files)
        if release is None and (path.name.endswith(TABLES) or (path.name.endswith(_OTHERS) and not own)):
            return Found([path], read_tables)
        release = release or self.releases.get("test")
        if release is None:
            raise DataError(f"{path}: {self.name} is read from JSONL, JSON, CSV, TSV or parquet with the hub's columns")
        if len(release.files) > 1:
            raise DataError(f"{path}: {self.name} needs {len(release.files)} files; name the folder that holds them")
        return Found([path], release.read)

    def _of_folder(self, split: Split, folder: Path) -> Found:
        """Look for release files in the layout of EVALKIT_DATA or side by side, then for the hub's layout."""
        found = self._released(split, folder, flat=False) or self._released(split, folder, flat=True)
        found = found or self._tables(split, folder)
        if found:
            return found
        if split == "shots":
            return self._of_folder("test", folder)
        wanted = "".join(f"{name}, or " for name in [self._release_names(short=True)] if name)
        raise DataError(f"{folder}: no data of {self.name}; expected {wanted}{self.hub.splits[split]}.jsonl/.parquet")

    def _release_names(self, *, short: bool = False) -> str:
        """Name the release files of the scored split for an error; empty where there are none."""
        files = self.releases["test"].files if "test" in self.releases else ()
        return " and ".join(Path(name).name if short else name for name in files)

    def _released(self, split: Split, folder: Path, *, flat: bool) -> Found | None:
        """Find all files of a release, or else of a sample, or none."""
        for releases in (self.releases, self.samples):
            if split in releases and (found := self._complete(releases[split], folder, flat=flat)):
                return found
        return None

    def _complete(self, release: Release, folder: Path, *, flat: bool) -> Found | None:
        """Find all files of a release, or none; some of them are an error."""
        wanted = [folder / (Path(name).name if flat else name) for name in release.files]
        there = [next((p for p in _spellings(path) if p.is_file()), None) for path in wanted]
        paths = [path for path in there if path]
        if not paths:
            return None
        if len(paths) < len(wanted):
            missing = wanted[there.index(None)]
            raise DataError(f"{missing} is missing: {self.name} needs it together with {paths[0].name}")
        return Found(paths, release.read)

    def _tables(self, split: Split, folder: Path) -> Found | None:
        """Find a split's tables: test.jsonl, data/test-00000-of-00001.parquet, CONFIG/test/0000.parquet."""
        if self.hub.config and (folder / self.hub.config).is_dir():
            folder = folder / self.hub.config  # another config's files must not be mixed in
        name = self.hub.splits.get(split, self.hub.splits["test"])
        files = sorted(path for path in folder.rglob("*") if path.name.endswith(_EVERY))
        found = [
            path
            for path in files
            if path.name.split(".")[0] == name or path.name.startswith(f"{name}-") or path.parent.name == name
        ]
        for kinds in (HUB_TABLES, SHEETS):  # the same rows may lie there in both
            if chosen := [path for path in found if path.name.endswith(kinds) and path.is_file()]:
                return Found(chosen, read_tables)
        return None

    def _load_hub(self, split: Split) -> Any:
        hub = self.hub
        try:
            return _hub_dataset(hub.id, hub.config, hub.splits.get(split, hub.splits["test"]), hub.revision)
        except Exception as error:  # the library has no common base class for its failures
            expected = self._release_names() or f"the folder {self.name}"
            raise NoDataError(
                f"no data for {self.name}: the hub's {hub.id} cannot be loaded "
                f"({type(error).__name__}) and no local copy was found. Give one of: --data {self.name}=PATH "
                f"(release file, JSONL with the hub's columns, or a folder in the hub's layout); EVALKIT_DATA=FOLDER "
                f"that holds {expected}; or a network connection"
            ) from error


@lru_cache(maxsize=2)
def _world_items(name: str, split: Split) -> list[dict[str, Any]]:
    """Make the items once for their rows, their hash and other runs; nobody changes them."""
    text = kept(
        f"{world.VERSION}-{name}-{split}.json", world.generator_hash(), lambda: json.dumps(world.items(name, split))
    )
    found: list[dict[str, Any]] = json.loads(text)
    return found


@lru_cache(maxsize=4)
def _hub_dataset(repository: str, config: str | None, split: str, revision: str | None) -> Any:
    """Load a split from the hub or its cache, saying so: without a network the library tries for half a minute."""
    log.info("loading %s (%s) from the hub or its cache", repository, split)
    return open_dataset(repository, config, split=split, revision=revision)


def open_dataset(path: str, config: str | None, **options: Any) -> Any:
    """Open a data set by the `datasets` library, which raises what it likes."""
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    import datasets

    datasets.disable_progress_bars()
    # Its retries are no news beside the one error that follows them.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return datasets.load_dataset(path, config, **options)
    except ConnectionError:
        datasets.config.HF_HUB_OFFLINE = True  # the next one looks into the cache at once
        raise


def _spellings(path: Path) -> Sequence[Path]:
    """Return the names under which a file may lie: its own, or compressed."""
    return (path, *(path.with_name(path.name + suffix) for suffix in COMPRESSED))


@dataclass(frozen=True)
class Found:
    """Files and the function that reads them."""

    paths: list[Path]
    read: Callable[[Sequence[Path]], Iterator[Row]]

    def rows(self) -> Iterator[Row]:
        """Read them."""
        return self.read(self.paths)


def files(source: Source, split: Split, data: DataPaths) -> str:
    """Name the files of a split; nothing where it is not read from files."""
    found = source.find(split, data) if isinstance(source, BenchmarkSource) else None
    return ", ".join(map(str, found.paths)) if found else ""


def whereabouts(source: Source, split: Split, data: DataPaths, index: int) -> str:
    """Say for an error where row `index` of a split stands: file and line where that is known, else the files."""
    found = source.find(split, data) if isinstance(source, BenchmarkSource) else None
    placed = row_place(found.paths, index) if found and _as_they_are(source, found, _EVERY) else ""
    return placed or files(source, split, data)


def count(source: Source, data: DataPaths) -> int | None:
    """Count the rows of the scored split where that needs no parsing; None elsewhere."""
    found = source.find("test", data) if isinstance(source, BenchmarkSource) else None
    return sum(map(count_rows, found.paths)) if found and _as_they_are(source, found, TABLES) else None


def size(source: Source, data: DataPaths) -> int:
    """Return the bytes of the scored split's files; 0 where it is not read from files."""
    found = source.find("test", data) if isinstance(source, BenchmarkSource) else None
    return sum(path.stat().st_size for path in found.paths) if found else 0


def _as_they_are(source: Source, found: Found, kinds: tuple[str, ...]) -> bool:
    """Whether a task's rows are those of the files, one by one: tables of these kinds that nothing rearranges."""
    lines = found.read in (read_jsonl, read_tables) and all(path.name.endswith(kinds) for path in found.paths)
    return lines and getattr(source, "prepare", None) is iter


def with_earlier(rows: Iterable[Row], *, passage: str) -> Iterator[Row]:
    """Add to each row, as `earlier`, the rows right before it that have the same text in the column `passage`."""
    earlier: list[Row] = []
    for row in rows:
        if earlier and earlier[-1][passage] != row[passage]:
            earlier = []
        yield {**row, "earlier": tuple(earlier)}
        earlier.append(row)
