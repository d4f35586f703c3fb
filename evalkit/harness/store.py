"""The run folder: manifest.json (what was asked), records.jsonl (every item), results.json (the aggregates).

Records are appended as they come (journal.py), so a killed run loses at most the unit of work in hand. results.json
holds nothing that differs between two runs of the same command, interrupted or not: times stand in the manifest.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from evalkit.errors import StoreError, cannot
from evalkit.files import canonical_json, digest, leftovers, make_folder, read_json, write_atomic
from evalkit.harness.journal import Journal, seal, unseal
from evalkit.types import Cell, Prompt, Record, Response, Result

log = logging.getLogger(__name__)

# Changed settings that the refusal of a run folder names.
_NAMED = 6
# The types that a field of a result may have in JSON, where they are not its own alone.
_ALSO = {"float": ("float", "int"), "float | None": ("float", "int", "NoneType")}


class RunStore:
    """Writes one run. Use as a context manager; opening a folder that holds the same run goes on with it.

    training: what is known of how the model came about, for reports; it decides no number and hinders no resumption.
    done: the records that the folder holds, once it is open. failed: tasks that could not be run, and why; of them
    nothing is aggregated.

    Raises StoreError when the folder cannot be written, holds a run with other settings, or is written by another
    process.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, training: Mapping[str, Any] | None = None):
        self.folder, self.settings, self.training = make_folder(folder), dict(settings), dict(training or {})
        self.done: dict[tuple[Cell, str], Record] = {}
        self.failed: dict[str, str] = {}
        self._journal = Journal(folder / "records.jsonl")
        if (folder / "manifest.json").exists():
            self._check_same()
        elif set(folder.iterdir()) - set(self._leftovers()):
            raise StoreError(f"{folder} is not empty and holds no run (no manifest.json); choose another --out")
        else:
            self._write_manifest({})

    def __enter__(self) -> RunStore:
        self._journal.__enter__()
        try:
            for path in self._leftovers():
                path.unlink(missing_ok=True)
            self.done = {record.key: record for record in self._journal.recover(record_from_json)}
        except BaseException:
            self._journal.__exit__()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._journal.__exit__()
        if kind and self.done:
            log.warning("%s finished items are kept in %s", f"{len(self.done):,}", self.folder)

    def append(self, records: Iterable[Record]) -> None:
        """Add records, as one batch. Raises DiskError when the disk is full."""
        new = {record.key: record for record in records}
        self._journal.append(seal(canonical_json(record_to_json(record))) for record in new.values())
        self.done |= new

    def finish(self, results: Sequence[Result], timing: Mapping[str, Any]) -> None:
        """Write results.json, and the times into the manifest."""
        self._journal.sync()
        rows = [{k: _plain(v) for k, v in asdict(result).items()} for result in results]
        whole = {"settings": self.settings, "results": rows, **({"failed": self.failed} if self.failed else {})}
        whole["checksum"] = _checksum(whole)
        body = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False)
        write_atomic(self.folder / "results.json", body + "\n")
        self._write_manifest(timing)

    def _leftovers(self) -> list[Path]:
        return leftovers(self.folder, "manifest.json", "records.jsonl", "results.json")

    def _write_manifest(self, timing: Mapping[str, Any]) -> None:
        body = {"settings": self.settings, "training": self.training, "timing": dict(timing)}
        write_atomic(self.folder / "manifest.json", json.dumps(body, indent=1, sort_keys=True) + "\n")

    def _check_same(self) -> None:
        changed = list(_differences(read_manifest(self.folder)["settings"], self.settings))
        if changed:
            more = f"; and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
            raise StoreError(
                f"{self.folder} holds a run with other settings ({'; '.join(changed[:_NAMED])}{more}); "
                f"choose another --out"
            )


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Yield "NAME: OLD -> NEW" for each setting that differs, parts of parts with dots between."""
    if old == new:
        return
    if not (isinstance(old, dict) and isinstance(new, dict)):
        yield f"{name}: {_short(old)} -> {_short(new)}"
        return
    for key in sorted(old.keys() | new.keys()):
        yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a run's manifest. Raises StoreError when it is missing or broken."""
    manifest = read_json(folder / "manifest.json", StoreError)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("settings"), dict):
        raise StoreError(f"{folder / 'manifest.json'}: not the manifest of a run")
    return manifest


def read_records(folder: Path) -> Iterator[Record]:
    """Yield a run's records. Raises StoreError naming the line that is broken."""
    for number, (_, raw) in enumerate(scan_records(folder), start=1):
        try:
            yield record_from_json(raw)
        except (KeyError, TypeError) as error:
            raise StoreError(f"{folder / 'records.jsonl'} line {number}: not a record ({error})") from None


def scan_records(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each record's place in bytes and its plain values, three times as fast as the records themselves.

    Raises StoreError when the file is missing or a line is damaged.
    """
    path, place = folder / "records.jsonl", 0
    try:
        file = path.open("rb")
    except OSError as error:
        raise cannot("read", path, error) from error
    with file:
        for number, line in enumerate(file, start=1):
            try:
                raw = unseal(line)
            except ValueError as error:
                raise StoreError(
                    f"{path} line {number}: not a record ({error}); the run's own command computes it again"
                ) from None
            yield place, raw
            place += len(line)


def read_record(folder: Path, place: int) -> Record:
    """Read the one record that starts at this byte, as scan_records gave it."""
    with (folder / "records.jsonl").open("rb") as file:
        file.seek(place)
        return record_from_json(unseal(file.readline()))


def read_results(folder: Path) -> list[Result]:
    """Read a finished run's aggregates. Raises StoreError when they are missing, damaged or edited.

    Results of older runs have no checksum and are read as they are.
    """
    path = folder / "results.json"
    raw = read_json(path, StoreError)
    if not isinstance(raw, dict) or raw.keys() - {"settings", "results", "failed", "checksum"}:
        raise StoreError(f"{path}: not the results of a run")
    if "checksum" in raw and raw.pop("checksum") != _checksum(raw):
        raise StoreError(f"{path} is damaged or was edited: its checksum does not fit; start the same run again")
    try:
        return [_result(row) for row in raw["results"]]
    except (KeyError, TypeError) as error:
        raise StoreError(f"{path}: not the results of a run ({error})") from None


def _checksum(results: Mapping[str, Any]) -> str:
    """Hash what results.json says, as it is read again: keys are texts, sequences lists."""
    return digest(canonical_json(json.loads(json.dumps(results))))


def _result(row: Mapping[str, Any]) -> Result:
    """Rebuild a result. Raises KeyError or TypeError for anything else."""
    result = Result(**{**row, **{name: _number(row[name]) for name in ("value", "low", "high")}})
    for field in fields(Result):
        value, kind = getattr(result, field.name), str(field.type)
        if type(value).__name__ not in _ALSO.get(kind, (kind,)):
            raise TypeError(f"{field.name} is {value!r:.60}")
    return result


def record_to_json(record: Record) -> dict[str, Any]:
    """Return a record as plain values (dataclasses.asdict would copy every list and text once more)."""
    fields = _fields(record)
    if not record.values:
        del fields["values"]  # few tasks have any
    return fields | {
        "cell": _fields(record.cell),
        "prompt": _fields(record.prompt),
        "responses": [_fields(response) for response in record.responses],
    }


def _fields(item: Cell | Prompt | Response | Record) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__slots__}


def record_from_json(raw: Mapping[str, Any]) -> Record:
    """Rebuild a record. Raises KeyError or TypeError for anything else."""
    fields = dict(raw)
    fields["cell"] = Cell(**raw["cell"])
    fields["prompt"] = Prompt(**{**raw["prompt"], "contexts": tuple(raw["prompt"]["contexts"])})
    fields["continuations"] = tuple(raw["continuations"])
    fields["responses"] = tuple(Response(**response) for response in raw["responses"])
    return Record(**fields)


def _plain(value: Any) -> Any:
    """Turn NaN and infinity, which JSON does not have, into null."""
    return None if isinstance(value, float) and value - value != 0 else value


def _number(value: float | None) -> float:
    """Undo _plain."""
    return float("nan") if value is None else value


def _short(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 60 else text[:57] + "..."
