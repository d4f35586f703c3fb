"""From measurements to the content of a report: its figures, tables and fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalkit.errors import DataError
from evalkit.forecasts.scoring import Scored, score
from evalkit.forecasts.sealed import Sealed
from evalkit.report import forecasting
from evalkit.report.figures import canvas, curves, forecasts, laws, shots, trend
from evalkit.report.measurements import Problem
from evalkit.report.observed import all_metrics
from evalkit.report.pages import forecast_tables, paper_tables, result_tables, samples
from evalkit.report.pages.cells import Grid
from evalkit.report.pages.page import Content
from evalkit.report.selection import Selection
from evalkit.report.trends import fits, twostep


def content(
    selection: Selection,
    problems: Sequence[Problem],
    *,
    title: str,
    command: str,
    ledger: Sequence[tuple[Path, Sealed]] = (),
) -> Content:
    """Compute everything that a report shows. ledger: sealed forecasts, which are scored by the selection's models."""
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
    browsable, unread = samples.collect(selection)
    extra = [paper_tables.language_modelling(selection), *paper_tables.by_setting(selection)]
    shown = [
        result_tables.models(selection), result_tables.results(selection, verdicts), result_tables.levels(selection),
        *filter(None, extra), result_tables.other_metrics(selection),
    ]  # fmt: skip
    fitted: list[Grid | None] = [result_tables.verdict_table(selection, verdicts)]
    if predicted:
        _, scored = predicted
        fitted += [forecast_tables.errors(selection, scored), forecast_tables.predicted(selection, scored)]
    if ledger:
        fitted.append(forecast_tables.ledger(selection, ledger))
    fitted += [fits.law_table(fitted_laws), twostep.table(selection, two_step, fitted_laws)]
    return Content(
        title=title,
        command=command,
        facts=_facts(selection),
        figures=[canvas.render(figure) for figure in figures.values() if isinstance(figure, canvas.Figure)],
        missing=[(name, figure) for name, figure in figures.items() if isinstance(figure, str)],
        tables=[grid for grid in shown if grid.rows],
        fits=[grid for grid in fitted if grid and grid.rows],
        notes=[f"No law of the loss in {law.of}: {law.reason}." for law in fitted_laws if not law.law] + unpredicted,
        warnings=[*selection.notes, *fits.flat_laws(fitted_laws)],
        samples=browsable,
        problems=[*problems, *unread],
    )


def _predicted(selection: Selection) -> tuple[tuple[Sealed, list[Scored]] | None, list[str]]:
    """Return the forecasts of what is held out, and a note where the results contradict each other."""
    try:
        return forecasting.predicted(selection), []
    except DataError as error:
        return None, [f"No forecast: {error}."]


def _forecast_figures(
    selection: Selection, predicted: tuple[Sealed, list[Scored]] | None, ledger: Sequence[tuple[Path, Sealed]]
) -> dict[str, canvas.Figure | str]:
    """Return the figure of what is held out, and of the latest sealed forecast whose models were measured."""
    drawn: dict[str, canvas.Figure | str] = {"forecasts": "no model is held out, or none is left to forecast from"}
    if predicted:
        drawn["forecasts"] = forecasts.figure(*predicted, selection.tasks, title="Forecasts of the models held out")
    for path, sealed in sorted(ledger, key=lambda item: item[1].made):
        if scored := score(sealed, all_metrics(selection)):
            title = f"A sealed forecast ({path.name}) and what was measured"
            drawn["sealed"] = forecasts.figure(sealed, scored, selection.tasks, name="sealed", title=title)
    return drawn


def _facts(selection: Selection) -> list[str]:
    """Return short sentences that say what the report covers."""
    sized = sorted({m.model.parameters for m in selection.main if m.model.parameters})
    models, tasks = len(selection.sizes), len(selection.tasks)
    size = ""
    if sized:
        size = (
            f" of {canvas.count(sized[0])}"
            + (f" to {canvas.count(sized[-1])}" if len(sized) > 1 else "")
            + " parameters"
        )
    counts = ", ".join(map(str, selection.shots))
    facts = [
        f"{models} {'model' if models == 1 else 'models'}{size}, {tasks} {'task' if tasks == 1 else 'tasks'}, "
        f"{counts} {'example' if counts == '1' else 'examples'} in the prompt.",
        "Values have 95% intervals over documents.",
    ]
    if len(sized) > 1 and selection.held_out:
        held = ", ".join(selection.labels[name] for name in selection.sizes if name in selection.held_out)
        facts.append(f"Held out of the fits: {held}.")
    return facts
