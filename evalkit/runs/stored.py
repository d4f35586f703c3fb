"""Reading a stored run: one typed way in, where everything that can be checked is checked.

The files of a run vouch for each other: records name their run by a digest of its settings; results.json holds a digest
of the records, its own settings and a checksum of all of it. Folders of older versions lack some of this; what they
have is checked. Anything that does not fit is a StoreError that names the file and the place.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import StoreError
from evalkit.files import canonical_json, digest, read_json
from evalkit.runs.formats import check_format
from evalkit.runs.journal import JOURNAL
from evalkit.runs.record_lines import checked_lines, digest_of_records, known_lines, record_of
from evalkit.runs.scores import Scores
from evalkit.runs.scores_file import Saved, find
from evalkit.runs.shapes import check, fits
from evalkit.types import Cell, Record, Result

log = logging.getLogger(__name__)

# No time stamp, in seconds, is later.
_LATEST = 1e11

_Rows = tuple[str, str, int, str]  # task, protocol, shots, template of a row of results


@dataclass(frozen=True, kw_only=True)
class AboutTask:
    """What settings say about a task; other fields are allowed."""

    metrics: Sequence[str]
    version: int = 0
    family: str = ""
    protocol: str = ""
    data: str = ""
    documents: int = 0


@dataclass(frozen=True, kw_only=True)
class AboutModel:
    """What settings say about a model; other fields are allowed."""

    model: str
    hash: str = ""
    dtype: str = ""


@dataclass(frozen=True, kw_only=True)
class AboutRun:
    """What settings say; other fields are allowed. draws: how often a fine-tuning drew its examples."""

    evalkit: str = ""
    model: AboutModel | None = None
    tasks: Mapping[str, AboutTask] = field(default_factory=dict)
    shots: Sequence[int | str] = ()
    seeds: Sequence[int] = ()
    limit: int | Mapping[str, int] | None = None
    draws: int = 0


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A run folder whose manifest and results are intact and belong together.

    settings: those behind its numbers, from results.json where that has a checksum. results: of a
    finished run. failed: tasks that could not be run, and why. saved: the columns beside the journal, if finished.
    """

    folder: Path
    settings: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, float] = field(default_factory=dict)
    results: Sequence[Result] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    finished: bool = False
    saved: Saved | None = field(default=None, repr=False, compare=False)

    def check_whole(self, purpose: str) -> None:
        """Raise StoreError where documents were drawn for estimates: difficult ones more often, so they are no subset.

        purpose: what needs all documents, or a plain subset of them.
        """
        drawn = [name for name, about in self.settings.get("tasks", {}).items() if "sample" in about]
        if drawn:
            raise StoreError(
                f"{self.folder} holds estimates (--estimate) from a part of the documents of {', '.join(drawn[:3])}"
                f"{', ...' if len(drawn) > 3 else ''}; {purpose} needs a run of all of them, or one with --limit"
            )

    def records(self) -> Iterator[Record]:
        """Yield the records, checked as `scan` does."""
        return (record_of(raw) for _, raw in self.scan())

    def scores(self) -> Scores:
        """Return the scores of all records: those saved beside the journal, and those of the lines that these lack.

        Raises StoreError as `scan` does.
        """
        scores, start = self._saved()
        deque(self._added(scores, start), maxlen=0)
        return scores

    def scan(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each record's place in bytes and its plain values, which is faster than building records.

        Raises StoreError, naming the line, for one that is damaged, of another run, of a cell outside the plan, a
        duplicate, or with more or fewer statistics of a metric than the others;
        and at the end for a task with more documents than planned.
        """
        scores, start = self._saved()
        yield from known_lines(self._journal, start) if start else ()
        yield from self._added(scores, start)

    @property
    def _journal(self) -> Path:
        return self.folder / JOURNAL

    def _saved(self) -> tuple[Scores, int]:
        """Return the scores that are saved beside the journal, and of how many of its bytes, which are as they were."""
        saved = self.saved if self.finished else find(self.folder, run=run_digest(self.settings))
        scores = saved.scores() if saved else None
        if saved is None or scores is None:
            return Scores(), 0
        planned = self._planned()
        for cell in scores.cells:
            if problem := self._outside(cell, planned):
                raise StoreError(f"{self._journal}: {problem}")
        return scores, saved.content.size

    def _added(self, scores: Scores, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Check the records from the byte `start` on and add them to the scores of the others; yield as `scan` does."""
        path, planned, run = self._journal, self._planned(), run_digest(self.settings)
        for number, place, raw in checked_lines(path, run, start=start, lines=len(scores), growing=not self.finished):
            record = record_of(raw)
            cell, task = record.cell, record.cell.task
            if cell not in scores.columns and (problem := self._outside(cell, planned)):
                raise StoreError(f"{path} line {number}: {problem}")
            if record.key in scores:
                name = f"document {record.doc_id!r:.60} of {task}"
                raise StoreError(f"{path} line {number}: a second record of {name}; start the same run again")
            try:
                scores.add(record, offset=place)
            except ValueError as error:
                raise StoreError(f"{path} line {number}: {error}") from None
            yield place, raw
        for task, documents in scores.documents.items():
            _check_count(path, task, len(documents.ids), self.settings)

    def _planned(self) -> set[_Rows]:
        return {(r.task, r.protocol, r.shots, r.template) for r in self.results}

    def _outside(self, cell: Cell, rows: set[_Rows]) -> str:
        """Return why a cell is not part of the run's plan; empty for one that is."""
        if "tasks" not in self.settings:
            return ""
        about = self.settings["tasks"].get(cell.task)
        if about is None:
            return f"a record of {cell.task!r:.60}, which is not one of the run's tasks"
        if cell.protocol != (protocol := about.get("protocol", cell.protocol)):
            return f"a record of {cell.task} by protocol {cell.protocol!r:.60}, not {protocol!r:.60}"
        seeds = self.settings.get("seeds", [cell.seed])
        if cell.seed not in seeds and not 0 <= cell.seed < self.settings.get("draws", 0):
            return f"a record of {cell.task} with seed {cell.seed}, which the run does not have"
        planned = {row for row in rows if row[0] == cell.task}
        if planned and (cell.task, cell.protocol, cell.shots, cell.template) not in planned:
            wording = f" and template {cell.template!r:.60}" if cell.template else ""
            return f"a record of {cell.task} with {cell.shots} shots{wording}, which the run does not have"
        return ""


def open_run(folder: Path, *, unfinished: bool = False) -> StoredRun:
    """Open a run folder. unfinished: accept one without results.json.

    Raises StoreError for a folder that holds no run, for a half-written, damaged or edited run, and for one whose
    records are not those that its results were made from. Where the manifest disagrees with results.json, which has a
    checksum, results.json counts and a warning says so.
    """
    manifest = read_manifest(folder)
    training, timing = _training_and_timing(folder, manifest)
    path = folder / "results.json"
    if not path.exists():
        if not unfinished:
            raise StoreError(
                f"{folder} is half-written: results.json is missing; start the same run again to finish it"
            )
        settings = _settings(folder / "manifest.json", manifest["settings"])
        return StoredRun(folder=folder, settings=settings, training=training, timing=timing)
    raw = _read_results(path)
    own = raw.get("settings", manifest["settings"]) if "checksum" in raw else manifest["settings"]
    settings = _settings(path if "checksum" in raw else folder / "manifest.json", own)
    if settings != manifest["settings"]:
        log.warning("%s was edited: its settings are not those of results.json, which count", folder / "manifest.json")
    results = _parsed(path, raw)
    _check_results(path, results, settings)
    saved = find(folder, run=run_digest(settings))
    if (
        "records" in raw
        and (folder / JOURNAL).exists()
        and raw["records"] != ((saved and saved.records) or digest_of_records(folder))
    ):
        raise StoreError(
            f"{folder / 'records.jsonl'} was changed: its records are not those that results.json was made from; "
            "start the same run again"
        )
    return StoredRun(
        folder=folder, settings=settings, results=results, failed=raw.get("failed", {}), finished=True,
        training=training, timing=timing, saved=saved,
    )  # fmt: skip


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a run's manifest. Raises StoreError when it is missing or broken, and for a folder of several runs."""
    if not folder.exists():
        raise StoreError(f"there is no run folder {folder}")
    inside = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
    if inside and not (folder / "manifest.json").exists():
        raise StoreError(
            f"{folder} is not a run, but holds the runs {', '.join(inside)}; choose one: {folder / inside[0]}"
        )
    if not folder.is_dir():
        raise StoreError(f"{folder} is a file; expected the folder of a run")
    if not (folder / "manifest.json").exists():
        raise StoreError(f"{folder} is no run folder: manifest.json is missing")
    manifest = read_json(folder / "manifest.json", StoreError)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("settings"), dict):
        raise StoreError(f"{folder / 'manifest.json'}: not the manifest of a run")
    check_format(manifest, folder / "manifest.json")
    return manifest


def read_results(folder: Path) -> list[Result]:
    """Read only the aggregates of a finished run. Raises StoreError when they are missing, damaged or edited.

    Results of older runs have no checksum and are read as they are.
    """
    path = folder / "results.json"
    return _parsed(path, _read_results(path))


def run_digest(settings: Mapping[str, Any]) -> str:
    """Return the digest of a run's settings, which its records carry."""
    return checksum(settings)


def checksum(value: Mapping[str, Any]) -> str:
    """Hash plain values as they would be read back from a file: keys are strings, sequences lists."""
    return digest(canonical_json(json.loads(json.dumps(value))))


def _read_results(path: Path) -> dict[str, Any]:
    raw = read_json(path, StoreError)
    if isinstance(raw, dict):
        check_format(raw, path)
    if not isinstance(raw, dict) or raw.keys() - {"format", "settings", "results", "failed", "records", "checksum"}:
        raise StoreError(f"{path}: not the results of a run")
    if "checksum" in raw and raw["checksum"] != checksum({k: v for k, v in raw.items() if k != "checksum"}):
        raise StoreError(f"{path} is damaged or was edited: its checksum does not fit; start the same run again")
    failed = raw.get("failed", {})
    if type(failed) is not dict or not all(type(reason) is str for reason in failed.values()):
        raise StoreError(f"{path}: not the results of a run (failed is {failed!r:.60})")
    return raw


def _parsed(path: Path, raw: Mapping[str, Any]) -> list[Result]:
    try:
        return [_result(row) for row in raw["results"]]
    except (KeyError, TypeError) as error:
        raise StoreError(f"{path}: not the results of a run ({error})") from None


def _result(row: Mapping[str, Any]) -> Result:
    """Build a result from plain values: null is NaN. Raises KeyError or TypeError for wrong values."""
    plain = {**row, **{name: float("nan") for name in ("value", "low", "high") if row[name] is None}}
    check(Result, plain)
    return Result(**plain)


def _settings(path: Path, raw: Any) -> dict[str, Any]:
    try:
        check(AboutRun, raw, extra=True)
    except TypeError as error:
        raise StoreError(f"{path}: not the settings of a run ({error})") from None
    return dict(raw)


def _training_and_timing(folder: Path, manifest: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Return what else the manifest holds, which affects no number: the training and the times."""
    path = folder / "manifest.json"
    training, timing = (manifest.get(name) or {} for name in ("training", "timing"))
    if type(training) is not dict:
        raise StoreError(f"{path}: training is {training!r:.60}")
    if not fits(Mapping[str, float])(timing) or not all(abs(figure) < _LATEST for figure in timing.values()):
        raise StoreError(f"{path}: timing is {timing!r:.60}")
    return training, timing


def _check_results(path: Path, results: Sequence[Result], settings: Mapping[str, Any]) -> None:
    seen = set()
    for row in results:
        key = (row.task, row.protocol, row.shots, row.template, row.metric, row.source, row.level)
        if key in seen:
            raise StoreError(f"{path}: {row.task} {row.metric} appears twice; start the same run again")
        seen.add(key)
        _check_count(path, row.task, max(row.n, row.failed), settings)


def _check_count(path: Path, task: str, documents: int, settings: Mapping[str, Any]) -> None:
    """Raise StoreError for more documents of a task than planned. The mean of a group is of no task, and passes."""
    about = settings.get("tasks", {}).get(task)
    if about is not None and documents > (planned := about.get("documents", documents)):
        raise StoreError(f"{path} holds {documents:,} documents of {task}, but the run's plan has {planned:,}")
