"""Fits to the measurements: laws of the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.errors import DataError
from evalkit.report.models import ModelFacts, last_checkpoints
from evalkit.report.pages.cells import Grid, number, words
from evalkit.report.selection import Selection
from evalkit.report.trends import scaling

# A law in D uses checkpoints from this share of the training on: the first steps follow no power law.
_LATE = 1 / 30

TOO_FEW = "fewer than 3 different values to fit"


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
            return replace(plain, reason=TOO_FEW)
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
