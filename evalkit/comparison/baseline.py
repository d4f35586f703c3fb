"""Baseline files: what a comparison needs to know about a run, small enough to be committed.

A file is JSON. Documents are stored as hashed ids in order, once for all sheets that share them, and statistics as
packed columns, each once. A checksum detects edited and damaged files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from evalkit.comparison.evidence import Evidence, Sheet, Value, check_statistics, read_run
from evalkit.comparison.packing import pack, pack_ids, unpack, unpack_ids
from evalkit.errors import StoreError
from evalkit.files import canonical_json, digest, make_folder, parse_json, read_json, write_atomic
from evalkit.metrics.base import Array
from evalkit.runs.remote import Url, fetch
from evalkit.runs.shapes import check

T = TypeVar("T")

FORMAT = "evalkit baseline"
VERSION = 2
# In version 1, a sheet's protocol and wording are in its signature only.
_READ = (1, 2)

_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, kw_only=True)
class _Model:
    model: str
    hash: str
    dtype: str


@dataclass(frozen=True, kw_only=True)
class _Documents:
    count: int
    ids: str
    clusters: str | None


@dataclass(frozen=True, kw_only=True)
class _Metric:
    """columns: for each seed, the places of its columns."""

    name: str
    rule: str
    value: float | None
    low: float | None
    high: float | None
    columns: Sequence[Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """documents, scored: places in the lists of the file; one for all documents, one per seed."""

    task: str
    family: str
    shots: int
    seeds: Sequence[int]
    signature: Mapping[str, str]
    expected: int
    documents: int
    scored: Sequence[int]
    metrics: Sequence[_Metric]
    protocol: str = ""
    template: str = ""
    answers: str = ""


@dataclass(frozen=True, kw_only=True)
class _File:
    """The types that a file's values must have before anything is built from them."""

    format: str
    version: int
    evalkit: str
    model: _Model
    sheets: Sequence[_Sheet]
    documents: Sequence[_Documents]
    columns: Sequence[str]
    commit: str = ""
    date: str = ""


def wrong_record(commit: str, date: str) -> str:
    """Return what is wrong with a commit or a day that a baseline is to record; empty where both can be."""
    if commit and not _COMMIT.fullmatch(commit):
        return f"commit {commit!r:.60}: expected 7 to 64 hexadecimal digits"
    if date and not _DAY.fullmatch(date):
        return f"date {date!r:.60}: expected a day such as 2026-11-30"
    return ""


def read(at: Path | Url) -> Evidence:
    """Read a run folder, also at a URL, or a baseline file. Raises StoreError for anything else."""
    path = fetch(at)
    return read_run(path) if path.is_dir() or not path.exists() else read_baseline(path)


def save(evidence: Evidence, path: Path) -> int:
    """Write a baseline file and return its size in bytes."""
    documents, columns = _Shelf(), _Shelf()
    sheets = [_sheet_to_json(sheet, documents, columns) for sheet in evidence.sheets.values()]
    body = {
        "format": FORMAT,
        "version": VERSION,
        "evalkit": evidence.evalkit,
        "model": dict(evidence.model),
        "sheets": sheets,
        "documents": documents.items,
        "columns": columns.items,
        **({"commit": evidence.commit} if evidence.commit else {}),
        **({"date": evidence.date} if evidence.date else {}),
    }
    make_folder(path.parent)
    content = json.dumps(body | {"checksum": digest(canonical_json(body))}, indent=1, ensure_ascii=False) + "\n"
    write_atomic(path, content)
    return len(content.encode())


def read_baseline(path: Path) -> Evidence:
    """Read a baseline file. Raises StoreError for one that is cut, damaged or of a later version, or no baseline."""
    return _evidence(read_json(path, StoreError), path)


def parse(content: bytes, path: Path) -> Evidence:
    """Read the content that a baseline file has or had. Raises StoreError as read_baseline does."""
    return _evidence(parse_json(content, path, StoreError), path)


def _evidence(raw: Any, path: Path) -> Evidence:
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise StoreError(f"{path} is neither a run folder nor a baseline file (evalkit baseline save makes one)")
    if raw.get("version") not in _READ:
        raise StoreError(
            f"{path} is a baseline of version {raw.get('version')}, this evalkit reads version {VERSION} and older; "
            "save it again, or use the evalkit that wrote it"
        )
    checksum = raw.pop("checksum", None)
    if checksum != digest(canonical_json(raw)):
        raise StoreError(f"{path} is damaged or was edited: its checksum does not fit; save it again")
    try:
        check(_File, raw)
        sheets = [_sheet_from_json(sheet, raw["documents"], raw["columns"]) for sheet in raw["sheets"]]
        by_key = {sheet.key: sheet for sheet in sheets}
        if len(by_key) < len(sheets):
            raise ValueError("a task appears twice")
        if wrong := wrong_record(raw.get("commit", ""), raw.get("date", "")):
            raise ValueError(wrong)
        for sheet in sheets:
            check_statistics(sheet)
        return Evidence(
            path=path, model=raw["model"], evalkit=raw["evalkit"], sheets=by_key, commit=raw.get("commit", ""),
            date=raw.get("date", ""),
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        raise StoreError(f"{path} is not a whole baseline file ({error}); save it again") from None


@dataclass
class _Shelf:
    """Items that are stored once and referred to by their place."""

    items: list[Any] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def put(self, key: str, make: Callable[[], Any]) -> int:
        """Return the place of the item with this key; make it if it is new."""
        if key not in self.places:
            self.places[key] = len(self.items)
            self.items.append(make())
        return self.places[key]


def _sheet_to_json(sheet: Sheet, documents: _Shelf, columns: _Shelf) -> dict[str, Any]:
    def column(values: Array, before: Array | None = None) -> int:
        packed = pack(values, before=before)
        return columns.put(packed, lambda: packed)

    def row(values: Array) -> list[int]:
        return [column(now, before) for before, now in zip([None, *values], values, strict=False)]

    def table() -> dict[str, Any]:
        apart = len(np.unique(sheet.clusters)) == len(sheet.ids)
        clusters = None if apart else pack(sheet.clusters.astype(float))
        return {"count": len(sheet.ids), "ids": pack_ids(sheet.ids), "clusters": clusters}

    return {
        "task": sheet.task,
        "family": sheet.family,
        "protocol": sheet.protocol,
        "shots": sheet.shots,
        "template": sheet.template,
        "seeds": list(sheet.seeds),
        "signature": dict(sheet.signature),
        "expected": sheet.expected,
        "answers": sheet.answers,
        "documents": documents.put(digest(f"{sheet.ids.tolist()} {sheet.clusters.tolist()}"), table),
        "scored": [column(seed.astype(float)) for seed in sheet.scored.T],
        "metrics": [
            {"name": name, "rule": sheet.rules[name], **_value_to_json(sheet.values[name])}
            | {"columns": [row(seed) for seed in np.moveaxis(grid, 0, -1)]}
            for name, grid in sheet.statistics.items()
        ],
    }


def _sheet_from_json(raw: Mapping[str, Any], documents: list[dict[str, Any]], columns: list[str]) -> Sheet:
    about = _at(documents, raw["documents"])
    n, ids = about["count"], unpack_ids(about["ids"], about["count"])
    clusters = np.arange(n) if about["clusters"] is None else unpack(about["clusters"], n).astype(np.int64)

    def row(places: Sequence[int]) -> Array:
        unpacked: list[Array] = []
        for place in places:
            unpacked.append(unpack(_at(columns, place), n, before=unpacked[-1] if unpacked else None))
        return np.asarray(unpacked)

    seeds = raw["seeds"]
    counts = {len(raw["scored"]), *(len(metric["columns"]) for metric in raw["metrics"])}
    if counts != {len(seeds)} or seeds != sorted(set(seeds)) or not raw["metrics"]:
        raise ValueError(f"{raw['task']}: seeds {seeds} are not those of its columns")
    if not all(len({len(seed) for seed in m["columns"]} - {0}) == 1 and all(m["columns"]) for m in raw["metrics"]):
        raise ValueError(f"{raw['task']}: a metric without columns, or with more of them for one seed")
    # (seeds, k, n) in the file, (n, seeds, k) in memory.
    grids = {m["name"]: np.moveaxis(np.asarray([row(seed) for seed in m["columns"]]), -1, 0) for m in raw["metrics"]}
    return Sheet(
        task=raw["task"], family=raw["family"], shots=raw["shots"], seeds=tuple(raw["seeds"]),
        signature=raw["signature"], expected=raw["expected"], ids=ids,
        clusters=clusters,
        scored=np.asarray([unpack(_at(columns, i), n) for i in raw["scored"]]).T.astype(np.bool_),
        statistics=grids, rules={metric["name"]: metric["rule"] for metric in raw["metrics"]},
        values={metric["name"]: _value_from_json(metric) for metric in raw["metrics"]},
        protocol=raw.get("protocol", raw["signature"].get("protocol", "")),
        template=raw.get("template", raw["signature"].get("template", "")), answers=raw.get("answers", ""),
    )  # fmt: skip


def _at(items: Sequence[T], place: int) -> T:
    """Return the item at a place. Raises ValueError for a place that does not exist, negative ones included."""
    if not 0 <= place < len(items):
        raise ValueError(f"place {place} of {len(items)}")
    return items[place]


def _value_to_json(value: Value) -> dict[str, float | None]:
    figures = {"value": value.value, "low": value.low, "high": value.high}
    return {name: float(f"{x:.9g}") if math.isfinite(x) else None for name, x in figures.items()}


def _value_from_json(raw: Mapping[str, Any]) -> Value:
    value, low, high = (math.nan if raw[name] is None else float(raw[name]) for name in ("value", "low", "high"))
    return Value(value=value, low=low, high=high)
