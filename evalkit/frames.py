"""What the Python API hands out: a stored run, its results as a table, in a notebook and as a data frame."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, overload

from evalkit.audits import audit, page, texts
from evalkit.comparison import comparison, display
from evalkit.errors import UsageError
from evalkit.extras import require
from evalkit.forecasts.observations import Forecast
from evalkit.forecasts.scoring import Scored
from evalkit.forecasts.sealed import Sealed
from evalkit.forecasts.sealed import write as write_sealed
from evalkit.report.forecasting import target_name
from evalkit.report.terminal import forecasts as forecast_terminal
from evalkit.types import Record, Result

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from evalkit.runs.store import StoredRun


class Results(Sequence[Result]):
    """Aggregates of one or several runs: a sequence of Result that shows itself as the table of `evalkit run`."""

    def __init__(self, results: Sequence[Result]):
        self._results = tuple(results)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> Result | Results:
        return Results(self._results[index]) if isinstance(index, slice) else self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row per result, with the fields of Result as columns."""
        pd = require("pandas", "data frames")
        return pd.DataFrame([asdict(result) for result in self._results])

    def to_markdown(self, *, all_metrics: bool = False, levels: bool = False) -> str:
        """Return the table as Markdown: the first metric of each task or all, with its levels if asked for."""
        from evalkit.report import run_table

        return run_table.markdown(self._results, all_metrics=all_metrics, levels=levels)

    def __repr__(self) -> str:
        from evalkit.report.terminal import runs as run_terminal

        return _printed(lambda console: run_terminal.show(self._results, console))

    def _repr_html_(self) -> str:
        from evalkit.report import run_table

        return run_table.html(self._results)


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(comparison.Comparison):
    """A comparison that shows itself as the table of `evalkit compare`."""

    def to_pandas(self) -> pd.DataFrame:
        """Return a row per finding, with its fields as columns."""
        pd = require("pandas", "data frames")
        return pd.DataFrame([asdict(finding) for finding in self.findings])

    def __repr__(self) -> str:
        return _printed(lambda console: display.show(self, console))

    def _repr_html_(self) -> str:
        return display.html(self)


def _printed(show: Callable[[Console], None]) -> str:
    """Return what a wide terminal would show."""
    from rich.console import Console

    text = io.StringIO()
    show(Console(file=text, width=200))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


_NO_FORECAST = "no forecast: a ladder needs at least three sizes besides those held out"


class Forecasts(Sequence[Forecast]):
    """Forecasts, one per task, metric, shots and target, beside what was measured of models that were held out.

    sealed: the content of the file that `seal` writes. scored: those whose model was measured.
    """

    def __init__(self, sealed: Sealed | None, scored: Sequence[Scored] = ()):
        self.sealed, self.scored = sealed, tuple(scored)
        self._forecasts = tuple(f for series in sealed.series for f in series.forecasts) if sealed else ()

    @overload
    def __getitem__(self, index: int) -> Forecast: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Forecast]: ...
    def __getitem__(self, index: int | slice) -> Forecast | Sequence[Forecast]:
        return self._forecasts[index]

    def __len__(self) -> int:
        return len(self._forecasts)

    def seal(self, path: str | Path) -> None:
        """Write the file that `evalkit forecast score` and `evalkit report --forecasts` read.

        Raises UsageError where it exists, or where there is no forecast.
        """
        if self.sealed is None:
            raise UsageError(_NO_FORECAST)
        write_sealed(Path(path), self.sealed)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row per forecast: value, band, what was measured, and the error beside that of "same".

        reason: why there is no forecast (the value is then the best guess), else None.
        """
        pd = require("pandas", "data frames")
        scored = {id(s.forecast): s for s in self.scored}
        rows = [
            {
                "model": target_name(f.target), "family": f.family, "task": f.task, "metric": f.metric,
                "shots": f.shots, "predicted": f.value, "low": f.low, "high": f.high, "same": f.same,
                "actual": scored[id(f)].actual.value if id(f) in scored else math.nan,
                "error": scored[id(f)].error if id(f) in scored else math.nan,
                "error_of_same": scored[id(f)].same_error if id(f) in scored else math.nan,
                "sizes": f.sizes, "weights": dict(f.weights), "reason": f.reason,
            }
            for f in self._forecasts
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        if self.sealed is None:
            return _NO_FORECAST
        tasks = [series.key.task for series in self.sealed.series]
        parts = [forecast_terminal.forecasts(self.sealed, tasks)]
        return "\n".join([*parts, "", forecast_terminal.outcome(self.scored, tasks)] if self.scored else parts)

    def _repr_html_(self) -> str:
        shown = self.to_pandas().drop(columns=["weights"], errors="ignore")
        return str(shown.to_html(index=False)) if self._forecasts else f"<p>{self!r}</p>"


@dataclass(frozen=True, kw_only=True, repr=False)
class Audit(audit.Audit):
    """An audit that shows itself as the tables of `evalkit audit`."""

    def to_pandas(self) -> pd.DataFrame:
        """Return a row per task, metric, level and number of shots, with the columns of audit.csv."""
        import pandas as pd

        return pd.DataFrame([texts.line(finding) for finding in self.findings])

    def to_markdown(self, *, title: str = "Audit of benchmarks") -> str:
        """Return the page that `evalkit audit --out` writes, without its figure."""
        return page.markdown(self, title=title, command="evalkit.audit")

    def __repr__(self) -> str:
        return _printed(lambda console: page.show(self, console))


class Records(Iterator[Record]):
    """The records of a stored run, of all tasks or one, read as they are asked for."""

    def __init__(self, folder: Path, *, task: str | None = None, shots: int | None = None):
        self._folder, self._task, self._shots = folder, task, shots
        self._records = self._each()

    def __next__(self) -> Record:
        return next(self._records)

    def _each(self) -> Iterator[Record]:
        for record in self._run().records():
            if self._task in (None, record.cell.task) and self._shots in (None, record.cell.shots):
                yield record

    def _run(self) -> StoredRun:
        from evalkit.runs.store import open_run

        return open_run(self._folder, unfinished=True)

    def to_pandas(self, *, columns: Sequence[str] = (), where: Sequence[str] = ()) -> pd.DataFrame:
        """Return a row per record, with the columns of `evalkit records`, which without texts needs no journal.

        columns: their names, or ["all"] with the texts. where: conditions, as "acc<50". Raises UsageError for a column
        that there is not, StoreError as going through the records does.
        """
        from evalkit.report.records import Table

        pd = require("pandas", "data frames")
        of = {"task": self._task, "shots": self._shots}
        clauses = [*where, *(f"{name}={value}" for name, value in of.items() if value is not None)]
        table = Table(self._run(), where=clauses, columns=columns)
        frames = [pd.DataFrame(batch) for batch in table.batches()]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(table.columns))


@dataclass(frozen=True, kw_only=True)
class Run:
    """A stored run of one model. failed: tasks that could not be scored, and why.

    url: where the run is kept if that is no folder of this machine; `folder` is then a copy that goes with the process.
    """

    folder: Path
    results: Results
    failed: Mapping[str, str] = field(default_factory=dict)
    url: str = ""

    def records(self, *, task: str | None = None, shots: int | None = None) -> Records:
        """Return what was asked and answered, one record per document, seed, control and wording, to go through once.

        Raises StoreError, then, where the run's files are gone or damaged.
        """
        return Records(self.folder, task=task, shots=shots)

    def scores(self) -> dict[str, float]:
        """Return the first metric of each task, on all its documents; with several shots, as "TASK K-shot"."""
        first: dict[tuple[str, int, str], float] = {}
        for result in self.results:
            if result.source == "model" and not result.level:
                first.setdefault((result.task, result.shots, result.template), result.value)
        several = len({shots for _, shots, _ in first}) > 1
        return {
            f"{task}{f' ({template})' if template else ''}{f' {shots}-shot' if several else ''}": value
            for (task, shots, template), value in first.items()
        }

    @property
    def limit(self) -> int | Mapping[str, int] | None:
        """What to give as `limit` to score the same documents again: a number, a number per task, or None for all.

        Raises StoreError where the run's files are gone or damaged.
        """
        from evalkit.runs.store import open_run

        limit: int | dict[str, int] | None = open_run(self.folder, unfinished=True).settings["limit"]
        return limit

    def __repr__(self) -> str:
        failed = "".join(f"\nfailed: {name}: {reason}" for name, reason in self.failed.items())
        return f"{self.results!r}{failed}\nstored in {self.folder}"

    def _repr_html_(self) -> str:
        return self.results._repr_html_()
