"""From measurements to the content of a report: its figures, tables and fits."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.report.figures import canvas, curves, laws, shots, trend
from evalkit.report.measurements import Problem
from evalkit.report.pages import paper_tables, result_tables, samples
from evalkit.report.pages.cells import Grid
from evalkit.report.pages.page import Content
from evalkit.report.selection import Selection
from evalkit.report.trends import fits, twostep


def content(selection: Selection, problems: Sequence[Problem], *, title: str, command: str) -> Content:
    """Compute everything that a report shows."""
    verdicts = result_tables.judged(selection)
    fitted_laws = fits.laws(selection)
    two_step = twostep.fitted(selection)
    choices, predictions = fits.predictions(selection)
    figures = {
        "trend": trend.figure(selection),
        "shots": shots.figure(selection),
        "laws of the loss": laws.figure(selection, fitted_laws),
        "loss to score": laws.task_figure(selection, two_step),
        "learning curves": curves.figure(selection),
    }
    browsable, unread = samples.collect(selection)
    extra = [paper_tables.language_modelling(selection), *paper_tables.by_setting(selection)]
    shown = [
        result_tables.models(selection), result_tables.results(selection, verdicts), result_tables.levels(selection),
        *filter(None, extra), result_tables.other_metrics(selection),
    ]  # fmt: skip
    fitted: list[Grid | None] = [result_tables.verdict_table(selection, verdicts)]
    if predictions:
        fitted += [fits.error_table(selection, predictions), fits.prediction_table(selection, predictions)]
        fitted.append(fits.choice_table(choices))
    fitted += [fits.law_table(fitted_laws), twostep.table(selection, two_step, fitted_laws)]
    return Content(
        title=title,
        command=command,
        facts=_facts(selection),
        figures=[canvas.render(figure) for figure in figures.values() if isinstance(figure, canvas.Figure)],
        missing=[(name, figure) for name, figure in figures.items() if isinstance(figure, str)],
        tables=[grid for grid in shown if grid.rows],
        fits=[grid for grid in fitted if grid and grid.rows],
        notes=[f"No law of the loss in {law.of}: {law.reason}." for law in fitted_laws if not law.law],
        warnings=[*selection.notes, *fits.flat_laws(fitted_laws)],
        samples=browsable,
        problems=[*problems, *unread],
    )


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
