"""The results table of one or more runs, by family: its rows and columns, in Markdown and in HTML.

A paper's value for the same task, protocol, shots and size is shown beside ours.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from statistics import median

from evalkit import papers, sinks
from evalkit.harness.failures import MAX_FAILED, too_many
from evalkit.harness.task import FAMILIES
from evalkit.runs.signature import Signature
from evalkit.stats.intervals import too_few
from evalkit.types import Result

# Sources of the table's rows: the others stand beside these.
SHOWN = ("model", "estimate")

# Marks a score of which too many items failed.
MARK = "(!)"


@dataclass(frozen=True)
class Row:
    """One line: a task's metric for one model, at each number of shots.

    cells: results by shots. beside: controls and baselines of the smallest number of shots.
    wordings: by shots, the results of the protocol's further wordings. allowed: the share of failed items beyond which
    a score is marked.
    """

    cells: dict[int, Result]
    beside: Sequence[Result]
    wordings: dict[int, list[Result]] = field(default_factory=dict)
    allowed: float = MAX_FAILED

    @property
    def first(self) -> Result:
        """Return the result with the fewest shots."""
        return self.cells[min(self.cells)]

    def texts(self, columns: Columns) -> list[str]:
        """Return the columns, as many as `header` names."""
        r = self.first
        chance = figure(r.chance) if r.chance is not None else ""
        scores = [scored(self.cells[k], allowed=self.allowed) if k in self.cells else "" for k in columns.shared]
        if columns.own:
            own_counts = sorted(self.cells.keys() & columns.own)
            scores.append(", ".join(f"{k}: {scored(self.cells[k], allowed=self.allowed)}" for k in own_counts))
        return [self.title, r.metric, r.model, *scores, f"{r.n:,}", chance, ", ".join(self.notes())]

    @property
    def title(self) -> str:
        """Return the task, with its level if it has one."""
        r = self.first
        return f"{r.task} ({r.level})" if r.level else r.task

    def notes(self) -> Iterator[str]:
        """Yield what stands beside the scores: controls, baselines, other wordings, failures, shortened prompts."""
        for b in self.beside:
            yield f"{b.source.partition(':')[2]} {_with_paper(figure(b.value), b, '{} (paper {})')}"
        for k, others in sorted(self.wordings.items()):
            values = [r.value for r in (*others, *([self.cells[k]] if k in self.cells else []))]
            spread = f"{figure(min(values))} to {figure(max(values))}"
            yield f"{len(values)} wordings at {k} shots: median {figure(median(values))} ({spread})"
        if self.first.source == "estimate":
            yield f"estimate for all {Signature.parse(self.first.signature).of_all:,}"
        for k, c in sorted(self.cells.items()):
            if c.failed:
                yield f"{c.failed:,} of {c.n + c.failed:,} failed at {k} shots"
            if c.truncated:
                yield f"{c.truncated:,} shortened at {k} shots"
        yield from dict.fromkeys(filter(None, (too_few(c.units, c.n) for _, c in sorted(self.cells.items()))))


@dataclass(frozen=True)
class Columns:
    """The columns of scores: one per number of shots that many tasks share, and one for those that are a task's own."""

    shared: Sequence[int]
    own: frozenset[int] = frozenset()

    @classmethod
    def of(cls, results: Sequence[Result]) -> Columns:
        """Choose the columns. Papers give each task its own K: a number of shots that under half of the tasks have."""
        tasks = defaultdict(set)
        for r in results:
            tasks[r.shots].add((r.task, r.protocol))
        half = len(set().union(*tasks.values())) / 2 if tasks else 0
        own = {shots for shots, having in tasks.items() if shots > 1 and len(having) < half}
        if len(own) < 2:
            return cls(sorted(tasks))
        return cls(sorted(tasks.keys() - own), frozenset(own))


def header(columns: Columns) -> list[str]:
    """Return the names of the columns."""
    scores = [*(f"{k}-shot" for k in columns.shared), *(["K-shot"] if columns.own else [])]
    return ["task", "metric", "model", *scores, "n", "chance", "beside it"]


def figure(value: float) -> str:
    """Return a value with one decimal between 10 and 1,000, two below, none above; two digits from ten million on."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    if abs(value) >= 1e7:  # the upper bound of a perplexity on a handful of documents
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def is_marked(result: Result, *, allowed: float) -> bool:
    """Whether too many of the items failed for the value to be trusted."""
    return result.source in SHOWN and not result.level and too_many(result.failed, result.n, allowed=allowed)


def scored(result: Result, *, allowed: float = MAX_FAILED) -> str:
    """Return a value with its 95% interval, if it has one, and the paper's value, if it has one.

    A mark follows where more than the allowed share of the items failed.
    """
    text = figure(result.value)
    if not (math.isnan(result.low) or math.isnan(result.high)):
        text += f" [{figure(result.low)}, {figure(result.high)}]"
    text += f" {MARK}" if is_marked(result, allowed=allowed) else ""
    return _with_paper(text, result, "{}; paper {}")


def _with_paper(text: str, result: Result, form: str) -> str:
    printed = papers.beside(result)
    return form.format(text, figure(printed.value)) if printed else text


def sources(results: Sequence[Result]) -> str:
    """Return, in one line, the sources of the papers' values shown with these results, and their caveats."""
    printed = [(result, value) for result in results if (value := papers.beside(result))]
    notes = {f"{result.task}: {value.note}" for result, value in printed if value.note}
    places = sorted({value.where for _, value in printed})
    return "; ".join([*places, *sorted(notes)])


def rows(
    results: Sequence[Result], *, all_metrics: bool = False, levels: bool = False, allowed: float = MAX_FAILED
) -> Iterator[tuple[str, list[Row]]]:
    """Yield (family, rows), in the order of families; of each task its first metric, or all of them."""
    for family in FAMILIES:
        chosen = [r for r in results if r.family == family and r.source in SHOWN and (levels or not r.level)]
        first = {r.task: r.metric for r in reversed(chosen)}
        tasks = {r.task: i for i, r in enumerate(reversed(chosen))}
        lines: dict[tuple[str, ...], dict[int, Result]] = {}
        wordings: dict[tuple[str, ...], dict[int, list[Result]]] = defaultdict(lambda: defaultdict(list))
        for r in chosen:
            key = (r.task, r.metric, r.level, r.protocol, r.model)
            if r.template:
                wordings[key][r.shots].append(r)
            elif all_metrics or r.metric == first[r.task]:
                lines.setdefault(key, {})[r.shots] = r
        order = sorted(lines, key=lambda key: -tasks[key[0]])  # stable: tasks, then as the results come
        if order:
            yield family, [Row(lines[key], _beside(lines[key], results), wordings[key], allowed) for key in order]


def _beside(cells: dict[int, Result], results: Sequence[Result]) -> list[Result]:
    """Return the controls and baselines that belong to a row; a level has none."""
    r = cells[min(cells)]
    if r.level:
        return []
    cell = (r.model, r.task, r.protocol, r.shots, r.metric)
    return [b for b in results if b.source not in SHOWN and (b.model, b.task, b.protocol, b.shots, b.metric) == cell]


def html(
    results: Sequence[Result], *, all_metrics: bool = False, levels: bool = False, allowed: float = MAX_FAILED
) -> str:
    """Return the table as HTML, for a notebook. allowed: the share of failed items beyond which a score is marked."""
    columns = Columns.of(results)
    out = ["<table>", _html_row(header(columns), "th")]
    for family, lines in rows(results, all_metrics=all_metrics, levels=levels, allowed=allowed):
        out.append(_html_row([family], "th"))
        out += [_html_row(line.texts(columns), "td") for line in lines]
    return "\n".join([*out, "</table>"])


def _html_row(texts: Sequence[str], cell: str) -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(text)}</{cell}>" for text in texts) + "</tr>"


def markdown(
    results: Sequence[Result], *, all_metrics: bool = False, levels: bool = False, allowed: float = MAX_FAILED
) -> str:
    """Return the table as Markdown, a section per family. allowed: as in `html`."""
    columns, out = Columns.of(results), []
    names = header(columns)
    for family, lines in rows(results, all_metrics=all_metrics, levels=levels, allowed=allowed):
        out += [f"### {family}", "", "| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
        for *about, final in (line.texts(columns) for line in lines):
            cells = [*map(sinks.markdown, about[:3]), *about[3:], sinks.markdown(final)]  # between them: our figures
            out.append("| " + " | ".join(cells) + " |")
        out.append("")
    if note := legend(results, allowed=allowed):
        out += [note, ""]
    if places := sources(shown(results, all_metrics=all_metrics, levels=levels)):
        out += [f"paper: {sinks.markdown(places)}", ""]
    return "\n".join(out)


def legend(results: Sequence[Result], *, allowed: float) -> str:
    """Return what the mark means, empty where there is none."""
    if not any(is_marked(result, allowed=allowed) for result in results):
        return ""
    return f"{MARK}: more than {100 * allowed:g}% of the items failed (--max-failed); the score covers the others"


def shown(results: Sequence[Result], *, all_metrics: bool, levels: bool) -> list[Result]:
    """Return the results whose values the table prints."""
    lines = [row for _, family_rows in rows(results, all_metrics=all_metrics, levels=levels) for row in family_rows]
    return [result for row in lines for result in (*row.cells.values(), *row.beside)]
