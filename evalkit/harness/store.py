"""The run folder: manifest.json (what was asked), records.jsonl (every item), results.json (the aggregates).

Records are appended and flushed as they come, so a killed run loses at most the batch in hand. results.json holds
nothing that differs between two runs of the same command: times and machine stand in the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from evalkit.errors import StoreError
from evalkit.files import canonical_json, make_folder, read_json, write_atomic
from evalkit.types import Cell, Prompt, Record, Response, Result


class RunStore:
    """Writes one run. Use as a context manager; opening a folder that holds the same run goes on with it.

    training: what is known of how the model came about, for reports; it decides no number and hinders no resumption.

    Raises StoreError when the folder cannot be written or holds a run with other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, training: Mapping[str, Any] | None = None):
        self.folder, self.settings, self.training = make_folder(folder), dict(settings), dict(training or {})
        self._records = folder / "records.jsonl"
        if (folder / "manifest.json").exists():
            self._check_same()
        elif any(folder.iterdir()):
            raise StoreError(f"{folder} is not empty and holds no run (no manifest.json); choose another --out")
        else:
            self._write_manifest({})
        self.done: dict[tuple[Cell, str], Record] = {record.key: record for record in _recover(self._records)}
        self._file: IO[str] | None = None

    def __enter__(self) -> RunStore:
        try:
            self._file = self._records.open("a", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"cannot write {self._records}: {error.strerror}") from error
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file:
            self._file.close()

    def append(self, records: Iterable[Record]) -> None:
        """Add records and flush them. Raises StoreError when the disk is full."""
        assert self._file, "the store is not open"
        try:
            for record in records:
                self._file.write(canonical_json(record_to_json(record)) + "\n")
                self.done[record.key] = record
            self._file.flush()
        except OSError as error:
            raise StoreError(f"cannot write {self._records}: {error.strerror}; finished items are kept") from error

    def finish(self, results: Sequence[Result], timing: Mapping[str, Any]) -> None:
        """Write results.json, and the times into the manifest."""
        rows = [{k: _plain(v) for k, v in asdict(result).items()} for result in results]
        body = json.dumps({"settings": self.settings, "results": rows}, indent=1, sort_keys=True, ensure_ascii=False)
        write_atomic(self.folder / "results.json", body + "\n")
        self._write_manifest(timing)

    def _write_manifest(self, timing: Mapping[str, Any]) -> None:
        body = {"settings": self.settings, "training": self.training, "timing": dict(timing)}
        write_atomic(self.folder / "manifest.json", json.dumps(body, indent=1, sort_keys=True) + "\n")

    def _check_same(self) -> None:
        stored = read_manifest(self.folder)["settings"]
        changed = sorted(k for k in {*stored, *self.settings} if stored.get(k) != self.settings.get(k))
        if changed:
            detail = "; ".join(f"{k}: {_short(stored.get(k))} -> {_short(self.settings.get(k))}" for k in changed)
            raise StoreError(f"{self.folder} holds a run with other settings ({detail}); choose another --out")


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

    Raises StoreError when the file is missing or a line is not a JSON object.
    """
    path, place = folder / "records.jsonl", 0
    try:
        file = path.open("rb")
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    with file:
        for number, line in enumerate(file, start=1):
            try:
                raw = json.loads(line)
            except ValueError as error:
                raise StoreError(f"{path} line {number}: not a record ({error})") from None
            if not isinstance(raw, dict):
                raise StoreError(f"{path} line {number}: not a record")
            yield place, raw
            place += len(line)


def read_record(folder: Path, place: int) -> Record:
    """Read the one record that starts at this byte, as scan_records gave it."""
    with (folder / "records.jsonl").open("rb") as file:
        file.seek(place)
        return record_from_json(json.loads(file.readline()))


def read_results(folder: Path) -> list[Result]:
    """Read a finished run's aggregates. Raises StoreError when they are missing or broken."""
    raw = read_json(folder / "results.json", StoreError)
    try:
        return [Result(**{**row, **{k: _number(row[k]) for k in ("value", "low", "high")}}) for row in raw["results"]]
    except (KeyError, TypeError) as error:
        raise StoreError(f"{folder / 'results.json'}: not the results of a run ({error})") from None


def record_to_json(record: Record) -> dict[str, Any]:
    """Return a record as plain values (dataclasses.asdict would copy every list and text once more)."""
    return _fields(record) | {
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


def _recover(path: Path) -> Iterator[Record]:
    """Read what an earlier start left; a torn last line is cut off, its item will be computed again."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        write_atomic(path, whole)
    yield from read_records(path.parent)


def _plain(value: Any) -> Any:
    """Turn NaN and infinity, which JSON does not have, into null."""
    return None if isinstance(value, float) and value - value != 0 else value


def _number(value: float | None) -> float:
    """Undo _plain."""
    return float("nan") if value is None else value


def _short(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 60 else text[:57] + "..."
