"""Recipes ranked by CORE, with those that the documents cannot tell apart; and the tasks of one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evalkit import tables
from evalkit.comparison.comparison import MeanChange
from evalkit.comparison.evidence import Evidence
from evalkit.comparison.verdicts import Verdict, holm
from evalkit.dclm.scores import RunScores, check_alike, read
from evalkit.dclm.spread import Difference, Recipe, difference, recipe
from evalkit.errors import EvalkitError
from evalkit.harness.catalog import CORE_SUITES


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """recipes: the best first. differences: by two places, i < j, of i - j; adjusted: their p values after Holm."""

    recipes: Sequence[Recipe]
    differences: Mapping[tuple[int, int], Difference]
    adjusted: Mapping[tuple[int, int], float]
    alpha: float

    def alike(self, place: int) -> list[int]:
        """Return the places of the recipes that are not told apart from one."""
        return [
            j for j in range(len(self.recipes)) if j != place
            and self.adjusted[min(place, j), max(place, j)] > self.alpha
        ]  # fmt: skip


def rank(recipes: Sequence[Sequence[RunScores]], *, alpha: float, resamples: int, seed: int) -> Leaderboard:
    """Rank recipes, each given as the runs of its trainings. Raises CompareError for runs that are not comparable."""
    check_alike([run for runs in recipes for run in runs])
    ranked = sorted((recipe(runs, resamples=resamples, seed=seed) for runs in recipes), key=lambda r: -r.value)
    pairs = list(itertools.combinations(range(len(ranked)), 2))
    differences = {(i, j): difference(ranked[j], ranked[i]) for i, j in pairs}
    adjusted = dict(zip(pairs, holm([differences[pair].p for pair in pairs]), strict=True))
    return Leaderboard(recipes=ranked, differences=differences, adjusted=adjusted, alpha=alpha)


def change(base: Evidence, new: Evidence, *, alpha: float) -> MeanChange | None:
    """Return the paired change of CORE between two runs, or why there is none; None for a side that is no run of it."""
    for side in (base, new):
        if not side.path.is_dir() or not any(key.protocol in CORE_SUITES.values() for key in side.sheets):
            return None
    try:
        runs = [read(base.path), read(new.path)]
        check_alike(runs)
    except EvalkitError as error:  # the comparison of the tasks stands without it
        return MeanChange(name="CORE", reason=str(error))
    before, after = (recipe([run]) for run in runs)
    apart = difference(before, after)
    verdict: Verdict = "undecided" if apart.p > alpha else "better" if apart.value > 0 else "worse"
    return MeanChange(
        name=runs[0].name, base=before.value, new=after.value, low=apart.low, high=apart.high, p=apart.p,
        verdict=verdict,
    )  # fmt: skip


def show(board: Leaderboard, console: Console) -> None:
    """Print the ranking; of a single recipe its tasks first."""
    first = board.recipes[0]
    if len(board.recipes) == 1:
        tables.show(_tasks(first.runs), console)
    tables.show(_ranking(board), console)
    for line in notes(board):
        console.print(Text(line, style="dim"))


def _tasks(runs: Sequence[RunScores]) -> Table:
    table = tables.table(("task", "shots", "documents", "accuracy", "baseline", "centred"))
    for label, task in runs[0].tasks.items():
        same = [run.tasks[label] for run in runs]
        size = f"{len(task.ids):,}" + (f" of {task.total:,}" if len(task.ids) < task.total else "")
        accuracy = float(np.mean([each.accuracy for each in same]))
        table.add_row(
            label, task.settings["shots"], size, f"{accuracy:.4f}", f"{task.baseline:.3f}",
            f"{task.centre(accuracy):.4f}",
        )  # fmt: skip
    return table


def _ranking(board: Leaderboard) -> Table:
    several = len(board.recipes) > 1
    last = ["to the first", "p", "not told apart from"] if several else []
    value = board.recipes[0].runs[0].name
    table = tables.table(("", "model", value, "documents", "shots' seeds", "trainings", *last))
    for place, each in enumerate(board.recipes):
        row = [
            f"{place + 1}", _name(each), f"{each.value:.4f} [{each.low:.4f}, {each.high:.4f}]",
            f"[{each.documents[0]:.4f}, {each.documents[1]:.4f}]",
            _deviation([*each.by_seed.values()]), _deviation(each.by_training),
        ]  # fmt: skip
        if several and place:
            apart = board.differences[0, place]
            row += [f"{-apart.value:+.4f} [{-apart.high:+.4f}, {-apart.low:+.4f}]", f"{board.adjusted[0, place]:.2g}"]
        elif several:
            row += ["", ""]
        if several:
            row.append(", ".join(str(j + 1) for j in board.alike(place)))
        table.add_row(*row)
    return table


def notes(board: Leaderboard) -> list[str]:
    """Return what the figures mean, and what the runs lack."""
    first = board.recipes[0]
    lines = [
        "Brackets: 95% intervals; documents: stratified bootstrap. Seeds and trainings: standard deviation of the "
        "value (how many); where there are several, they are in the first interval."
    ]
    if missing := first.runs[0].missing:
        lines.append(f"No CORE: the runs lack {', '.join(missing)}.")
    if first.rest:
        lines.append(
            f"Only a part of the documents was scored: for the value of all of them the standard error is "
            f"{first.rest:.4f} ({_name(first)})."
        )
    if len(board.recipes) > 1:
        lines.append(f"Told apart: paired on the same documents, p after Holm's correction at most {board.alpha:g}.")
    return lines


def as_json(board: Leaderboard) -> str:
    """Return the figures as JSON."""
    rows: list[dict[str, Any]] = [
        {
            "name": each.runs[0].name, "model": _name(each), "runs": [str(run.path) for run in each.runs],
            "value": each.value, "low": each.low, "high": each.high, "documents": list(each.documents),
            "standard_error_for_all_documents": each.rest, "by_seed": dict(each.by_seed),
            "by_training": list(each.by_training), "not_told_apart_from": board.alike(place),
            "tasks": {label: task.centred for label, task in each.runs[0].tasks.items()} if len(each.runs) == 1 else {},
            "missing": each.runs[0].missing,
        }
        for place, each in enumerate(board.recipes)
    ]  # fmt: skip
    pairs = [
        {"first": i, "second": j, **vars(apart), "adjusted": board.adjusted[i, j]}
        for (i, j), apart in board.differences.items()
    ]
    return json.dumps({"recipes": rows, "differences": pairs}, indent=1) + "\n"


def _deviation(values: Sequence[float]) -> str:
    return f"{np.std(values, ddof=1):.4f} ({len(values)})" if len(values) > 1 else "-"


def _name(each: Recipe) -> str:
    return ", ".join(dict.fromkeys(run.model for run in each.runs))
