"""A plan for a ladder as text of at most 80 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evalkit.forecasts.design import Advice, Outcome, Plan
from evalkit.forecasts.observations import Target
from evalkit.report.forecasting import flops, short, target_name
from evalkit.report.run_table import figure
from evalkit.report.terminal.forecasts import table, wrapped


def plan(advice: Advice) -> str:
    """Return the plans, the rungs of the best one, and what more would buy."""
    points = not math.isnan(advice.now.half_width)
    unit = "points" if points else "% of the value"
    header = ("train", "FLOPs", f"half width, {unit}", "mean |error|", "in band")
    rows = [("nothing more", "0", *_worth(advice.now, points))]
    rows += [(_ladder(o.plan), flops(o.plan.compute), *_worth(o, points)) for o in advice.outcomes[: advice.compared]]
    best = advice.outcomes[0].plan
    lines = wrapped(
        f"Ladders for {flops(advice.budget)} FLOPs beside the models that exist, by the width of the band that the "
        f"forecast of {target_name(advice.target)} has then, relative to the others' and averaged over tasks:"
    )
    lines += ["", *table(header, rows), "", "The best one:", ""]
    lines += table(
        ("rung", "parameters", "tokens", "FLOPs"),
        [(str(i), *_rung(r)) for i, r in enumerate(best.rungs, start=1)],
    )
    lines += ["", "More than that would buy:", ""]
    further = [
        (f"{name} ({_more(outcome.plan, best)})", *_worth(outcome, points)) for name, outcome in advice.further.items()
    ]
    lines += table(("", *header[2:]), [("as above", *_worth(advice.outcomes[0], points)), *further])
    return "\n".join(lines)


def _more(plan: Plan, best: Plan) -> str:
    more = plan.compute - best.compute
    return f"+{flops(more)} FLOPs" if more > 0 else "no training"


def _ladder(plan: Plan) -> str:
    """Return a plan in a few words: rungs, sizes, tokens per parameter."""
    first, last = plan.rungs[0], plan.rungs[-1]
    per_parameter = (first.tokens or 0) / first.parameters
    return f"{len(plan.rungs)} of {short(first.parameters)} to {short(last.parameters)}, D/N {per_parameter:.3g}"


def _rung(rung: Target) -> tuple[str, str, str]:
    return short(rung.parameters), short(rung.tokens or 0), flops(rung.flops or 0)


def _worth(outcome: Outcome, points: bool) -> tuple[str, str, str]:
    width, error = (
        (outcome.half_width, outcome.error) if points else (outcome.ratio_half_width, outcome.ratio_error)
    )  # fmt: skip
    return f"{figure(width)} ± {figure(outcome.spread)}", figure(error), f"{100 * outcome.coverage:.0f}%"


def as_json(advice: Advice) -> dict[str, Any]:
    """Return everything as JSON; numbers that do not exist are null."""
    return {
        "target": {"parameters": advice.target.parameters, "tokens": advice.target.tokens},
        "budget": advice.budget,
        "compared": advice.compared,
        "now": _outcome(advice.now),
        "plans": [_outcome(outcome) for outcome in advice.outcomes],
        "further": {name: _outcome(outcome) for name, outcome in advice.further.items()},
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    names = ("half_width", "error", "ratio_half_width", "ratio_error", "spread", "coverage")
    numbers = {name: getattr(outcome, name) for name in names}
    rungs: Sequence[dict[str, Any]] = [
        {"parameters": round(r.parameters), "tokens": round(r.tokens or 0), "compute": r.flops}
        for r in outcome.plan.rungs
    ]
    known = {name: None if math.isnan(number) else number for name, number in numbers.items()}
    return {"rungs": rungs, "compute": outcome.plan.compute, **known}
