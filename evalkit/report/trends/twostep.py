"""The two-step law of a task: from size to loss, and from loss to score, fitted without the models held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.errors import DataError
from evalkit.report.measurements import Measurement, by_shots
from evalkit.report.models import last_checkpoints
from evalkit.report.pages.cells import EMPTY, Entry, Grid, examples, number, words
from evalkit.report.run_table import figure
from evalkit.report.selection import Selection
from evalkit.report.trends import fits
from evalkit.report.trends.tasklaw import TaskLaw, task_law

# Checkpoints from this share of the training on: earlier losses reflect little more than word frequencies.
_LEARNED = 1 / 100

_CONSTANTS = 3
_REFITS = 100


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A measurement and the loss of the same checkpoint. held: not fitted. last: the end of its training."""

    measurement: Measurement
    loss: float
    held: bool
    last: bool


@dataclass(frozen=True, kw_only=True)
class TwoStep:
    """A task's pairs of loss and score, and the sigmoid through those that are fitted.

    ladder: of the models. what: the loss. common: the loss is the same for all tasks, and its law in N (size) is the
    first step.
    """

    task: str
    ladder: str
    metric: str
    shots: int | None
    what: str
    common: bool
    law: TaskLaw
    pairs: Sequence[Pair]


def fitted(selection: Selection) -> list[TwoStep]:
    """Fit every task of every ladder that has a share as its metric and enough models with a loss.

    At its fewest shots. The loss is the task's own (bits per byte of its answers, or the logarithm of its perplexity),
    otherwise that of the model. Ladders are fitted apart: their losses are not comparable.
    """
    fits_of_tasks = []
    for ladder in fits.ladders(selection):
        what, points = fits.losses(selection, ladder)
        common: dict[tuple[object, ...], float] = {p.facts.checkpoint: p.loss for p in points}
        fits_of_tasks += [two for task in selection.tasks if (two := _fit(selection, ladder, task, what, common))]
    return fits_of_tasks


def _fit(
    selection: Selection, ladder: str, task: str, what: str, common: dict[tuple[object, ...], float]
) -> TwoStep | None:
    """Fit one task of one ladder; what, common: the models' loss and its values by checkpoint."""
    metric = _share(selection, task)
    chosen = [m for m in selection.measurements if (m.task, m.metric) == (task, metric) and _usable(m)]
    chosen = [m for m in chosen if m.model.family == ladder]
    shots = min((m.shots for m in chosen), default=0, key=by_shots)
    chosen = [m for m in chosen if m.shots == shots]
    own_name, own = _own_losses(selection, ladder, task, shots)
    pairs = _pairs(selection, chosen, own or common)
    fitted_pairs = [p for p in pairs if not p.held]
    if len({(p.measurement.model.name, p.measurement.model.step) for p in fitted_pairs}) <= _CONSTANTS + 1:
        return None
    m = fitted_pairs[0].measurement
    chance, ceiling = m.chance or 0.0, m.ceiling or 1.0
    floor = chance if min((p.measurement.value for p in fitted_pairs if p.last), default=0.0) > chance else 0.0
    try:
        values = [p.measurement.value for p in fitted_pairs]
        law = task_law([p.loss for p in fitted_pairs], values, floor=floor, ceiling=ceiling, refits=_REFITS)
    except DataError:
        return None
    return TwoStep(
        task=task, ladder=ladder, metric=m.metric, shots=shots, what=own_name if own else what, common=not own,
        law=law, pairs=pairs,
    )  # fmt: skip


def _share(selection: Selection, task: str) -> str:
    """Return the task's metric that is a share: its main one, or the first that is."""
    names = [
        m.metric for m in selection.measurements if m.task == task and m.ceiling is not None and m.higher_is_better
    ]
    main = selection.metrics[task]
    return main if main in names or not names else names[0]


def _usable(m: Measurement) -> bool:
    return (
        m.source == "model" and not m.level and m.ceiling is not None and m.higher_is_better and not math.isnan(m.value)
    )


def _own_losses(
    selection: Selection, ladder: str, task: str, shots: int | None
) -> tuple[str, dict[tuple[object, ...], float]]:
    """Return the task's own loss by checkpoint: bits if it has them, otherwise the logarithm of a perplexity."""
    chosen = [
        m for m in selection.measurements
        if (m.task, m.model.family, m.shots) == (task, ladder, shots)
        and m.source == "model" and not m.level and m.value > 0
    ]  # fmt: skip
    for start, name, of in (("answer_bits", "{}", float), ("bits", "{}", float), ("ppl", "ln {}", math.log)):
        measured = [m for m in chosen if m.metric.startswith(start)]
        if measured:
            same = [m for m in measured if m.metric == measured[0].metric]
            return name.format(measured[0].metric), {m.model.checkpoint: of(m.value) for m in same}
    return "", {}


def _pairs(selection: Selection, chosen: Sequence[Measurement], losses: dict[tuple[object, ...], float]) -> list[Pair]:
    last = last_checkpoints(m.model for m in chosen)
    most = max((m.model.tokens or 0 for m in chosen), default=0)
    return [
        Pair(
            measurement=m,
            loss=losses[m.model.checkpoint],
            held=m.model.name in selection.held_out,
            last=m.model.checkpoint in last,
        )
        for m in chosen
        if m.model.checkpoint in losses and (m.model.tokens is None or m.model.tokens >= _LEARNED * most)
    ]


def table(selection: Selection, two_steps: Sequence[TwoStep], laws: Sequence[fits.FittedLaw]) -> Grid:
    """Return each task's sigmoid, and what both steps predict for the models held out."""
    sized = {law.ladder: law.law for law in laws if law.symbol == "N" and law.law}
    several = len({two.ladder for two in two_steps}) > 1
    rows = []
    for two in two_steps:
        law = two.law
        constants = ", ".join(f"{n} = {v:.3g}" for n, v in zip(law.names, law.values, strict=True))
        for pair in (p for p in two.pairs if p.held and p.last):
            m = pair.measurement
            step = float(law.predict(pair.loss)) - m.value
            chained: Entry = EMPTY
            if two.common and two.ladder in sized and m.model.parameters:
                value, low, high = law.chain(sized[two.ladder], float(m.model.parameters))
                error = float(value) - m.value
                small = "" if np.isnan(low) else f"[{figure(float(low) - m.value)}, {figure(float(high) - m.value)}]"
                chained = number(error, f"{error:+.2f}", small=small)
            rows.append(
                [
                    words(two.task), *([words(two.ladder)] if several else []), words(two.metric),
                    examples(two.shots), words(two.what),
                    words(constants), number(law.points, str(law.points), small=law.warning),
                    number(law.scatter, f"{law.scatter:.2f}"), words(selection.labels[m.model.name]),
                    number(m.value, figure(m.value)), number(step, f"{step:+.2f}"), chained,
                ]
            )  # fmt: skip
    return Grid(
        name="twostep",
        title="Two steps: size to loss, loss to score",
        caption=(
            "value = floor + a / (1 + exp(k (L - L0))) over all checkpoints of the fitted models; the floor is chance, "
            "or 0 where scores lie below it. Step 2: from the measured loss. Both steps: from the size alone, with the "
            "90% interval of the refits. "
            "Errors are predicted minus actual, in points."
        ),
        header=[
            "task", *(["ladder"] if several else []), "metric", "shots", "loss", "constants", "points", "scatter",
            "model", "actual", "error of step 2", "error of both steps",
        ],
        rows=rows,
    )  # fmt: skip
