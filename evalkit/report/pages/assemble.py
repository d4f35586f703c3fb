"""From measurements to the content of a report: its figures, tables and fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from evalkit.errors import DataError
from evalkit.forecasts.scoring import Scored, score
from evalkit.forecasts.sealed import Sealed
from evalkit.report import forecasting
from evalkit.report.figures import canvas, curves, forecasts, laws, shots, trend
from evalkit.report.measurements import Problem
from evalkit.report.observed import all_metrics
from evalkit.report.pages import forecast_tables, paper_tables, result_tables, samples, summary
from evalkit.report.pages.cells import Grid
from evalkit.report.pages.page import Content
from evalkit.report.pages.pieces import Samples
from evalkit.report.pages.seen import Seen
from evalkit.report.selection import Selection
from evalkit.report.trends import fits, twostep

_NO_FORECAST = (
    "a forecast is tested on a model that is held out, and made from models of one ladder that are not: it takes about "
    "4 sizes"
)


def content(
    selection: Selection,
    problems: Sequence[Problem],
    *,
    title: str,
    command: str,
    ledger: Sequence[tuple[Path, Sealed]] = (),
    seen: Seen = MappingProxyType({}),
    budget: int | None = None,
    scores: samples.TokenScores | None = None,
) -> Content:
    """Compute everything that a report shows.

    ledger: sealed forecasts, which are scored by the selection's models. seen: documents that were in a training text.
    budget, scores: as in samples.collect; with a budget of 0 there are no samples.
    """
    verdicts = result_tables.judged(selection)
    fitted_laws = fits.laws(selection)
    two_step = twostep.fitted(selection)
    predicted, unpredicted = _predicted(selection)
    figures = {
        "trend": trend.figure(selection),
        "shots": shots.figure(selection),
        "laws of the loss": laws.figure(selection, fitted_laws),
        "loss to score": laws.task_figure(selection, two_step),
        "learning curves": curves.figure(selection),
        **_forecast_figures(selection, predicted, ledger),
    }
    browsable, unread = Samples(), list[Problem]()
    if budget != 0:
        browsable, unread = samples.collect(selection, seen=seen, budget=budget, scores=scores)
    extra = [paper_tables.language_modelling(selection), *paper_tables.by_setting(selection)]
    shown = [
        result_tables.models(selection), result_tables.results(selection, verdicts), result_tables.levels(selection),
        *filter(None, extra), result_tables.other_metrics(selection),
    ]  # fmt: skip
    fitted = [
        result_tables.verdict_table(selection, verdicts), *_forecast_tables(selection, predicted, ledger),
        fits.law_table(fitted_laws), twostep.table(selection, two_step, fitted_laws),
    ]  # fmt: skip
    return Content(
        title=title,
        command=command,
        summary=[*summary.sentences(selection, verdicts), *_held_out(selection, predicted, fitted_laws)],
        figures=[canvas.render(figure) for figure in figures.values() if isinstance(figure, canvas.Figure)],
        missing=[(name, figure) for name, figure in figures.items() if isinstance(figure, str)],
        tables=[grid for grid in shown if grid.rows],
        fits=[grid for grid in fitted if grid and grid.rows],
        notes=[*_unfitted(fitted_laws), *unpredicted],
        warnings=[*_unfinished(selection), *selection.notes, *fits.flat_laws(fitted_laws)],
        samples=browsable,
        without_samples=budget == 0,
        problems=[*problems, *unread],
    )


def _unfinished(selection: Selection) -> list[str]:
    """Name the models whose runs have no results yet, and are shown with their records so far."""
    folders = {m.origin: selection.labels.get(m.model.name, m.model.name) for m in selection.raw if m.origin.is_dir()}
    names = dict.fromkeys(name for folder, name in folders.items() if not (folder / "results.json").exists())
    if not names:
        return []
    return [f"Not finished, shown with the documents scored so far: {', '.join(names)}."]


def _unfitted(laws: Sequence[fits.FittedLaw]) -> list[str]:
    """Note the laws that could not be fitted, beside those that could; with none, the missing figure says it once."""
    if not any(law.law for law in laws):
        return []
    return [f"No law of the loss in {law.of}: {law.reason}." for law in laws if not law.law]


def _predicted(selection: Selection) -> tuple[tuple[Sealed, list[Scored]] | None, list[str]]:
    """Return the forecasts of what is held out, unless all are mere guesses; a note where the results contradict."""
    try:
        predicted = forecasting.predicted(selection)
    except DataError as error:
        return None, [f"No forecast: {error}."]
    if predicted and all(s.forecast.reason is not None for s in predicted[1]):
        return None, []
    return predicted, []


def _forecast_figures(
    selection: Selection, predicted: tuple[Sealed, list[Scored]] | None, ledger: Sequence[tuple[Path, Sealed]]
) -> dict[str, canvas.Figure | str]:
    """Return the figure of what is held out, and of the latest sealed forecast whose models were measured."""
    drawn: dict[str, canvas.Figure | str] = {"forecasts": _NO_FORECAST}
    if predicted:
        drawn["forecasts"] = forecasts.figure(*predicted, selection.tasks, title="Forecasts of the models held out")
    for path, sealed in sorted(ledger, key=lambda item: item[1].made):
        if scored := score(sealed, all_metrics(selection)):
            title = f"A sealed forecast ({path.name}) and what was measured"
            drawn["sealed"] = forecasts.figure(sealed, scored, selection.tasks, name="sealed", title=title)
    return drawn


def _forecast_tables(
    selection: Selection, predicted: tuple[Sealed, list[Scored]] | None, ledger: Sequence[tuple[Path, Sealed]]
) -> list[Grid | None]:
    """Return the tables of what is held out, and of the sealed forecasts."""
    tables: list[Grid | None] = []
    if predicted:
        _, scored = predicted
        tables += [forecast_tables.errors(selection, scored), forecast_tables.predicted(selection, scored)]
    if ledger:
        tables.append(forecast_tables.ledger(selection, ledger))
    return tables


def _held_out(
    selection: Selection, predicted: tuple[Sealed, list[Scored]] | None, laws: Sequence[fits.FittedLaw]
) -> list[str]:
    """Name the models that the fits did not see, where anything was fitted."""
    held = [selection.labels[name] for name in selection.sizes if name in selection.held_out]
    if not held or not (predicted or any(law.law for law in laws)):
        return []
    return [f"Held out of the fits, to test their forecasts: {', '.join(held)}."]
