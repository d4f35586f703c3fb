"""What a comparison uses of a stored run: statistics per document, hashed ids, and the signature.

Statistics are always rounded to float32 (relative error 6e-8), so that a committed baseline holds exactly what a
comparison uses and a run equals its own baseline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit import metrics
from evalkit.errors import EvalkitError, StoreError
from evalkit.files import digest
from evalkit.metrics.base import Array
from evalkit.runs.columns import OWN, Documents, Ints, as_ints
from evalkit.runs.scores import Scores
from evalkit.runs.signature import Signature
from evalkit.runs.store import open_run
from evalkit.types import Cell, Result


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
    scores = run.scores()
    cells: dict[Key, list[Cell]] = {}
    for cell in scores.cells:
        if not cell.variant:
            cells.setdefault(Key(cell.task, cell.protocol, cell.shots, cell.template), []).append(cell)
    try:
        sheets = {
            key: _sheet(
                _Rows.of(scores, key.task, cells.get(key, [])), by_metric,
                documents=tasks[key.task].get("documents", 0), model=about["hash"],
            )
            for key, by_metric in results.items()
        }  # fmt: skip
        for sheet in sheets.values():
            check_statistics(sheet)
    except ValueError as error:  # statistics of different lengths, or of some documents only
        raise StoreError(f"{folder}: its records do not fit together ({error})") from None
    model = {name: about[name] for name in ("model", "hash", "dtype")}
    return Evidence(path=folder, model=model, evalkit=run.settings["evalkit"], sheets=sheets)


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """The records of one sheet, as columns in any order.

    documents: of the task. numbers: of each record's document. seeds, offsets, answers, scored: of each record.
    statistics: metric -> the rows that have it and their (m, k) statistics. unlikely: as in CellColumns, of any record.
    """

    documents: Documents
    numbers: Ints
    seeds: Ints
    offsets: Ints
    answers: Ints
    scored: NDArray[np.bool_]
    statistics: Mapping[str, tuple[Ints, Array]]
    unlikely: bool

    @classmethod
    def of(cls, scores: Scores, task: str, cells: Sequence[Cell]) -> _Rows:
        """Join the columns of cells that differ in their seed."""
        columns = [scores.columns[cell] for cell in cells]
        starts = np.cumsum([0, *map(len, columns)]).tolist()
        parts: dict[str, list[tuple[Ints, Array]]] = {}
        for start, each in zip(starts, columns, strict=False):
            for (source, metric), column in each.statistics.items():
                if source == OWN:
                    rows, table = column.table()
                    parts.setdefault(metric, []).append((start + rows, table))
        return cls(
            documents=scores.documents.get(task, Documents()),
            numbers=_joined([each.documents for each in columns]),
            seeds=np.repeat(as_ints([cell.seed for cell in cells]), [len(each) for each in columns]),
            offsets=_joined([each.offsets for each in columns]), answers=_joined([each.answers for each in columns]),
            scored=np.concatenate([np.zeros(0, dtype=np.bool_), *(each.scored for each in columns)]),
            statistics={
                metric: (np.concatenate([rows for rows, _ in its]), np.concatenate([table for _, table in its]))
                for metric, its in parts.items()
            },
            unlikely=any(each.unlikely for each in columns),
        )  # fmt: skip


def _joined(parts: Sequence[Sequence[int]]) -> Ints:
    return np.concatenate([as_ints(()), *map(as_ints, parts)])


def _sheet(rows: _Rows, results: Mapping[str, Result], *, documents: int, model: str) -> Sheet:
    """Arrange the records of one sheet in a grid of documents and seeds.

    Metrics with empty statistics are left out: a task aggregates them itself, so they cannot be tested in pairs.
    """
    results = {
        name: result
        for name, result in results.items()
        if name not in rows.statistics or rows.statistics[name][1].shape[1]
    }
    present = sorted(set(rows.numbers.tolist()), key=rows.documents.ids.__getitem__)
    hashes = hash_ids([rows.documents.ids[number] for number in present])
    order = np.argsort(hashes)
    chosen = as_ints(present)[order]  # the number of each row's document
    row_of = np.zeros(len(rows.documents.ids), dtype=np.int64)
    row_of[chosen] = np.arange(len(chosen))
    row = row_of[rows.numbers]
    seeds, column = np.unique(rows.seeds, return_inverse=True)
    shape = (len(chosen), len(seeds))
    places, answers = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.uint64)
    scored = np.zeros(shape, dtype=np.bool_)
    places[row, column], answers[row, column], scored[row, column] = rows.offsets, rows.answers, rows.scored
    shared: dict[str | int, int] = {}
    names = [rows.documents.clusters[number] for number in chosen.tolist()]
    clusters = as_ints([shared.setdefault(name or i, len(shared)) for i, name in enumerate(names)])
    first = next(iter(results.values()))
    signatures = {metric: Signature.parse(result.signature) for metric, result in results.items()}
    return Sheet(
        task=first.task, family=first.family, shots=first.shots, seeds=tuple(seeds.tolist()),
        signature=_comparable(signatures[first.metric]), expected=documents, ids=hashes[order], clusters=clusters,
        scored=scored,
        statistics={name: _grid(rows.statistics.get(name), row, column, scored) for name in results},
        rules={metric: signature.rule for metric, signature in signatures.items()},
        values={m: Value(value=r.value, low=r.low, high=r.high) for m, r in results.items()},
        protocol=first.protocol, template=first.template,
        # Texts agree by chance, likelihoods do not: where there are only texts, the model has to be the same.
        answers=digest(f"{answers.tolist()} {model if rows.unlikely else ''}"),
        names=tuple(rows.documents.ids[number] for number in chosen.tolist()), places=places,
    )  # fmt: skip


def _grid(statistics: tuple[Ints, Array] | None, row: Ints, column: Ints, scored: NDArray[np.bool_]) -> Array:
    """Arrange a metric's statistics by document and seed, rounded -> (n, seeds, k).

    row, column: of each record. Raises ValueError where some of the scored records have no statistics of it.
    """
    if statistics is None:
        return np.zeros((*scored.shape, 1))
    rows, table = statistics
    if len(rows) != scored.sum():
        raise ValueError(f"{len(rows)} statistics of {scored.sum()} scored records")
    grid = np.zeros((*scored.shape, table.shape[1]))
    with np.errstate(over="ignore"):
        grid[row[rows], column[rows]] = table.astype(np.float32)
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
        while (
            number := int.from_bytes(
                hashlib.sha256(salted.encode("utf-8", "surrogatepass")).digest()[: ID_BITS // 8], "big"
            )
        ) in taken:
            salted += "\0"
        taken.add(number)
        hashes.append(number)
    return np.asarray(hashes, dtype=np.uint64)
