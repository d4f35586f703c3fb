"""Long tables of results: CSV, TSV and Parquet files, and data frames, as measurements; and measurements as a table.

One row is one value of one metric of one task, of one checkpoint of one model (columns.py has the columns, layout.py
what makes other tables long). evalkit's own results.csv is recognised. Every cell that cannot be is named by file, line
and column, with what is allowed.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit import sinks
from evalkit.data.readers import read_sheet, read_tables
from evalkit.errors import DataError, UsageError
from evalkit.extras import require
from evalkit.files import digest, write_atomic
from evalkit.report.imports import benchmarks
from evalkit.report.imports.columns import COLUMNS, is_missing
from evalkit.report.imports.layout import Cell, Layout, Row, columns_of, long_rows, patterns_of
from evalkit.report.measurements import Measurement, interval_of
from evalkit.report.models import ModelFacts
from evalkit.stats.intervals import NORMAL, binomial

if TYPE_CHECKING:
    import pandas as pd

Values = dict[str, Any]  # by our columns, parsed

SUFFIXES = (".csv", ".tsv", ".parquet")
_REQUIRED = tuple(name for name, column in COLUMNS.items() if column.required)
_SHOWN = 3  # wrong cells in one message
# What evalkit's own results.csv has that no other table has, and which of its columns are called otherwise.
_OWN_RESULTS = {"ladder", "block_parameters", "source", "level", "flops"}
_OWN_NAMES = {"family": "ladder", "task_family": "family", "compute": "flops"}
_PLACE = ("family", "model", "seed", "step", "tokens", "task", "protocol", "shots", "metric")  # of one value
_CHECKPOINT = ("tokens", "compute", "loss")  # what the rows of one checkpoint agree on


def read(path: Path, layout: Layout | None = None) -> tuple[list[Measurement], list[str]]:
    """Read a table; return its measurements and its wrong cells, each as one line.

    Raises DataError for a file that is no table or lacks a column, UsageError for a layout that does not suit it.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        rows: list[tuple[str, Row]] = [(f"row {i}", row) for i, row in enumerate(read_tables([path]), start=1)]
    else:
        rows = [(f"line {line}", row) for line, row in read_sheet(path)]
    return from_rows(rows, path, layout or Layout())


def measured(path: Path) -> list[Measurement]:
    """Read a table without a fault. Raises DataError naming the wrong cells."""
    measurements, faults = read(path)
    check(faults)
    return measurements


def from_frame(frame: pd.DataFrame, *, name: str = "data frame") -> list[Measurement]:
    """Read a data frame with the columns of a long table. Raises DataError naming the wrong cells."""
    rows = [(f"row {i}", dict(zip(frame.columns, row, strict=True))) for i, row in enumerate(frame.to_numpy().tolist())]
    measurements, faults = from_rows(rows, Path(name), Layout())
    check(faults)
    return measurements


def check(faults: Sequence[str]) -> None:
    """Raise DataError for wrong cells, naming the first ones."""
    if faults:
        more = f" (and {len(faults) - _SHOWN} more)" if len(faults) > _SHOWN else ""
        raise DataError("; ".join(faults[:_SHOWN]) + more)


def from_rows(rows: Sequence[tuple[str, Row]], path: Path, layout: Layout) -> tuple[list[Measurement], list[str]]:
    """Turn (place, row) pairs into measurements and faults, as `read` does."""
    if not rows:
        raise DataError(f"{path}: has no rows below its header")
    headers = [str(header) for header in rows[0][1]]
    own = set(headers) >= _OWN_RESULTS
    if own:
        rows = [(place, _own(row)) for place, row in rows if row["source"] == "model" and not row["level"]]
        layout = Layout(names={**_OWN_NAMES, "stderr": "stderr", **layout.names}, constants=layout.constants)
        headers.append("stderr")
    faults: list[str] = []
    columns, patterns = columns_of(headers, layout, where=str(path)), patterns_of(headers, layout)
    wide = {name for fields in patterns.values() for name in (*fields, "value")}
    if missing := sorted({*_REQUIRED} - columns.keys() - layout.constants.keys() - wide):
        raise DataError(
            f"{path}: has no column {' or '.join(missing)}, only {', '.join(headers)[:200]}; say which it is with "
            f"--map {missing[0]}=HEADER, or give all rows one with --set {missing[0]}=TEXT (evalkit import --help)"
        )
    lines = [
        (place, parsed(cells, f"{path} {place}", faults))
        for place, row in rows
        for cells in long_rows(row, columns, patterns, layout.constants)
    ]
    _agree(lines, path, faults)
    return _measurements(lines, path, faults, percent=own), faults


def _own(row: Row) -> Row:
    """Give a row of evalkit's results.csv the standard error that its interval implies; an unknown n is 0 there."""
    low, high = row["low"], row["high"]
    stderr = None if low is None or high is None else (high - low) / (2 * NORMAL)
    return {**row, "stderr": stderr, "n": row["n"] or None}


def parsed(cells: Mapping[str, Cell], where: str, faults: list[str]) -> Values:
    """Parse the cells of a row; add a fault for each wrong one."""
    values: Values = {}
    for name, cell in cells.items():
        column = COLUMNS[name]
        if is_missing(cell.content):
            values[name] = None
            if column.required:
                faults.append(f"{where}, column {cell.header}: is empty; expected {column.allowed}")
            continue
        try:
            values[name] = column.parse(cell.content)
        except (ValueError, TypeError, OverflowError):
            values[name] = None
            faults.append(f"{where}, column {cell.header}: {str(cell.content)!r:.40} is not {column.allowed}")
    return values


def _agree(lines: Sequence[tuple[str, Values]], path: Path, faults: list[str]) -> None:
    """Give all rows of a checkpoint what one of them says of it; add a fault where two contradict each other."""
    facts: dict[tuple[Any, ...], tuple[str, Any]] = {}

    def places(values: Values) -> Iterator[tuple[str, tuple[Any, ...]]]:
        training = tuple(values.get(name) for name in ("family", "model", "seed"))
        yield "parameters", ("parameters", *training)
        if values.get("step") is not None or values.get("tokens") is None:
            yield from ((name, (name, *training, values.get("step"))) for name in _CHECKPOINT)
        else:
            yield from ((name, (name, *training, "at", values["tokens"])) for name in ("compute", "loss"))

    for place, values in lines:
        for name, key in [*places(values)]:
            if (value := values.get(name)) is None:
                continue
            first, known = facts.setdefault(key, (place, value))
            if known != value:
                faults.append(
                    f"{path} {place}, column {name}: {value:g} is not {known:g}, which {first} says of the same "
                    f"{'model' if name == 'parameters' else 'checkpoint'} ({values.get('model')})"
                )
    for _, values in lines:
        for name, key in [*places(values)]:
            if values.get(name) is None and key in facts:
                values[name] = facts[key][1]


def _measurements(
    lines: Sequence[tuple[str, Values]], path: Path, faults: list[str], *, percent: bool
) -> list[Measurement]:
    """Return a measurement per row. percent: shares without a ceiling are percentages."""
    highest: dict[Any, float] = {}
    for _, values in lines:
        if values.get("value") is not None:
            highest[values["metric"]] = max(values["value"], highest.get(values["metric"], -math.inf))
    seen: dict[tuple[Any, ...], tuple[str, float]] = {}
    measurements = []
    for place, values in lines:
        if any(values.get(name) is None for name in _REQUIRED):
            continue  # a fault already
        value, where = values["value"], f"{path} {place}, column value"
        most = values.get("ceiling") or _usual_ceiling(values["metric"], highest[values["metric"]], percent=percent)
        if most is not None and not 0 <= value <= most * (1 + 1e-9):
            faults.append(f"{where}: {value:g} is not a number from 0 to {most:g}")
            continue
        key = tuple(values.get(name) for name in _PLACE)
        if key not in seen:
            seen[key] = place, value
            measurements.append(_measurement(values, most, path))
        elif seen[key][1] != value:
            faults.append(
                f"{where}: {value:g} is not {seen[key][1]:g}, which {seen[key][0]} says of the same model, checkpoint, "
                "task, shots and metric; different trainings need different names or seeds"
            )
    return measurements


def _usual_ceiling(metric: str, highest: float, *, percent: bool) -> float | None:
    """Return the best possible value of a known share, in the file's unit; None for another metric."""
    if not benchmarks.scale(benchmarks.plain(metric), ours=True).share:
        return None
    return 1.0 if highest <= 1 and not percent else 100.0


def _measurement(values: Values, most: float | None, path: Path) -> Measurement:
    """Return a row's measurement; a share from 0 to 1 is shown in percent."""
    factor = 100.0 if most == 1 else 1.0
    ceiling = None if most is None else most * factor
    scale = benchmarks.scale(benchmarks.plain(values["metric"]), ours=True)
    value, n = values["value"] * factor, values.get("n") or 0
    chance = values.get("chance")
    stderr = values.get("stderr")
    higher = values.get("higher_is_better")
    least = scale.least * scale.factor if ceiling is None else 0.0
    low, high = interval_of(value, None if stderr is None else stderr * factor, n, least, ceiling or math.inf)
    if stderr is None and ceiling == 100 and n >= 2:
        low, high = (100 * bound for bound in binomial(min(1.0, value / 100), size=n))
    seed = values.get("seed")
    return Measurement(
        model=ModelFacts(
            name=values["model"], family=values.get("family") or "", loss=values.get("loss"), seed=seed,
            parameters=values.get("parameters"), tokens=values.get("tokens"), flops=values.get("compute"),
            step=values.get("step"),
        ),
        task=values["task"], family=values.get("task_family") or benchmarks.family_of(values["task"]),
        protocol=values.get("protocol") or "", shots=values.get("shots"), metric=values["metric"],
        value=value, low=low, high=high, n=n, reported_stderr=stderr * factor if stderr else None,
        chance=chance * factor if chance is not None else benchmarks.chance(values["task"], values["metric"])
        if ceiling == 100 else None,
        higher_is_better=scale.higher_is_better if higher is None else higher,
        scale=100.0 if ceiling == 100 else 1.0, ceiling=ceiling,
        # Below the file, so that trainings of one file are told apart as those of several are.
        origin=path / _as_path(values["model"] + ("" if seed is None else f"-seed{seed}")),
    )  # fmt: skip


def _as_path(name: str) -> str:
    """Return a name as the name of a file, different ones for different names.

    >>> _as_path("org/m 1"), _as_path("m-1b")
    ('org-m-1-5c09b698', 'm-1b')
    """
    safe = re.sub(r"[^\w.+@-]", "-", name)[:80]
    return safe if safe == name and safe.strip(".") else f"{safe}-{digest(name, length=8)}"


def rows(measurements: Iterable[Measurement]) -> list[Values]:
    """Return the models' own values on all documents as rows with our columns; shares are in percent."""
    return [
        {
            "model": m.model.name, "family": m.model.family, "parameters": m.model.parameters,
            "tokens": m.model.tokens,
            "compute": None if m.model.flops is None else float(m.model.flops),
            "step": m.model.step, "seed": m.model.seed, "loss": m.model.loss,
            "task": m.task, "task_family": m.family, "protocol": m.protocol, "shots": m.shots,
            "metric": m.metric, "value": m.value, "stderr": None if math.isnan(m.stderr) else m.stderr,
            "n": m.n or None, "chance": m.chance, "ceiling": m.ceiling, "higher_is_better": m.higher_is_better,
        }
        for m in measurements
        if m.source == "model" and not m.level and not math.isnan(m.value)
    ]  # fmt: skip


def write(path: Path, lines: Sequence[Values]) -> None:
    """Write rows as CSV, TSV or Parquet, by the file's ending; another raises UsageError, a full disk DiskError."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: a table's name ends with {', '.join(SUFFIXES)}")
    if path.suffix == ".parquet":
        pd = require("pandas", "tables of results")

        frame = pd.DataFrame(lines, columns=list(COLUMNS))
        whole = ("parameters", "tokens", "step", "seed", "shots", "n")
        content: str | bytes = frame.astype(dict.fromkeys(whole, "Int64")).to_parquet(index=False)
    else:
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n", delimiter="\t" if path.suffix == ".tsv" else ",")
        table.writerow(COLUMNS)
        table.writerows([_written(line[name]) for name in COLUMNS] for line in lines)
        content = out.getvalue()
    write_atomic(path, content)


def _written(value: Any) -> str:
    """Return a cell: numbers in as many digits as they need, at most twelve."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else sinks.csv_cell(str(value))
