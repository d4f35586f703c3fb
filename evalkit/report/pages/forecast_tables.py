"""The tables of forecasts: what was predicted of models held out, how large the errors are, the sealed ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalkit.forecasts.observations import Forecast
from evalkit.forecasts.scoring import BOTH, FORECASTS, NONE, Scored, Summary, score, summaries
from evalkit.forecasts.sealed import Sealed
from evalkit.report.forecasting import target_name
from evalkit.report.observed import all_metrics
from evalkit.report.pages.cells import EMPTY, Entry, Grid, examples, number, words
from evalkit.report.run_table import figure
from evalkit.report.selection import Selection

_SCORES = (
    "CRPS: the continuous ranked probability score, which for 'same', a point, is its |error|. Brier: of the question "
    "whether the model beats 'same' by more than noise; a coin's is 0.25."
)


def predicted(selection: Selection, scored: Sequence[Scored]) -> Grid:
    """Return forecast, actual value and errors of every model that was held out."""
    return Grid(
        name="predictions",
        title="Held out: forecast and actual",
        caption=(
            "Made from the models that are not held out. Error: forecast minus actual, in the metric's unit; beside it "
            "the error of 'same as the largest'. Where the last column has a reason instead of predictors, there is no "
            "forecast, and the value is the best guess."
        ),
        header=[
            "task", "metric", "shots", "model", "forecast", "actual", "error", "error of 'same'", "in band",
            "CRPS", "better than 'same'", "made of",
        ],
        rows=[_predicted(selection, s) for s in scored],
    )  # fmt: skip


def _predicted(selection: Selection, s: Scored) -> Sequence[Entry]:
    f = s.forecast
    return [
        words(f.task), words(f.metric), examples(f.shots),
        words(selection.labels.get(s.actual.model, s.actual.model)),
        number(f.value, figure(f.value), small=_interval(f.low, f.high)),
        number(s.actual.value, figure(s.actual.value)),
        number(s.error, signed(s.error)), number(s.same_error, signed(s.same_error)),
        words("yes" if s.inside else "no"), number(s.crps, figure(s.crps)),
        number(s.question.probability, f"{100 * s.question.probability:.0f}%"),
        Entry(text=_weights(f) if f.reason is None else f"no forecast: {f.reason}", small="; ".join(f.notes)),
    ]  # fmt: skip


def _weights(f: Forecast) -> str:
    shares = sorted(f.weights.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * share:.0f}%" for name, share in shares if share >= 0.005)


def errors(selection: Selection, scored: Sequence[Scored]) -> Grid:
    """Return the mean scores: of all forecasts, of whole tasks, and by model."""
    groups: dict[str, list[Scored]] = {}
    for s in scored:
        whole = ["whole tasks alone"] if s.series.key.task in selection.tasks else []
        for part in ("all", *whole, selection.labels.get(s.actual.model, s.actual.model)):
            groups.setdefault(part, []).append(s)
    parts = {part: group for part, group in groups.items() if part == "all" or len(group) < len(scored)}
    every = [(part, summary) for part, group in parts.items() for summary in summaries(group)]
    every.sort(key=lambda item: (list(_OF).index(item[1].of), not item[1].points))
    return Grid(
        name="errors",
        title="How good the forecasts are",
        caption=(
            "points: metrics with a ceiling (shares, in percent). % of the value: others, such as perplexities. Half "
            f"width: of the bands. {_SCORES}"
        ),
        header=["of", "in", "forecasts", *_MEANS],
        rows=[
            [
                words(f"{part}{_OF[summary.of]}"),
                words("points" if summary.points else "% of the value"),
                number(summary.count, str(summary.count)), *_means(summary),
            ]
            for part, summary in every
        ],
    )  # fmt: skip


_OF = {BOTH: ", best guesses included", FORECASTS: "", NONE: ", no forecast: the best guess"}
_MEANS = ("mean |error|", "mean |error| of 'same'", "in their bands", "half width", "CRPS", "Brier")


def _means(s: Summary) -> list[Entry]:
    return [
        number(s.error, f"{s.error:.2f}", best=s.error < s.same_error), number(s.same_error, f"{s.same_error:.2f}"),
        number(s.coverage, f"{100 * s.coverage:.0f}%", small=f"of {100 * s.level:.0f}%"),
        number(s.half_width, f"{s.half_width:.2f}"), number(s.crps, f"{s.crps:.2f}"), number(s.brier, f"{s.brier:.3f}"),
    ]  # fmt: skip


def ledger(selection: Selection, files: Sequence[tuple[Path, Sealed]]) -> Grid:
    """Return a row per sealed forecast and unit: when it was made, of what, and how it turned out."""
    rows: list[Sequence[Entry]] = []
    for path, content in sorted(files, key=lambda item: item[1].made):
        scored = score(content, all_metrics(selection))
        count = sum(f.reason is None for series in content.series for f in series.forecasts)
        about = [
            words(path.name), Entry(text=content.made[:10], key=content.made), words(content.seal[:12]),
            words("; ".join(map(target_name, content.targets))), number(count, f"{count:,}"),
        ]  # fmt: skip
        made = [s for s in summaries(scored) if s.of == FORECASTS]
        rows += [[*about, words(_count(s)), *_means(s)] for s in made]
        rows += [] if made else [[*about, words("none yet"), *[EMPTY] * len(_MEANS)]]
    return Grid(
        name="ledger",
        title="Sealed forecasts",
        caption=(
            "Made by evalkit forecast before the models were measured; files with a broken seal are left out. "
            + _SCORES
        ),
        header=["file", "made", "seal", "of", "forecasts", "measured", *_MEANS],
        rows=rows,
    )


def _count(s: Summary) -> str:
    return f"{s.count} in {'points' if s.points else '% of the value'}"


def _interval(low: float, high: float) -> str:
    return f"[{figure(low)}, {figure(high)}]"


def signed(value: float) -> str:
    """Write an error with its sign."""
    return ("+" if value >= 0 else "−") + figure(abs(value))
