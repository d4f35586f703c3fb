"""Forecasts from what a report has: of the models that are held out of it, or of models that do not exist yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalkit.errors import DataError, UsageError
from evalkit.forecasts.forecast import forecast
from evalkit.forecasts.observations import Target
from evalkit.forecasts.scoring import Scored, score
from evalkit.forecasts.sealed import Sealed, sealed
from evalkit.report.imports import columns
from evalkit.report.observed import digests, observations
from evalkit.report.selection import Selection

_SYMBOLS = {"N": "parameters", "D": "tokens", "C": "compute"}
_EXPECTED = "expected N=SIZE, and D=TOKENS, C=FLOPS, family=NAME, name=NAME as known, such as N=12B,D=300B"


def target_of(text: str, *, option: str = "--at") -> Target:
    """Return the target that a text such as "N=12B,D=300B" describes. Raises UsageError for another text."""
    fields: dict[str, Any] = {}
    for part in text.split(","):
        name, sign, value = (piece.strip() for piece in part.partition("="))
        name = _SYMBOLS.get(name, name)
        if not sign or not value or name in fields or name not in (*_SYMBOLS.values(), "family", "name"):
            raise UsageError(f"{option} {text}: {_EXPECTED}")
        try:
            number = columns.COLUMNS[name].parse(value) if name in _SYMBOLS.values() else value
        except ValueError:
            raise UsageError(f"{option} {text}: {name} is {columns.COLUMNS[name].allowed}, not {value}") from None
        fields[name] = number
    if "parameters" not in fields:
        raise UsageError(f"{option} {text}: {_EXPECTED}")
    return Target(**fields)


def held_out(selection: Selection) -> list[Target]:
    """Return the models that are held out of a selection as targets, at their last checkpoints, by size."""
    targets: dict[str, Target] = {}
    for m in selection.main:
        facts = m.model
        if facts.name in selection.held_out and facts.checkpoint in selection.ends and facts.parameters:
            targets[facts.name] = Target(
                parameters=facts.parameters, tokens=facts.tokens, compute=facts.flops, family=facts.family,
                name=facts.name,
            )  # fmt: skip
    return sorted(targets.values(), key=lambda target: (target.family, target.parameters))


def forecast_of(selection: Selection, targets: Sequence[Target], *, command: str = "", parts: bool = True) -> Sealed:
    """Forecast from the models of a selection that are not held out. Raises DataError where they do not suffice."""
    observed = observations(selection, parts=parts)
    if not observed:
        raise DataError("none of the results is of a trained model whose size is known (column parameters)")
    used = [m for m in selection.raw if m.model.name not in selection.held_out]
    return sealed(forecast(observed, targets=targets), observed, inputs=digests(used), command=command)


def predicted(selection: Selection) -> tuple[Sealed, list[Scored]] | None:
    """Forecast the models that are held out and score it; None where none is, or nothing is left to forecast from."""
    targets = held_out(selection)
    if not targets or not observations(selection):
        return None
    content = forecast_of(selection, targets)
    return content, score(content, observations(selection, held_out=True))


def target_name(target: Target) -> str:
    """Return what to call a target: its name, else its size and tokens."""
    if target.name:
        return target.name
    texts = [f"N {short(target.parameters)}"]
    texts += [f"D {short(target.tokens)}"] if target.tokens is not None else []
    return ", ".join([*texts, f"C {flops(target.compute)}"] if target.compute is not None else texts)


def short(number: float) -> str:
    """Write a count in three digits and a unit.

    >>> short(11_846_072_320), short(3e11)
    ('11.8B', '300B')
    """
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def flops(number: float) -> str:
    """Write a number of FLOPs as a power of ten.

    >>> flops(2.15e22)
    '2.15e22'
    """
    return f"{number:.3g}".replace("e+", "e")
