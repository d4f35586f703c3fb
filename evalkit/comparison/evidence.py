"""What a comparison uses of a stored run: statistics per document, hashed ids, and the signature.

Statistics are always rounded to float32 (relative error 6e-8), so that a committed baseline holds exactly what a
comparison uses and a run equals its own baseline.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit import metrics
from evalkit.errors import EvalkitError, StoreError
from evalkit.files import digest
from evalkit.metrics.base import Array
from evalkit.runs.signature import Signature
from evalkit.runs.store import open_run
from evalkit.types import Result


class Key(NamedTuple):
    """The identity of a sheet. template: "" for the protocol's own wording."""

    task: str
    protocol: str
    shots: int
    template: str = ""

    def __str__(self) -> str:
        """Return the name used in messages."""
        return f"{label(self.task, self.template)} at {self.shots} shots"


def label(task: str, template: str) -> str:
    """Return the name of a task in tables, followed by the wording if it is not the protocol's own."""
    return f"{task} ({template})" if template else task


# Bits of a document's hashed id: few, because a baseline file stores them. Runs of the same documents resolve
# collisions alike; where documents differ, one in 400,000 may be mistaken for another of 10,000.
ID_BITS = 32

# Fields of a signature that may differ between compared runs, or that are read from the records instead.
_OF_THE_MODEL = ("model", "dtype", "evalkit", "limit", "shots", "seeds")


@dataclass(frozen=True, kw_only=True)
class Value:
    """A metric as the run reported it, in points; low and high may be NaN."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One task by one protocol and wording at one number of shots: a row per document, in the order of hashed ids.

    signature: the fields that two compared sheets must share. expected: documents that the run was to score.
    ids: (n,) hashed. clusters: (n,) numbers, equal for documents that share a passage.
    scored: (n, seeds). statistics: metric -> (n, seeds, k), zero where not scored; the first metric is the primary one.
    rules: metric -> everything besides its name that its value depends on.
    answers: a digest of all responses, equal for two models only if they compute the same; "" where it is unknown.
    names, places: of a run, not of a baseline file: the documents' ids, and (n, seeds) bytes in records.jsonl.
    """

    task: str
    family: str
    shots: int
    seeds: tuple[int, ...]
    signature: Mapping[str, str]
    expected: int
    ids: NDArray[np.uint64]
    clusters: NDArray[np.int64]
    scored: NDArray[np.bool_]
    statistics: Mapping[str, Array]
    rules: Mapping[str, str]
    values: Mapping[str, Value]
    protocol: str = ""
    template: str = ""
    answers: str = ""
    names: Sequence[str] = ()
    places: NDArray[np.int64] | None = None

    @property
    def key(self) -> Key:
        """The identity of the sheet."""
        return Key(self.task, self.protocol, self.shots, self.template)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A run or a baseline file. model: its name, hash and dtype. sheets: in the run's order of tasks.

    commit, date: what a baseline stands for, the commit's digits and a day (2026-11-30); "" where it is not recorded.
    """

    path: Path
    model: Mapping[str, str]
    evalkit: str
    sheets: Mapping[Key, Sheet]
    commit: str = ""
    date: str = ""

    @property
    def digest(self) -> str:
        """Return a digest of all scores."""
        total = hashlib.sha256()
        for key, sheet in self.sheets.items():
            total.update(str(key).encode())
            for values in (sheet.ids, sheet.scored, *sheet.statistics.values()):
                total.update(np.ascontiguousarray(values).tobytes())
        return total.hexdigest()[:16]


@dataclass
class _Rows:
    """The records of one sheet in the order of the file, as flat arrays.

    answers: a checksum of each record's responses. unlikely: some record has responses without any log-likelihood.
    """

    names: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    seeds: array[int] = field(default_factory=lambda: array("q"))
    places: array[int] = field(default_factory=lambda: array("q"))
    scored: array[int] = field(default_factory=lambda: array("b"))
    answers: array[int] = field(default_factory=lambda: array("Q"))
    unlikely: bool = False
    statistics: dict[str, array[float]] = field(default_factory=dict)

    def add(self, raw: Mapping[str, Any], place: int) -> None:
        """Add a record; a failed one has no statistics."""
        scores = raw["scores"]
        self.names.append(raw["doc_id"])
        self.clusters.append(raw["cluster"])
        self.seeds.append(raw["cell"]["seed"])
        self.places.append(place)
        self.scored.append(bool(scores))
        self.answers.append(_checksum(raw["responses"]))
        self.unlikely |= not any(response["loglikelihood"] for response in raw["responses"])
        for metric, statistics in scores.items():
            self.statistics.setdefault(metric, array("f")).extend(statistics)


def read_run(folder: Path) -> Evidence:
    """Read a finished run: its manifest, results and records. Raises StoreError for a folder without one."""
    run = open_run(folder)
    run.check_whole("a comparison")
    tasks, about = run.settings.get("tasks", {}), run.settings.get("model") or {}
    if not tasks or not {"model", "hash", "dtype"} <= about.keys() or "evalkit" not in run.settings:
        raise StoreError(f"{folder}: does not say which tasks and model ran, and by which evalkit")
    results: dict[Key, dict[str, Result]] = {}
    for result in run.results:
        # A group's mean has no documents of its own to compare.
        if result.source == "model" and not result.level and result.task in tasks:
            key = Key(result.task, result.protocol, result.shots, result.template)
            results.setdefault(key, {})[result.metric] = result
    rows: dict[Key, _Rows] = {}
    try:
        for place, raw in run.scan():
            cell = raw["cell"]
            if not cell.get("variant"):
                key = Key(cell["task"], cell["protocol"], cell["shots"], cell.get("template", ""))
                rows.setdefault(key, _Rows()).add(raw, place)
        sheets = {
            key: _sheet(
                rows.get(key, _Rows()), by_metric, documents=tasks[key.task].get("documents", 0), model=about["hash"]
            )
            for key, by_metric in results.items()
        }
        for sheet in sheets.values():
            check_statistics(sheet)
    except ValueError as error:  # statistics of different lengths, or of some documents only
        raise StoreError(f"{folder}: its records do not fit together ({error})") from None
    model = {name: about[name] for name in ("model", "hash", "dtype")}
    return Evidence(path=folder, model=model, evalkit=run.settings["evalkit"], sheets=sheets)


def _sheet(rows: _Rows, results: Mapping[str, Result], *, documents: int, model: str) -> Sheet:
    """Arrange the records of one sheet in a grid of documents and seeds.

    Metrics with empty statistics are left out: a task aggregates them itself, so they cannot be tested in pairs.
    """
    results = {name: result for name, result in results.items() if rows.statistics.get(name, True)}
    names = sorted(set(rows.names))
    hashes = hash_ids(names)
    order = np.argsort(hashes)
    place_of = {names[i]: row for row, i in enumerate(order)}
    seeds = sorted(set(rows.seeds))
    row = np.asarray([place_of[name] for name in rows.names], dtype=np.int64)
    column = np.searchsorted(np.asarray(seeds, dtype=np.int64), np.asarray(rows.seeds, dtype=np.int64))
    places = np.zeros((len(names), len(seeds)), dtype=np.int64)
    places[row, column] = rows.places
    answers = np.zeros((len(names), len(seeds)), dtype=np.uint64)
    answers[row, column] = rows.answers
    scored = np.zeros((len(names), len(seeds)), dtype=np.bool_)
    scored[row, column] = np.asarray(rows.scored, dtype=np.bool_)
    shared: dict[str | int, int] = {}
    clusters = np.zeros(len(names), dtype=np.int64)
    for i, name in sorted(zip(row.tolist(), rows.clusters, strict=True)):
        clusters[i] = shared.setdefault(name or i, len(shared))
    first = next(iter(results.values()))
    signatures = {metric: Signature.parse(result.signature) for metric, result in results.items()}
    succeeded = np.asarray(rows.scored, dtype=np.bool_)
    return Sheet(
        task=first.task, family=first.family, shots=first.shots, seeds=tuple(seeds),
        signature=_comparable(signatures[first.metric]), expected=documents, ids=hashes[order], clusters=clusters,
        scored=scored,
        statistics={m: _grid(rows.statistics.get(m), row[succeeded], column[succeeded], scored.shape) for m in results},
        rules={metric: signature.rule for metric, signature in signatures.items()},
        values={m: Value(value=r.value, low=r.low, high=r.high) for m, r in results.items()},
        protocol=first.protocol, template=first.template,
        # Texts agree by chance, likelihoods do not: where there are only texts, the model has to be the same.
        answers=digest(f"{answers.tolist()} {model if rows.unlikely else ''}"),
        names=tuple(names[i] for i in order), places=places,
    )  # fmt: skip


def _checksum(responses: Sequence[Mapping[str, Any]]) -> int:
    """Return a checksum of a record's responses: their texts and likelihoods."""
    answers = [f"{response['loglikelihood']!r} {response['text']}" for response in responses]
    return zlib.crc32("\0".join(answers).encode("utf-8", "surrogatepass"))


def _grid(
    flat: array[float] | None, row: NDArray[np.int64], column: NDArray[np.int64], shape: tuple[int, ...]
) -> Array:
    """Arrange a metric's statistics, in the order of the scored records, by document and seed -> (n, seeds, k)."""
    if not flat:
        return np.zeros((*shape, 1))
    values = np.asarray(flat, dtype=np.float64).reshape(len(row), -1)
    grid = np.zeros((*shape, values.shape[1]))
    grid[row, column] = values
    return grid


def check_statistics(sheet: Sheet) -> None:
    """Raise ValueError for a metric whose number of statistics per document is wrong."""
    for name, grid in sheet.statistics.items():
        try:
            metric = metrics.get(name, sheet.rules[name])
        except EvalkitError:
            continue  # of a task's own code or a later version; the error is reported where the metric is used
        try:
            with np.errstate(all="ignore"):
                metric.aggregate(np.ones((1, grid.shape[-1])), np.ones(1))
        except (IndexError, ValueError, TypeError):
            raise ValueError(f"{sheet.key}: {grid.shape[-1]} statistics per document are not those of {name}") from None


def _comparable(signature: Signature) -> dict[str, str]:
    """Return the fields that must agree between two runs."""
    return {name: value for name, value in signature.fields.items() if name not in _OF_THE_MODEL}


def hash_ids(names: Sequence[str]) -> NDArray[np.uint64]:
    """Hash different document ids to ID_BITS bits; of two that collide, the later is hashed again."""
    taken: set[int] = set()
    hashes = []
    for name in names:
        salted = name
        while (number := int.from_bytes(hashlib.sha256(salted.encode()).digest()[: ID_BITS // 8], "big")) in taken:
            salted += "\0"
        taken.add(number)
        hashes.append(number)
    return np.asarray(hashes, dtype=np.uint64)
