"""What the Python API hands out beside runs: comparisons, forecasts and audits that show themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
from evalkit.results import printed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(comparison.Comparison):
    """A comparison that shows itself as the table of `evalkit compare`."""

    def to_pandas(self) -> pd.DataFrame:
        """Return a row per finding, with its fields as columns."""
        pd = require("pandas", "data frames")
        return pd.DataFrame([asdict(finding) for finding in self.findings])

    def __repr__(self) -> str:
        return printed(lambda console: display.show(self, console))

    def _repr_html_(self) -> str:
        return display.html(self)


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
        pd = require("pandas", "data frames")
        return pd.DataFrame([texts.line(finding) for finding in self.findings])

    def to_markdown(self, *, title: str = "Audit of benchmarks") -> str:
        """Return the page that `evalkit audit --out` writes, without its figure."""
        return page.markdown(self, title=title, command="evalkit.audit")

    def __repr__(self) -> str:
        return printed(lambda console: page.show(self, console))
