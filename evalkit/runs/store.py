"""The run folder: manifest.json (what was asked), records.jsonl (every item), results.json (the aggregates).

Records are appended as they come (journal.py), so a killed run loses at most the unit of work in hand. Each line names
the run by a digest of its settings. results.json holds the settings, the aggregates, a digest of the records that they
were made from, and a checksum. It is the same for two runs of the same command, interrupted or not: times are in the
manifest. scores.npz (scores_file.py) is a copy of the records' numbers. stored.py reads such a folder.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evalkit.errors import StoreError
from evalkit.files import canonical_json, leftovers, make_folder, write_atomic
from evalkit.runs.formats import FORMAT
from evalkit.runs.journal import JOURNAL, RUN_FILES, Journal, seal
from evalkit.runs.record_lines import (
    digest_of_records,
    read_record,
    read_records,
    record_from_json,
    record_to_json,
)
from evalkit.runs.scores import Scores
from evalkit.runs.scores_file import Content, load, save
from evalkit.runs.stored import (
    StoredRun,
    checksum,
    open_run,
    read_manifest,
    read_results,
    run_digest,
)
from evalkit.types import Cell, Record, Result

__all__ = [
    "Finished",
    "RunStore",
    "StoredRun",
    "open_run",
    "read_manifest",
    "read_record",
    "read_records",
    "read_results",
    "record_to_json",
]

log = logging.getLogger(__name__)

# What a project's configuration file contributes to the command at work, which manifests say; no number depends on it.
standing: ContextVar[Mapping[str, Any]] = ContextVar("standing", default=MappingProxyType({}))
# How many changed settings the refusal of a run folder names.
_NAMED = 6
# Scores are saved when the journal is this much longer than the last time: a factor, and bytes.
_GROWTH, _LEAST = 1.25, 64 << 20


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Records as they are stored: the lines of the journal, and their scores with the offsets within these lines."""

    lines: bytes
    scores: Scores

    @classmethod
    def of(cls, records: Iterable[Record], *, run: str) -> Finished:
        """Make the lines of records, each document once per cell. run: the digest that they carry."""
        new = {record.key: record for record in records}
        lines, scores, offset = [], Scores(), 0
        for record in new.values():
            lines.append(seal(canonical_json(record_to_json(record)), run))
            scores.add(record, offset=offset)
            offset += len(lines[-1])
        return cls(lines=b"".join(lines), scores=scores)


class RunStore:
    """Writes one run. Use as a context manager; entering it with a folder that holds the same run continues that.

    training: what is known of how the model was trained, for reports; it affects no number and does not prevent a
    resume. done: the scores of the records that the folder holds, once it is open. failed: tasks that could not be run,
    and why; they are not aggregated.

    Entering raises StoreError when the folder cannot be written, holds a run with other settings, or is written by
    another process.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, training: Mapping[str, Any] | None = None):
        self.folder, self.settings, self.training = folder, dict(settings), dict(training or {})
        self.done = Scores()
        self.failed: dict[str, str] = {}
        self.run = run_digest(settings)
        self._journal = Journal(folder / JOURNAL, run=self.run)
        self._content = Content(folder / JOURNAL)
        self._saved = 0  # bytes of the journal whose scores are saved
        self._digest = ""  # of these records, once the run has been finished

    def __enter__(self) -> RunStore:
        make_folder(self.folder)
        self._journal.__enter__()
        try:
            self._begin()
            self._recover()
        except BaseException:
            self._journal.__exit__()
            raise
        return self

    def _begin(self) -> None:
        """Check that the folder holds this run, or write its manifest; of two that begin at once, one gets here."""
        leftover, begun = self._leftovers(), (self.folder / "manifest.json").exists()
        if begun:
            self._check_same()
        elif set(self.folder.iterdir()) - set(leftover):
            raise StoreError(f"{self.folder} is not empty and holds no run (no manifest.json); choose another --out")
        for path in leftover:
            path.unlink(missing_ok=True)
        if not begun:
            self._write_manifest({})

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._journal.__exit__()
        if kind and self.done:
            log.warning("%s finished items are kept in %s", f"{len(self.done):,}", self.folder)

    def append(self, records: Iterable[Record]) -> None:
        """Add records, as one batch. Raises DiskError when the disk is full."""
        self.write(Finished.of(records, run=self.run))

    def write(self, finished: Finished) -> None:
        """Add records that are lines already, of documents that are not done.

        Raises DiskError as `append` does, and ValueError for other numbers of statistics than those of the others.
        """
        self.done.check_widths(finished.scores)  # before the lines are there, which would be refused
        start = self._journal.size
        self._journal.append([finished.lines])
        self.done.update(finished.scores, start=start)
        if self._journal.size > _LEAST + _GROWTH * self._saved:
            self._save()

    def check_plan(self, planned: Mapping[Cell, Collection[str]]) -> None:
        """Raise StoreError naming a record of a cell or a document that is not part of the run.

        planned: the ids of the documents of each cell.
        """
        if beyond := self.done.beyond(planned):
            cell, name = beyond
            what = f"document {name!r:.60} of {cell.task}" if cell in planned else _named(cell)
            path = self.folder / JOURNAL
            raise StoreError(f"{path} holds {what}, which is none of this run's; choose another --out")

    def _recover(self) -> None:
        """Take the records of earlier starts: the scores that are saved, and the lines that came after them."""
        if saved := load(self.folder, run=self.run):
            self.done, (self._content, self._digest) = saved[0], (saved[1].content, saved[1].records)
        self._saved = self._content.size
        self._journal.recover(self._add, start=self._saved, lines=len(self.done))

    def _add(self, raw: Mapping[str, Any], offset: int) -> None:
        """Take an earlier start's record. Raises ValueError for a second one of a document: the first counts."""
        record = record_from_json(raw)
        if record.key in self.done:
            raise ValueError(f"a second record of document {record.doc_id!r:.60} of {_named(record.cell)}")
        self.done.add(record, offset=offset)

    def _save(self, *, records: str = "") -> None:
        """Save the scores of all records beside them. What can be made from the journal again may be missing.

        records: the digest of the records, if they are all there.
        """
        if self._journal.size == self._saved:
            return
        self._saved, self._digest = self._journal.size, records
        try:
            save(self.folder, self.done, self._content, run=self.run, size=self._saved, records=records)
        except StoreError as error:
            log.warning("%s; the run is complete without it", error)

    def finish(self, results: Sequence[Result], timing: Mapping[str, Any]) -> None:
        """Write results.json, and add the times to the manifest."""
        self._journal.sync()
        rows = [{k: _plain(v) for k, v in asdict(result).items()} for result in results]
        body = {"settings": self.settings, "results": rows, **({"failed": self.failed} if self.failed else {})}
        if not self._digest or self._journal.size != self._saved:
            self._digest, self._saved = digest_of_records(self.folder), 0
        body["records"] = self._digest
        body["checksum"] = checksum(body)
        text = json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False)
        write_atomic(self.folder / "results.json", text + "\n")
        self._write_manifest(timing)
        self._save(records=self._digest)

    def _leftovers(self) -> list[Path]:
        return leftovers(self.folder, *RUN_FILES)

    def _write_manifest(self, timing: Mapping[str, Any]) -> None:
        body: dict[str, Any] = {"format": FORMAT, "settings": self.settings, "training": self.training}
        body["timing"] = dict(timing)
        if configuration := standing.get():
            body["configuration"] = dict(configuration)
        write_atomic(self.folder / "manifest.json", json.dumps(body, indent=1, sort_keys=True) + "\n")

    def _check_same(self) -> None:
        changed = list(differences(read_manifest(self.folder)["settings"], self.settings))
        if changed:
            others = f"; and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
            raise StoreError(
                f"{self.folder} holds a run with other settings ({'; '.join(changed[:_NAMED])}{others}); "
                f"choose another --out"
            )


def differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Yield "NAME: OLD -> NEW" for each setting that differs; nested names are joined with dots."""
    if old == new:
        return
    if not (isinstance(old, dict) and isinstance(new, dict)):
        yield f"{name}: {_short(old)} -> {_short(new)}"
        return
    for key in sorted(old.keys() | new.keys()):
        yield from differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)


def _named(cell: Cell) -> str:
    details = "".join(f", {part}" for part in (cell.variant, cell.template) if part)
    return f"{cell.task} ({cell.protocol}, {cell.shots} shots, seed {cell.seed}{details})"


def _plain(value: Any) -> Any:
    """Turn NaN and infinity, which JSON does not have, into null."""
    return None if isinstance(value, float) and value - value != 0 else value


def _short(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 60 else text[:57] + "..."
