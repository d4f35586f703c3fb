"""The results of a run that is still going on, from the records that it has written so far."""

from __future__ import annotations

from evalkit.errors import StoreError
from evalkit.harness.aggregate import aggregate
from evalkit.harness.groups import group_results
from evalkit.runs.scores import Scores
from evalkit.runs.store import StoredRun
from evalkit.types import Result


def results(run: StoredRun) -> list[Result]:
    """Aggregate a run's records as its end would. Raises StoreError where there are none yet."""
    scores = run.scores() if (run.folder / "records.jsonl").exists() else Scores()
    if not scores:
        raise StoreError(f"{run.folder} has scored nothing yet")
    rows = aggregate(scores, run.settings)
    return rows + group_results(scores, run.settings, results=rows, own={})
