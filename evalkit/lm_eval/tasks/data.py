"""Where a task file's rows come from: local copies first, then the `datasets` library.

A dataset `ORGANISATION/NAME` is looked up in `--data ORGANISATION/NAME=PATH`, then in EVALKIT_DATA, then, by `datasets`
itself, in the working directory, its cache and the hub.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.data.sources import DataPaths, Split, open_dataset
from evalkit.errors import DataError, NoDataError
from evalkit.extras import require
from evalkit.files import canonical_json, digest
from evalkit.lm_eval.tasks.functions import plain, references
from evalkit.lm_eval.tasks.taskfile import TaskFile

Row = Mapping[str, Any]

_HUB_FILES = "hf://datasets/"

# Rows of the pool in the fingerprint of a task's data: reading all of a large pool would take a minute.
_SAMPLED = 100


@dataclass(frozen=True)
class FileSource:
    """The data of a task file, as a Source. name: the NAME in `--data NAME=PATH`."""

    file: TaskFile

    @property
    def name(self) -> str:
        """The dataset's name on the hub; for generated data such as arithmetic, the task's name."""
        return hub_name(self.file) or self.file.task

    def rows(self, split: Split, data: DataPaths) -> Iterator[Row]:
        """Yield the rows of a split."""
        tables = Tables(self.file, data)
        yield from tables.scored if split == "test" else tables.pool

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        """Hash the rows of a split."""
        tables = Tables(self.file, data)
        rows = tables.scored if split == "test" else tables.pool
        return fingerprint(rows, whole=split == "test", path=self.file.path)

    def at_hand(self, data: DataPaths) -> str:
        """Return the local copy, if there is one."""
        return str(local_copy(self.name, data) or "")


@dataclass(frozen=True)
class Tables:
    """A task file's dataset, opened once: its splits after process_docs. Rows are read lazily."""

    file: TaskFile
    data: DataPaths

    @cached_property
    def scored(self) -> Sequence[Row]:
        """The documents to score."""
        return self._split(self.file.scored_split, self.file.process_docs)

    @cached_property
    def pool(self) -> Sequence[Row]:
        """The documents that shots are drawn from."""
        shots = self.file.shots
        if shots.split is not None:
            return self._split(shots.split, shots.process_docs)
        if shots.samples is not None:
            rows = shots.samples() if callable(shots.samples) else shots.samples
            if not isinstance(rows, list):
                raise DataError(
                    f"{self.file.path}: fewshot_config.samples: the function does not return a list of documents"
                )
            return rows
        split = self.file.pool_split
        return self.scored if split == self.file.scored_split else self._split(split, self.file.process_docs)

    @cached_property
    def _splits(self) -> Mapping[str, Any]:
        return _opened(self.file, self.data)

    def _split(self, name: str | None, process: Callable[[Any], Any] | None) -> Sequence[Row]:
        if name is None or name not in self._splits:
            splits = ", ".join(self._splits) or "none"
            raise DataError(f"{self.file.path}: {self.file.dataset_path} has no split {name!r} (it has: {splits})")
        table = self._splits[name]
        if process is None:
            return table  # type: ignore[no-any-return]
        try:
            return process(table)  # type: ignore[no-any-return]
        except Exception as error:  # the task's own code may fail in any way
            raise DataError(f"{self.file.path}: process_docs: {type(error).__name__}: {error}") from error


def fingerprint(rows: Sequence[Row], *, whole: bool, path: Path) -> str:
    """Hash all rows, or their number and an evenly spread sample. path: of the task file, for errors."""
    step = 1 if whole else max(1, len(rows) // _SAMPLED)
    texts = (str(sorted(rows[i].items(), key=lambda pair: pair[0])) for i in range(0, len(rows), step))
    try:
        return digest(f"{len(rows)}\n" + "\n".join(texts))
    except UnicodeDecodeError as error:  # Arrow accepts any bytes as text and decodes them on access
        raise DataError(f"{path}: its data holds a text that is not UTF-8 ({error.reason})") from None


def first_rows(rows: Sequence[Row], count: int, *, path: Path) -> list[dict[str, Any]]:
    """Read the first rows. path: of the task file, for errors. Raises DataError for a text that is not UTF-8."""
    try:
        return [dict(rows[i]) for i in range(min(len(rows), count))]
    except UnicodeDecodeError as error:  # as in `fingerprint`
        raise DataError(f"{path}: its data holds a text that is not UTF-8 ({error.reason})") from None


def config_digest(file: TaskFile) -> str:
    """Hash a task file's keys, and the source of the modules that it names."""
    modules = {reference.digest() for _, reference in references(file.config)}
    keys = {key: plain(value) for key, value in file.config.items() if key != "metadata"}
    return digest(canonical_json([keys, sorted(modules)]))


def hub_name(file: TaskFile) -> str:
    """Return the dataset's name on the hub, also where the file names single files of it; "" for none."""
    if file.dataset_path and "/" in file.dataset_path:
        return file.dataset_path
    for name in _data_files(file.dataset_kwargs.get("data_files")):
        if name.startswith(_HUB_FILES):
            return "/".join(name.removeprefix(_HUB_FILES).split("/")[:2]).partition("@")[0]
    return file.dataset_path if file.dataset_path not in ("json", "csv", "parquet", "text", None) else ""


def local_copy(name: str, data: DataPaths) -> Path | None:
    """Find a local copy of a dataset: a folder in the hub's layout, or one file."""
    if name in data.named:
        return data.named[name]
    folder = data.root / name if data.root and name else None
    return folder if folder and folder.is_dir() else None


def _opened(file: TaskFile, data: DataPaths) -> Mapping[str, Any]:
    """Open all splits of the dataset. Raises NoDataError if it is not found, DataError if it cannot be read."""
    if file.custom_dataset is not None:
        try:
            return dict(file.custom_dataset(**file.metadata, **file.dataset_kwargs))
        except Exception as error:  # the task's own code may fail in any way
            raise DataError(f"{file.path}: custom_dataset: {type(error).__name__}: {error}") from error
    copy, path = local_copy(hub_name(file), data), str(file.dataset_path)
    options = {key: value for key, value in file.dataset_kwargs.items() if key != "trust_remote_code"}
    if "data_files" in options:
        options["data_files"] = _placed(options["data_files"], file, copy)
    elif copy is not None and copy.is_file():
        return {str(file.scored_split): _from_file(copy)}
    if copy is None and not Path(path).exists() and "data_files" not in options:
        print(f"loading {path} from the hub or its cache", file=sys.stderr, flush=True)
    try:
        if copy is not None and "data_files" not in options:
            return _from_folder(copy, file, options)
        return open_dataset(path, file.dataset_name, **options)  # type: ignore[no-any-return]
    except Exception as error:  # the library has no common base class for its failures
        name = hub_name(file) or file.task
        where = f"{copy}: cannot be read" if copy else f"{file.path}: no data for {file.task}: {path} cannot be loaded"
        hint = "" if copy else (
            f". Give one of: --data {name}=PATH (a folder in the hub's layout, JSONL or parquet with its columns); "
            f"EVALKIT_DATA=FOLDER that holds {name}; or a network connection"
        )  # fmt: skip
        cause = error.__cause__ or error  # the cause of a DatasetGenerationError says more than the error
        reason = f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
        raise (DataError if copy else NoDataError)(f"{where} ({reason}){hint}") from error


def _from_folder(folder: Path, file: TaskFile, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read a folder in the hub's layout; a configuration without a README is a folder of that name."""
    config_folder = folder / file.dataset_name if file.dataset_name else folder
    if config_folder != folder and config_folder.is_dir() and not (folder / "README.md").is_file():
        return open_dataset(str(config_folder), None, **options)  # type: ignore[no-any-return]
    return open_dataset(str(folder), file.dataset_name, **options)  # type: ignore[no-any-return]


def _from_file(path: Path) -> Any:
    from evalkit.data.readers import read_tables

    datasets = require("datasets", "task files of lm-evaluation-harness")
    return datasets.Dataset.from_list([dict(row) for row in read_tables([path])])


def _data_files(value: Any) -> list[str]:
    """List the files that `data_files` names, in any of its forms."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [name for item in inner for name in _data_files(item)]


def _placed(value: Any, file: TaskFile, copy: Path | None) -> Any:
    """Replace the hub's files by local ones; a relative path starts in the working directory, or beside the YAML."""
    if isinstance(value, Mapping):
        return {key: _placed(item, file, copy) for key, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, file, copy) for item in value]
    if str(value).startswith(_HUB_FILES) and copy is not None:
        if copy.is_file():
            return str(copy)
        inside = Path(*str(value).removeprefix(_HUB_FILES).split("/")[2:])
        target = copy / inside
        if not target.is_file():
            raise NoDataError(f"{copy}: {inside} is missing; {file.task} reads it")
        return str(target)
    beside = file.path.parent / str(value)
    return str(beside) if "://" not in str(value) and not Path(value).exists() and beside.exists() else value
