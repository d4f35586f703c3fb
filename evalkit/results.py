"""A stored run, and its results as a table, in a notebook and as a data frame.

Nothing else is imported with them, because every run needs them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, overload

from evalkit.errors import unknown
from evalkit.extras import require
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

        return printed(lambda console: run_terminal.show(self._results, console))

    def _repr_html_(self) -> str:
        from evalkit.report import run_table

        return run_table.html(self._results)


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

    def to_pandas(self, *, columns: str | Sequence[str] = (), where: str | Sequence[str] = ()) -> pd.DataFrame:
        """Return a row per record, with the columns of `evalkit records`, which without texts needs no journal.

        columns: their names, or ["all"] with the texts. where: conditions, as "acc<50". Raises UsageError for a column
        that there is not, StoreError as going through the records does.
        """
        from evalkit.report.records import Table

        pd = require("pandas", "data frames")
        columns, where = ([given] if isinstance(given, str) else given for given in (columns, where))
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

        Raises UsageError for a task or a number of shots that the run does not have. Going through the records raises
        StoreError where the run's files are gone or damaged.
        """
        tasks = {result.task for result in self.results} | set(self.failed)
        if task is not None and task not in tasks:
            raise unknown("task", task, tasks, where="in this run")
        if shots is not None and self.results and shots not in (of := {result.shots for result in self.results}):
            raise unknown("number of shots", str(shots), map(str, of), where="in this run")
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


def printed(show: Callable[[Console], None]) -> str:
    """Return what a wide terminal would show."""
    from rich.console import Console

    text = io.StringIO()
    show(Console(file=text, width=200))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
