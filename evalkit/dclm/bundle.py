"""The published bundle of CORE: core.yaml (tasks, shots), eval_meta_data.csv (baselines) and eval_data/ (documents)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evalkit.data.readers import read_jsonl
from evalkit.data.sources import DataPaths, Row, Split
from evalkit.errors import DataError, NoDataError
from evalkit.files import hash_files, read_bytes

# The NAME in `--data NAME=FOLDER`, and the folder below EVALKIT_DATA.
NAME = "core"

SETTINGS, DOCUMENTS = "core.yaml", "eval_data"
# The tables of baselines: as published, which is needed, and with three tasks corrected, which may be there.
PUBLISHED, CORRECTED = "eval_meta_data.csv", "eval_meta_data_corrected.csv"
# Largest core.yaml and table; the published ones have under 4 kB.
_MOST = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A task of core.yaml, with its accuracies of a guess, 0 to 1.

    baselines: by the table's name, only of tables that are there.
    """

    label: str
    path: Path
    kind: str
    shots: int
    delimiter: str
    baselines: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class BundleSource:
    """The documents of one task. label: its name in core.yaml."""

    label: str
    name: str = NAME

    def rows(self, split: Split, data: DataPaths) -> Iterator[Row]:
        """Yield the documents in the order of the file; shots come from the same ones."""
        return read_jsonl([entry(self.label, data).path])

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        """Hash the file."""
        return hash_files(entry(self.label, data).path)[:16]

    def at_hand(self, data: DataPaths) -> str:
        """Return the file, or an empty text if there is none."""
        try:
            return str(entry(self.label, data).path)
        except NoDataError:
            return ""


def folder_of(data: DataPaths) -> Path:
    """Return the bundle's folder. Raises NoDataError where there is none, DataError where the named one is none."""
    folder = data.named.get(NAME) or (data.root / NAME if data.root else None)
    if folder is not None and (folder / SETTINGS).is_file():
        return folder
    where = f"{folder} holds no {SETTINGS}" if folder else f"no folder was named for {NAME}"
    raise (DataError if NAME in data.named else NoDataError)(
        f"{where}; give the unpacked evaluation bundle: --data {NAME}=FOLDER with {SETTINGS}, {PUBLISHED} and "
        f"{DOCUMENTS}/, or EVALKIT_DATA=FOLDER that holds it as {NAME}/"
    )


def entry(label: str, data: DataPaths) -> Entry:
    """Return a task of the bundle. Raises NoDataError where it is absent, DataError for files of another form."""
    folder = folder_of(data)
    settings = _settings(folder / SETTINGS)
    if label not in settings:
        raise NoDataError(f"{folder / SETTINGS} has no task {label}")
    keys = settings[label]
    place = f"{folder / SETTINGS}: {label}"
    uri, kind = keys.get("dataset_uri"), keys.get("icl_task_type")
    if not isinstance(uri, str) or not isinstance(kind, str):
        raise DataError(f"{place}: expected texts as dataset_uri and icl_task_type, found {uri!r} and {kind!r}")
    path = folder / DOCUMENTS / uri
    if not path.resolve().is_relative_to((folder / DOCUMENTS).resolve()):
        raise DataError(f"{place}: dataset_uri {uri!r} is outside of {DOCUMENTS}/")
    if not path.is_file():
        raise NoDataError(f"{label}: the bundle lacks {path}")
    shots, delimiter = keys.get("num_fewshot"), keys.get("continuation_delimiter", " ")
    if not (isinstance(shots, list) and len(shots) == 1 and type(shots[0]) is int and shots[0] >= 0):
        raise DataError(f"{place}: num_fewshot: expected a list of one whole number, found {shots!r}")
    if not isinstance(delimiter, str):
        raise DataError(f"{place}: continuation_delimiter: expected a text, found {delimiter!r}")
    tables = [name for name in (PUBLISHED, CORRECTED) if name == PUBLISHED or (folder / name).is_file()]
    baselines = {name: _baseline(folder / name, label) for name in tables}
    return Entry(label=label, path=path, kind=kind, shots=shots[0], delimiter=delimiter, baselines=baselines)


def _settings(path: Path) -> dict[str, Mapping[str, Any]]:
    """Read core.yaml: its tasks by label."""
    try:
        content = yaml.safe_load(read_bytes(path, DataError, most=_MOST))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid YAML ({str(error).partition(chr(10))[0]})") from None
    tasks = content.get("icl_tasks") if isinstance(content, dict) else None
    if not isinstance(tasks, list) or not all(isinstance(t, dict) and isinstance(t.get("label"), str) for t in tasks):
        raise DataError(f"{path}: expected icl_tasks, a list of tasks that each have a label")
    return {task["label"]: task for task in tasks}


def _baseline(path: Path, label: str) -> float:
    """Return a task's accuracy of a guess from a table in percent. Raises DataError where it has none below 100."""
    if not path.is_file():
        raise DataError(f"{path} is missing: without its baselines no accuracy can be centred")
    try:
        text = read_bytes(path, DataError, most=_MOST).decode()
        rows = list(csv.DictReader(io.StringIO(text)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a table in CSV ({error})") from None
    cells = [row.get("Random baseline") for row in rows if row.get("Eval Task") == label]
    try:
        [percent] = (float(cell or "") for cell in cells)
    except ValueError:
        raise DataError(
            f"{path}: expected one row with {label} as Eval Task and a number as Random baseline, found {cells}"
        ) from None
    if not (math.isfinite(percent) and 0 <= percent < 100):
        raise DataError(f"{path}: {label}: the Random baseline {percent:g} is not between 0 and 100")
    return 0.01 * percent
