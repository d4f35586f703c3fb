"""Where rows come from: the generated world, a benchmark's released files, JSONL, or the hub.

Every source yields rows with the column names of the benchmark's hub dataset, so that a task is written only once.
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
from evalkit.extras import require
from evalkit.files import cached_text, digest_of_list, hash_files

log = logging.getLogger(__name__)

# The readers are re-exported, so that a task file has one place to import from.
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

# Tables that may also be a release in its own format.
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
            raise UsageError(f"EVALKIT_DATA names {root}, which is not a folder")
        return cls(named=named, root=Path(root) if root else None)


class Source(Protocol):
    """Rows of a benchmark: the scored split and the pool that shots are drawn from."""

    @property
    def name(self) -> str:
        """The NAME in `--data NAME=PATH`."""
        ...

    def rows(self, split: Split, data: DataPaths) -> Iterator[Row]:
        """Yield the rows of a split. Raises DataError naming file, line and what was expected."""
        ...

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        """Return 16 hexadecimal digits of the split's content."""
        ...

    def at_hand(self, data: DataPaths) -> str:
        """Return where the scored split would be read from without a network, or ""."""
        ...


@dataclass(frozen=True)
class WorldSource:
    """Held-out items of the generated world; always available."""

    name: str

    def rows(self, split: Split, data: DataPaths) -> Iterator[Row]:
        """Yield the items; shots come from content that the training text may contain, tests never do."""
        yield from _world_items(self.name, split)

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        """Hash the items themselves, so that a changed generator shows even without a new version."""
        return digest_of_list(_world_items(self.name, split))

    def at_hand(self, data: DataPaths) -> str:
        """Return the generator's version."""
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
    """A published benchmark, looked up in this order: --data, EVALKIT_DATA, the hub (its cache when offline).

    `--data NAME=FILE` is a release file, or JSONL, JSON, CSV, TSV or parquet with the hub's columns (JSON, CSV and TSV
    only where no release file has that ending). `--data NAME=FOLDER` and EVALKIT_DATA/NAME hold release files or the
    hub's layout. Files may be compressed: .gz, .bz2, .xz or .zst at the end of their names.
    releases: per split, the release files, if any. A split without any, there or on the hub, falls back to the scored
    split; the harness then never draws the scored document, as lm-eval does for test-only tasks.
    samples: files to use where those of `releases` are absent: another split, a part, another format.
    prepare: turns the hub's rows into those that the task sees (with earlier questions, one row per question).
    make: generates a split's rows where the user has no files, instead of the hub: for benchmarks that are a recipe.
    """

    name: str
    hub: Hub
    releases: Mapping[Split, Release] = field(default_factory=dict)
    samples: Mapping[Split, Release] = field(default_factory=dict)
    prepare: Callable[[Iterable[Row]], Iterator[Row]] = iter
    make: Callable[[Split], Iterator[Row]] | None = None

    def rows(self, split: Split, data: DataPaths) -> Iterator[Row]:
        """Yield the rows from the first place that has the benchmark."""
        selection = self.find(split, data)
        generated = self.make(split) if self.make and not selection else None
        yield from self.prepare(selection.rows() if selection else generated or self._load_hub(split))

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        """Hash the files' content, or the generated rows; for a hub dataset return the library's fingerprint."""
        selection = self.find(split, data)
        if selection:
            return hash_files(*selection.paths)[:16]
        if self.make:
            return digest_of_list(self.make(split))
        return str(self._load_hub(split)._fingerprint)

    def at_hand(self, data: DataPaths) -> str:
        """Return the file or folder of the scored split, if there is one."""
        selection = self.find("test", data)
        return str(selection.paths[0]) if selection else "generated" if self.make else ""

    def find(self, split: Split, data: DataPaths) -> Selection | None:
        """Look through the user's files. If they have the scored split, shots come from them too, not from the hub."""
        if self.name in data.named:
            path = data.named[self.name]
            return self._of_folder(split, path) if path.is_dir() else self._of_file(split, path)
        if data.root is None:
            return None
        selection = self._released(split, data.root, flat=False) or self._tables(split, data.root / self.name)
        return self.find("test", data) if selection is None and split == "shots" else selection

    def _of_file(self, split: Split, path: Path) -> Selection:
        """Use one file for both splits; of an archive that holds both, each split reads its own part."""
        by_name = {
            Path(name).name: releases[role]
            for role in ("shots", "test", split)  # the last one wins
            for releases in (self.samples, self.releases)
            if role in releases
            for name in releases[role].files
        }
        release = by_name.get(path.name, by_name.get(plain_name(path)))
        ending = Path(plain_name(path)).suffix
        release_ending = any(
            Path(name).suffix == ending for release in self.releases.values() for name in release.files
        )
        if release is None and (path.name.endswith(TABLES) or (path.name.endswith(_OTHERS) and not release_ending)):
            return Selection([path], read_tables)
        release = release or self.releases.get("test")
        if release is None:
            raise DataError(f"{path}: {self.name} is read from JSONL, JSON, CSV, TSV or parquet with the hub's columns")
        if len(release.files) > 1:
            raise DataError(f"{path}: {self.name} needs {len(release.files)} files; give the folder that holds them")
        return Selection([path], release.read)

    def _of_folder(self, split: Split, folder: Path) -> Selection:
        """Look for release files in EVALKIT_DATA's layout or in one folder, then for the hub's layout."""
        selection = self._released(split, folder, flat=False) or self._released(split, folder, flat=True)
        selection = selection or self._tables(split, folder)
        if selection:
            return selection
        if split == "shots":
            return self._of_folder("test", folder)
        expected = "".join(f"{name}, or " for name in [self._release_names(short=True)] if name)
        raise DataError(f"{folder}: no data of {self.name}; expected {expected}{self.hub.splits[split]}.jsonl/.parquet")

    def _release_names(self, *, short: bool = False) -> str:
        """Return the names of the scored split's release files, for an error; empty if there are none."""
        files = self.releases["test"].files if "test" in self.releases else ()
        return " and ".join(Path(name).name if short else name for name in files)

    def _released(self, split: Split, folder: Path, *, flat: bool) -> Selection | None:
        """Find all files of a release, or else of a sample; None if there are none."""
        for releases in (self.releases, self.samples):
            if split in releases and (selection := self._complete(releases[split], folder, flat=flat)):
                return selection
        return None

    def _complete(self, release: Release, folder: Path, *, flat: bool) -> Selection | None:
        """Find all files of a release; None if there are none. Raises DataError if only some exist."""
        expected = [folder / (Path(name).name if flat else name) for name in release.files]
        existing = [next((p for p in _spellings(path) if p.is_file()), None) for path in expected]
        paths = [path for path in existing if path]
        if not paths:
            return None
        if len(paths) < len(expected):
            absent = expected[existing.index(None)]
            raise DataError(f"{absent} is missing: {self.name} needs it together with {paths[0].name}")
        return Selection(paths, release.read)

    def _tables(self, split: Split, folder: Path) -> Selection | None:
        """Find a split's tables: test.jsonl, data/test-00000-of-00001.parquet, CONFIG/test/0000.parquet."""
        if self.hub.config and (folder / self.hub.config).is_dir():
            folder = folder / self.hub.config  # do not mix in another config's files
        name = self.hub.splits.get(split, self.hub.splits["test"])
        files = sorted(path for path in folder.rglob("*") if path.name.endswith(_EVERY))
        matches = [
            path
            for path in files
            if path.name.split(".")[0] == name or path.name.startswith(f"{name}-") or path.parent.name == name
        ]
        for kinds in (HUB_TABLES, SHEETS):  # the same rows may exist in both
            if chosen := [path for path in matches if path.name.endswith(kinds) and path.is_file()]:
                return Selection(chosen, read_tables)
        return None

    def _load_hub(self, split: Split) -> Any:
        hub = self.hub
        require("datasets", f"documents of the hub's {hub.id}")
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
    """Generate the items once, for their rows, their hash and other runs; they are never modified."""
    text = cached_text(
        f"{world.VERSION}-{name}-{split}.json", world.generator_hash(), lambda: json.dumps(world.items(name, split))
    )
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


@lru_cache(maxsize=4)
def _hub_dataset(repository: str, config: str | None, split: str, revision: str | None) -> Any:
    """Load a split from the hub or its cache, with a message: offline, the library tries for half a minute."""
    log.info("loading %s (%s) from the hub or its cache", repository, split)
    return open_dataset(repository, config, split=split, revision=revision)


def open_dataset(path: str, config: str | None, **options: Any) -> Any:
    """Open a dataset with the `datasets` library, whose errors have no common class."""
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    datasets = require("datasets", "datasets of the hub")
    datasets.disable_progress_bars()
    # Its retries say nothing beyond the error that follows them.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return datasets.load_dataset(path, config, **options)
    except ConnectionError:
        datasets.config.HF_HUB_OFFLINE = True  # the next dataset is looked up in the cache at once
        raise


def _spellings(path: Path) -> Sequence[Path]:
    """Return the paths that a file may have: its own, or a compressed one's."""
    return (path, *(path.with_name(path.name + suffix) for suffix in COMPRESSED))


@dataclass(frozen=True)
class Selection:
    """Files and the function that reads them."""

    paths: list[Path]
    read: Callable[[Sequence[Path]], Iterator[Row]]

    def rows(self) -> Iterator[Row]:
        """Yield their rows."""
        return self.read(self.paths)


def files(source: Source, split: Split, data: DataPaths) -> str:
    """Return the names of a split's files; "" where it is not read from files."""
    selection = _selection(source, split, data)
    return ", ".join(map(str, selection.paths)) if selection else ""


def whereabouts(source: Source, split: Split, data: DataPaths, index: int) -> str:
    """Return the place of row `index` of a split, for errors: file and line where known, otherwise the files."""
    selection = _selection(source, split, data)
    place = row_place(selection.paths, index) if selection and _unchanged(source, selection, _EVERY) else ""
    return place or files(source, split, data)


def count(source: Source, data: DataPaths) -> int | None:
    """Count the rows of the scored split where that needs no parsing; otherwise None."""
    selection = _selection(source, "test", data)
    return sum(map(count_rows, selection.paths)) if selection and _unchanged(source, selection, TABLES) else None


def size(source: Source, data: DataPaths) -> int:
    """Return the bytes of the scored split's files; 0 where it is not read from files."""
    selection = _selection(source, "test", data)
    return sum(path.stat().st_size for path in selection.paths) if selection else 0


def _selection(source: Source, split: Split, data: DataPaths) -> Selection | None:
    """Return the files of a split, where a source has files."""
    find: Callable[[Split, DataPaths], Selection | None] | None = getattr(source, "find", None)
    return find(split, data) if find else None


def _unchanged(source: Source, selection: Selection, kinds: tuple[str, ...]) -> bool:
    """Whether a task's rows are exactly those of the files: tables of these kinds without rearrangement."""
    lines = selection.read in (read_jsonl, read_tables) and all(path.name.endswith(kinds) for path in selection.paths)
    return lines and getattr(source, "prepare", iter) is iter


def with_earlier(rows: Iterable[Row], *, passage: str) -> Iterator[Row]:
    """Add to each row, as `earlier`, the rows directly before it with the same text in the column `passage`."""
    earlier: list[Row] = []
    for row in rows:
        if earlier and earlier[-1][passage] != row[passage]:
            earlier = []
        yield {**row, "earlier": tuple(earlier)}
        earlier.append(row)
