"""Records as the lines of records.jsonl: written from a record, and read back, each checked by type."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

import numpy as np

from evalkit.errors import StoreError, cannot
from evalkit.files import digest
from evalkit.runs.journal import JOURNAL, open_lines, read_lines, unseal
from evalkit.runs.shapes import check
from evalkit.types import Cell, Prompt, Record, Response


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
    names, row = _ROWS[type(item)]
    return dict(zip(names, row(item), strict=True))


_ROWS: Mapping[type, tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]] = {
    kind: (names, attrgetter(*names))
    for kind in (Cell, Prompt, Response, Record)
    if (names := tuple(each.name for each in fields(kind)))
}


def read_records(folder: Path) -> Iterator[Record]:
    """Yield the records of a folder, of any run. Raises StoreError naming the line that is broken."""
    return (record_of(raw) for _, _, raw in checked_lines(folder / JOURNAL, ""))


def read_record(folder: Path, place: int) -> Record:
    """Read the one record that starts at this byte, as `StoredRun.scan` gave it."""
    with open_lines(folder / JOURNAL) as file:
        return record_at(folder, file, place)


def record_at(folder: Path, file: IO[bytes], place: int) -> Record:
    """Read the record that starts at this byte of a run's open journal, as `StoredRun.scan` or `scores` checked it.

    Raises StoreError where there is none.
    """
    file.seek(place)
    return record_of(_at(folder / JOURNAL, place, file.readline()))


def _at(path: Path, place: int, line: bytes) -> dict[str, Any]:
    """Return the plain values of the record in a line that is known to be one."""
    try:
        raw = unseal(line)
        check(Record, raw)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{path}: no record at byte {place} ({error}); was the file changed meanwhile?") from None
    return raw


def record_from_json(raw: Mapping[str, Any]) -> Record:
    """Build a record from plain values. Raises TypeError for values that are not a record's."""
    check(Record, raw)
    return record_of(raw)


def record_of(raw: Mapping[str, Any]) -> Record:
    """Build a record from plain values that have been checked."""
    fields = dict(raw)
    fields["cell"] = _cell(**raw["cell"])
    fields["prompt"] = Prompt(**{**raw["prompt"], "contexts": tuple(raw["prompt"]["contexts"])})
    fields["continuations"] = tuple(raw["continuations"])
    fields["responses"] = tuple(Response(**response) for response in raw["responses"])
    return Record(**fields)


@lru_cache(maxsize=256)
def _cell(**fields: Any) -> Cell:
    """Return the one cell with these fields, which many records share."""
    return Cell(**fields)


def digest_of_records(folder: Path) -> str:
    """Hash a run's records, independently of their order. Raises StoreError when they cannot be read."""
    path = folder / JOURNAL
    if not path.exists():
        return digest("")
    digests = bytearray()
    with open_lines(path) as file:
        for line in file:
            digests += hashlib.sha256(line).digest()
    np.frombuffer(digests, dtype="S32").sort()  # in place
    return hashlib.sha256(digests).hexdigest()[:16]


def checked_lines(
    path: Path, run: str, *, start: int = 0, lines: int = 0, growing: bool = False
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield (number, place in bytes, plain values of a record) of each line. start, lines: what comes before the first.

    growing: a process may be writing the file, so its last line may be there in part, and is then left out.

    Raises StoreError naming the line that is no record of this run.
    """
    place = start
    with open_lines(path) as file:
        try:
            for number, (line, raw, _) in enumerate(read_lines(file, run, start=start), start=lines + 1):
                if growing and not line.endswith(b"\n"):
                    return
                try:
                    if isinstance(raw, ValueError):
                        raise raw
                    check(Record, raw)
                except (TypeError, ValueError) as error:
                    raise StoreError(
                        f"{path} line {number}: not a record of this run ({error}); its own command computes it again"
                    ) from None
                yield number, place, raw
                place += len(line)
        except OSError as error:
            raise cannot("read", path, error) from error


def known_lines(path: Path, size: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (place in bytes, plain values) of the records in the first `size` bytes, whose hash has been checked.

    Raises StoreError where there are others by now.
    """
    place = 0
    with open_lines(path) as file:
        while place < size:
            line = file.readline()
            yield place, _at(path, place, line)
            place += len(line)
