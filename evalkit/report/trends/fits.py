"""Fits to the measurements: laws of the loss, and predictions of the sizes that were held out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.errors import DataError
from evalkit.report.measurements import ModelFacts, last_checkpoints
from evalkit.report.pages.cells import EMPTY, Entry, Grid, examples, number, words
from evalkit.report.run_table import figure
from evalkit.report.selection import Selection
from evalkit.report.trends import predict, scaling

# A law in D uses checkpoints from this share of the training on: the first steps follow no power law.
_LATE = 1 / 30


@dataclass(frozen=True, kw_only=True)
class LossPoint:
    """A model, or a checkpoint of one, and its loss in nats.

    held: not fitted, but predicted. stderr: of the loss, NaN where it is not known.
    """

    facts: ModelFacts
    loss: float
    held: bool
    stderr: float = math.nan


@dataclass(frozen=True, kw_only=True)
class FittedLaw:
    """A law of the loss of one ladder, with the points it was fitted to and those it predicts.

    symbol: N, D, C or N,D. several: other ladders have laws of their own.
    """

    symbol: str
    what: str
    ladder: str
    several: bool
    law: scaling.Law | None
    points: Sequence[LossPoint]
    reason: str = ""

    def x(self, point: LossPoint) -> tuple[float, ...]:
        """Return the quantities of a point, in the order of the law."""
        return tuple(float(_QUANTITY[s](point.facts) or 0) for s in self.symbol.split(","))

    def residual(self, point: LossPoint) -> float:
        """Return measured over fitted - 1."""
        assert self.law
        return point.loss / float(self.law.predict(*self.x(point))) - 1

    @property
    def of(self) -> str:
        """The law's quantity, and where there are several ladders, whose law it is."""
        return f"{self.symbol} of {self.ladder}" if self.several else self.symbol


_QUANTITY = {
    "N": lambda facts: facts.parameters,
    "D": lambda facts: facts.tokens,
    "C": lambda facts: facts.flops,
}


def ladders(selection: Selection) -> list[str]:
    """Return the families of models whose losses are comparable: of one corpus, tokenizer and held-out text."""
    return list(dict.fromkeys(m.model.family for m in selection.raw if m.source == "model" and m.model.parameters))


def losses(selection: Selection, ladder: str) -> tuple[str, list[LossPoint]]:
    """Return what a ladder's loss is called, and all points that have one.

    The held-out loss of the training records, otherwise the logarithm of an imported perplexity (nats per scored word).
    """
    own = [m for m in selection.raw if m.model.family == ladder and m.model.parameters]
    points = {}
    for m in own:
        if m.model.loss is not None:
            stderr = math.nan if m.model.loss_stderr is None else m.model.loss_stderr
            held = m.model.name in selection.held_out
            points[m.model.checkpoint] = LossPoint(facts=m.model, loss=m.model.loss, held=held, stderr=stderr)
    if points:
        return "held-out loss (nats per token)", list(points.values())
    chosen = [m for m in own if m.metric.startswith("ppl") and m.source == "model" and not m.level and m.value > 1]
    if not chosen:
        return "", []
    task, metric, shots = min((m.task, m.metric, m.order) for m in chosen)
    chosen = [m for m in chosen if (m.task, m.metric, m.order) == (task, metric, shots)]
    return f"ln {metric} of {task}", [
        LossPoint(
            facts=m.model, loss=math.log(m.value), held=m.model.name in selection.held_out, stderr=m.stderr / m.value
        )
        for m in chosen
    ]


def laws(selection: Selection) -> list[FittedLaw]:
    """Fit the laws of every ladder by itself: losses by different tokenizers or held-out texts are not comparable."""
    points = {ladder: losses(selection, ladder) for ladder in ladders(selection)}
    measured = {ladder: losses_of for ladder, losses_of in points.items() if losses_of[1]}
    return [law for ladder in measured for law in _of_ladder(ladder, *measured[ladder], several=len(measured) > 1)]


def _of_ladder(ladder: str, what: str, points: Sequence[LossPoint], *, several: bool) -> list[FittedLaw]:
    """Fit the loss against N and C over the last checkpoints, D over those of one model, and N and D over all."""
    last = last_checkpoints(p.facts for p in points)
    final = [p for p in points if p.facts.checkpoint in last]
    late = [p for p in points if p.facts.tokens and p.facts.tokens >= _LATE * max(q.facts.tokens or 0 for q in points)]
    both = late if len({p.facts.tokens for p in late}) > 2 else []
    return [
        _law(FittedLaw(symbol=symbol, what=what, ladder=ladder, several=several, law=None, points=[]), chosen)
        for symbol, chosen in (("N", final), ("D", _one_training(late)), ("C", final), ("N,D", both))
    ]


def _one_training(points: Sequence[LossPoint]) -> list[LossPoint]:
    """Return the checkpoints of the largest fitted model that has several; the last one is held out."""
    fitted = [p for p in points if not p.held]
    groups: dict[tuple[object, ...], list[LossPoint]] = {}
    for p in fitted:
        groups.setdefault(p.facts.training, []).append(p)
    several = [group for group in groups.values() if len(group) >= 5]
    if not several:
        return []
    best = max(several, key=lambda group: group[0].facts.parameters or 0)
    best = sorted(best, key=lambda p: p.facts.tokens or 0)
    return [replace(p, held=p is best[-1]) for p in best]


def _law(plain: FittedLaw, points: Sequence[LossPoint]) -> FittedLaw:
    """Fit the points that have the law's quantities; they weigh by their standard errors where all have one."""
    complete = [p for p in points if all(plain.x(p))]
    fitted = [p for p in complete if not p.held]
    columns = list(zip(*(plain.x(p) for p in fitted), strict=True))
    try:
        if any(len(set(column)) < 3 for column in columns) or not columns:
            return replace(plain, reason="fewer than 3 different values to fit")
        loss = [p.loss for p in fitted]
        errors = [p.stderr for p in fitted]
        stderr = errors if all(map(math.isfinite, errors)) else None
        law = scaling.chinchilla(columns[0], columns[1], loss, stderr=stderr) if "," in plain.symbol else (
            scaling.power_law(columns[0], loss, stderr=stderr, symbol=plain.symbol)
        )  # fmt: skip
    except DataError as error:
        return replace(plain, reason=str(error))
    return replace(plain, law=law, points=complete)


def flat_laws(laws: Sequence[FittedLaw]) -> list[str]:
    """Return a warning for each law whose loss does not fall."""
    return [f"Law of the loss in {law.of}: {law.law.flat}." for law in laws if law.law and law.law.flat]


def law_table(laws: Sequence[FittedLaw]) -> Grid | None:
    """Return the fitted constants with their intervals and how well each law predicts what was held out."""
    rows = []
    several = any(fitted.several for fitted in laws)
    for fitted in laws:
        if not fitted.law:
            continue
        law = fitted.law
        constants = ", ".join(
            f"{name} = {_constant(value)} [{_constant(low)}, {_constant(high)}]"
            for name, value, low, high in zip(law.names, law.values, law.low, law.high, strict=True)
        )
        held = {p.facts.name: p for p in sorted(fitted.points, key=lambda p: p.facts.tokens or 0) if p.held}
        errors = [f"{name}: {100 * (1 / (1 + fitted.residual(p)) - 1):+.1f}%" for name, p in held.items()]
        spread = 100 * max(map(abs, law.residuals))
        rows.append(
            [
                words(law.form), *([words(fitted.ladder)] if several else []), words(fitted.what), words(constants),
                number(law.points, str(law.points)),
                number(spread, f"{spread:.1f}%"), words(", ".join(errors)), words(law.warning or law.method),
            ]
        )  # fmt: skip
    if not rows:
        return None
    return Grid(
        name="laws",
        title="Laws of the loss",
        caption=(
            "Least sum of Huber losses (1e-3) on the logarithm (Hoffmann et al. 2022), weighted by the losses' "
            "standard errors where all are known. 90% intervals from refits. "
            "Error: predicted over actual, at the last checkpoint of what was held out."
        ),
        header=[
            "law", *(["ladder"] if several else []), "loss", "constants", "points", "largest residual",
            "error held out", "remark",
        ],
        rows=rows,
    )  # fmt: skip


def _constant(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def predictions(selection: Selection) -> tuple[Mapping[str, predict.Choice], list[predict.Prediction]]:
    """Predict every held-out model of every task's main metric from the models that are not held out."""
    parts = []
    for series in selection.series:
        fitted = tuple(m for m in series.points if m.model.name not in selection.held_out)
        actual = [m for m in series.points if m.model.name in selection.held_out]
        if actual:
            parts.append((replace(series, points=fitted), actual))
    return predict.predict_parts(parts)


def prediction_table(selection: Selection, predicted: Sequence[predict.Prediction]) -> Grid:
    """Return predicted, actual and error of every task."""
    rows = []
    for p in predicted:
        assert p.actual
        inside = p.low <= p.actual.value <= p.high
        rows.append(
            [
                words(p.series.task), words(p.series.metric), examples(p.series.shots),
                words(selection.labels[p.model]), number(p.value, figure(p.value), small=_interval(p.low, p.high)),
                number(p.actual.value, figure(p.actual.value), small=_interval(p.actual.low, p.actual.high)),
                number(p.error, _signed(p.error)), number(p.baseline_error, _signed(p.baseline_error)),
                EMPTY if math.isnan(p.low) else words("yes" if inside else "no"), words(p.form),
                number(p.points, str(p.points), small=p.warning),
            ]
        )  # fmt: skip
    return Grid(
        name="predictions",
        title="Held out: predicted and actual",
        caption=(
            "Fitted without the models held out; the form of the curve was chosen on the fitted sizes alone. Error: "
            "predicted minus actual, in the metric's unit; beside it the error of 'same as the largest fitted'."
        ),
        header=[
            "task", "metric", "shots", "model", "predicted", "actual", "error", "error of 'same'", "in interval",
            "form", "sizes fitted",
        ],
        rows=rows,
    )  # fmt: skip


def error_table(selection: Selection, predicted: Sequence[predict.Prediction]) -> Grid:
    """Return the mean absolute errors: of all predictions, by model, and by whether the fitted sizes show a trend."""
    trends = {id(p): predict.kind_of(p.series).endswith(", trend") for p in predicted}
    groups: dict[tuple[str, str], list[predict.Prediction]] = {}
    for p in predicted:
        assert p.actual
        unit = "points" if p.actual.ceiling is not None else "% of the value"
        trend = "a trend among the fitted sizes" if trends[id(p)] else "no trend among the fitted sizes"
        tasks = ["whole tasks alone"] if p.series.task in selection.tasks else []
        for part in ("all", *tasks, selection.labels[p.model], trend):
            groups.setdefault((unit, part), []).append(p)
    rows = []
    for unit, part in sorted(groups, key=lambda key: (key[0] != "points", key[1] != "all")):
        group = groups[unit, part]
        errors = [_size_of(p, p.error) for p in group]
        same = [_size_of(p, p.baseline_error) for p in group]
        bounded = [p for p in group if not math.isnan(p.low)]
        inside = sum(p.low <= p.actual.value <= p.high for p in bounded if p.actual)
        rows.append(
            [
                words(part), words(unit), number(len(group), str(len(group))), *map(_average, (errors, same)),
                number(inside / len(bounded), f"{inside} of {len(bounded)}") if bounded else EMPTY,
            ]
        )  # fmt: skip
    return Grid(
        name="errors",
        title="Mean absolute error of the predictions",
        caption="points: metrics with a ceiling (shares, in percent). % of the value: others, such as perplexities.",
        header=["of", "in", "predictions", "mean |error|", "mean |error| of 'same'", "in their 95% interval"],
        rows=rows,
    )


def choice_table(choices: Mapping[str, predict.Choice]) -> Grid:
    """Return how well each form of curve did on the fitted sizes, and which one was chosen."""
    forms = list(dict.fromkeys(form for choice in choices.values() for form in choice.errors))
    rows = []
    for choice in choices.values():
        entries = [
            number(choice.errors[f], f"{choice.errors[f]:.3g}", best=f == choice.form) if f in choice.errors else EMPTY
            for f in forms
        ]
        rows.append([words(choice.kind), number(choice.series, str(choice.series)), *entries])
    return Grid(
        name="forms",
        title="Which curve predicts: compared on the fitted sizes",
        caption=(
            "Mean absolute error of each form on the fitted sizes, each left out in turn (ratio: in ln(value)). The "
            "form in bold is the one used above."
        ),
        header=["kind of series", "series", *forms],
        rows=rows,
    )


def _size_of(p: predict.Prediction, error: float) -> float:
    assert p.actual
    return abs(error) if p.actual.ceiling is not None else abs(100 * error / p.actual.value)


def _average(errors: Sequence[float]) -> Entry:
    mean = sum(errors) / len(errors)
    return number(mean, f"{mean:.2f}")


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) or math.isnan(high) else f"[{figure(low)}, {figure(high)}]"


def _signed(value: float) -> str:
    return ("+" if value >= 0 else "−") + figure(abs(value))
