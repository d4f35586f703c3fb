"""What every report is made from: one measurement per model, task, shots and metric, whatever its source."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit import metrics
from evalkit.errors import DataError, EvalkitError, StoreError, UsageError
from evalkit.files import read_json
from evalkit.plugins import Registry, later
from evalkit.report import unfinished_runs
from evalkit.report.models import ModelFacts, last_checkpoints, model_facts
from evalkit.runs.remote import Url, fetch
from evalkit.runs.signature import Signature
from evalkit.runs.store import open_run
from evalkit.stats.intervals import NORMAL, binomial
from evalkit.types import Result


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One value with its 95% interval (NaN where unknown).

    value, low, high and chance are as shown: raw value x scale (100 for percentages). ceiling: the best possible value,
    or None. source: "model", "control:NAME" or "baseline:NAME". level: a slice of the documents, "" for all.
    shots: examples in the prompt, None where unknown. n: scored documents, 0 where unknown. origin: the run folder
    or file that it was read from. template: a further wording of the prompt. task_in_run: the task's name in the run,
    where the report uses another.
    """

    model: ModelFacts
    task: str
    family: str
    metric: str
    value: float
    low: float = math.nan
    high: float = math.nan
    protocol: str = ""
    shots: int | None = 0
    source: str = "model"
    level: str = ""
    n: int = 0
    failed: int = 0
    chance: float | None = None
    higher_is_better: bool = True
    scale: float = 1.0
    ceiling: float | None = None
    signature: str = ""
    origin: Path = Path()
    template: str = ""
    task_in_run: str = ""
    reported_stderr: float | None = None

    @property
    def order(self) -> int:
        """What the shots sort by: unknown ones come last."""
        return by_shots(self.shots)

    @property
    def stderr(self) -> float:
        """The standard error: reported, or what the interval implies (its width over 2 x 1.96); NaN without either."""
        return self.reported_stderr or (self.high - self.low) / (2 * NORMAL)

    @property
    def unit(self) -> str:
        """The unit of `value`, as text: "%" or nothing."""
        return "%" if self.scale == 100 else ""


def interval_of(
    value: float, stderr: float | None, n: int, least: float = 0.0, most: float = 1.0
) -> tuple[float, float]:
    """Return the 95% interval of a value with a standard error, within what the metric can be; NaN where there is none.

    An error of 0 means that all documents scored alike, not that the next ones will: where all are right or all are
    wrong, the interval is that of a share of n trials; otherwise there is none.
    """
    if stderr == 0:
        if n < 2 or least != 0 or value not in (least, most):
            return math.nan, math.nan
        low, high = binomial(value / most, size=n)
        return low * most, high * most
    if stderr is None or math.isnan(stderr):
        return math.nan, math.nan
    return max(least, value - NORMAL * stderr), min(most, value + NORMAL * stderr)


def by_shots(shots: int | None) -> int:
    """Return what a number of shots sorts by: an unknown one comes last."""
    return sys.maxsize if shots is None else shots


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An input that was left out of a report, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        """Return the reason, with the path in front unless it begins with it."""
        return self.reason if self.reason.startswith(str(self.path)) else f"{self.path}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Series:
    """One task and metric along one ladder: the last checkpoint of each model, by size."""

    ladder: str
    task: str
    family: str
    protocol: str
    metric: str
    shots: int | None
    points: tuple[Measurement, ...]


# Reads a file of results: its parsed JSON and its path -> measurements, or None for a file of another kind.
ResultReader = Callable[[Any, Path], Iterable[Measurement] | None]
READERS: Registry[ResultReader] = Registry(
    "result reader",
    {
        "lm-eval": later("evalkit.lm_eval.results:read_if_its"),
        "every-eval-ever": later("evalkit.interchange.every_eval_ever.results:read_if_its"),
    },
    group="evalkit.result_readers",
)
# Reads a long table: its path -> measurements; by the ending of the file's name.
TableReader = Callable[[Path], Iterable[Measurement]]
TABLES: Registry[TableReader] = Registry(
    "table reader",
    dict.fromkeys((".csv", ".tsv", ".parquet"), later("evalkit.report.imports.tables:measured")),
    group="evalkit.table_readers",
)


def no_result(problems: Iterable[Problem]) -> DataError:
    """Return the error for runs of which none could be used, with what was wrong with each."""
    return DataError(f"none of the given runs holds a result ({'; '.join(map(str, problems))})")


def read(places: Iterable[Path | Url], *, unfinished: bool = False) -> tuple[list[Measurement], list[Problem]]:
    """Read run folders, folders of them, results files of lm-evaluation-harness, and long tables (by their own paths).

    Runs may be at URLs. Broken and half-written ones are left out and listed among the problems. unfinished: runs that
    are not finished count with the records that they have so far. Raises UsageError where a path is absent.
    """
    measurements: list[Measurement] = []
    problems: list[Problem] = []
    for path in map(fetch, places):
        if not path.exists():
            raise UsageError(f"{path}: no such run folder or results file")
        unread: list[Problem] = []
        inputs = list(sources(path, unread))
        if not inputs and not unread:
            unread = [Problem(path=path, reason=_NOTHING)]
        problems += unread
        for source in inputs:
            try:
                measurements += (
                    _read_run(source, unfinished=unfinished) if source.is_dir()
                    else _read_file(source, named=source == path)
                )  # fmt: skip
            except EvalkitError as error:
                problems.append(Problem(path=source, reason=str(error)))
    return _unique(measurements), problems


_NOTHING = (
    "holds neither a run nor results of lm-evaluation-harness or Every Eval Ever (tables are read where their own "
    "paths are given)"
)


def sources(path: Path, problems: list[Problem]) -> Iterator[Path]:
    """Yield run folders and JSON files under a path, in the order of names; nothing inside a run folder.

    Links are followed, each folder once. Folders that cannot be read are added to the problems.
    """
    if path.is_file():
        yield path
        return

    def closed(error: OSError) -> None:
        problems.append(Problem(path=Path(error.filename), reason=f"cannot read it: {error.strerror}"))

    walked = {path.resolve()}
    for name, below, names in os.walk(path, followlinks=True, onerror=closed):
        folder = Path(name)
        if "manifest.json" in names or "records.jsonl" in names:
            below.clear()
            yield folder
            continue
        places = {inner: (folder / inner).resolve() for inner in sorted(below) if not inner.startswith(".")}
        below[:] = [inner for inner, place in places.items() if place not in walked]
        walked |= set(places.values())
        for file in (folder / inner for inner in sorted(names) if not inner.startswith(".")):
            if file.is_file() and file.suffix == ".json":
                yield file
            elif file.is_symlink() and not file.exists():
                problems.append(Problem(path=file, reason=f"a link to {file.readlink()}, which does not exist"))


def _read_file(path: Path, *, named: bool) -> list[Measurement]:
    """Read a file. named: by the user, so that a JSON file of another kind is an error."""
    if path.suffix.lower() in TABLES:
        return list(TABLES[path.suffix.lower()](path))
    raw = read_json(path, StoreError)
    if isinstance(raw, dict) and isinstance(raw.get("results"), list) and "settings" in raw:
        raise StoreError(f"{path}: the results of a run whose manifest.json is missing")
    for name in READERS:
        if (measurements := READERS[name](raw, path)) is not None:
            return list(measurements)
    if named:
        raise StoreError(
            f"{path}: not a results file of lm-evaluation-harness (no 'results' and 'config')"
            " nor a record of Every Eval Ever (no 'schema_version' and 'evaluation_results')"
        )
    return []


def _read_run(folder: Path, *, unfinished: bool) -> list[Measurement]:
    """Read a run of evalkit. Raises StoreError for a broken one, or (unless such are wanted) an unfinished one."""
    run = open_run(folder, unfinished=unfinished)
    run.check_whole("a report")
    facts = model_facts({"settings": run.settings, "training": run.training})
    return [
        _measurement(result, facts, folder)
        for result in (run.results if run.finished else unfinished_runs.results(run))
    ]


def _measurement(result: Result, facts: ModelFacts, folder: Path) -> Measurement:
    try:
        metric = metrics.get(result.metric, Signature.parse(result.signature).rule)
    except UsageError as error:
        raise StoreError(f"{folder / 'results.json'}: {error}") from None
    return Measurement(
        model=facts,
        task=result.task,
        family=result.family,
        protocol=result.protocol,
        shots=result.shots,
        metric=result.metric,
        source=result.source,
        level=result.level,
        value=result.value,
        low=result.low,
        high=result.high,
        n=result.n,
        failed=result.failed,
        chance=result.chance,
        higher_is_better=metric.higher_is_better,
        scale=metric.scale,
        ceiling=metric.scale if metric.share else None,
        signature=result.signature,
        origin=folder,
        template=result.template,
    )


def _unique(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Leave out duplicates: the same run given by two paths."""
    seen: dict[tuple[Any, ...], Measurement] = {}
    for m in measurements:
        key = (m.origin.resolve(), m.model, m.task, m.protocol, m.template, m.shots, m.metric, m.source, m.level)
        seen.setdefault(key, m)
    return list(seen.values())


def series(measurements: Iterable[Measurement]) -> list[Series]:
    """Group the models' own values on all documents into series; a model without a size belongs to none.

    Several trainings of one size (seeds) are several points; each training counts with its last checkpoint in the
    series.
    """
    groups: dict[tuple[Any, ...], list[Measurement]] = {}
    for m in measurements:
        if m.source == "model" and not m.level and m.model.parameters is not None and not math.isnan(m.value):
            groups.setdefault((m.model.family, m.task, m.protocol, m.shots, m.metric), []).append(m)
    return [
        Series(
            ladder=ladder,
            task=task,
            family=group[0].family,
            protocol=protocol,
            metric=metric,
            shots=shots,
            points=tuple(sorted(_ends(group), key=lambda m: (m.model.parameters or 0, m.model.seed or 0))),
        )
        for (ladder, task, protocol, shots, metric), group in groups.items()
    ]


def _ends(group: Sequence[Measurement]) -> Iterable[Measurement]:
    """Return one measurement per training, at its last checkpoint, in the order in which the trainings come."""
    last = last_checkpoints(m.model for m in group)
    ends = {m.model.training: m for m in group}
    ends |= {m.model.training: m for m in group if m.model.checkpoint in last}
    return ends.values()
