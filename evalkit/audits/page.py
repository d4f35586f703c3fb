"""An audit on the terminal, as Markdown, and as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from evalkit import sinks, tables
from evalkit.audits import figure, texts
from evalkit.audits.audit import Audit, Items
from evalkit.audits.findings import Finding
from evalkit.files import write_files
from evalkit.report.figures import canvas

# Documents with a doubtful gold that a page lists for each task.
_LISTED = 10

_SIGNAL = (
    "Signal: the dispersion of the models' scores over their mean. Noise: the standard deviation of a training's last "
    "{last} checkpoints over their mean (~: of trainings with other seeds); SNR is their ratio (Heineman et al. 2025). "
    "Alike: neighbouring sizes that single seeds rank as the others do, or pairs of alternatives that small sizes rank "
    "as the largest does. Trusted: from this size on scores are above chance and baselines; up to that one "
    "they are not full."
)
_ITEMS = (
    "Any, all: documents that some and every model answers rightly. Gold?: documents whose gold looks wrong, as every "
    "large model confidently gives the same other answer (- where these are right on less than half). Tells soonest: "
    "the metric with which fewest documents tell neighbouring sizes apart (paired, 5%, power 80%)."
)


def show(audit: Audit, console: Console) -> None:
    """Print what fits a terminal of 80 columns: the main findings, and what records say."""
    _print(console, texts.SIGNAL, audit.main)
    console.print(Text(_SIGNAL.format(last=audit.last), style="dim"))
    if audit.items:
        console.print()
        _print(console, texts.ITEMS, audit.items)
        console.print(Text(_ITEMS, style="dim"))
    for note in audit.notes:
        console.print(Text(note, style="yellow"))


def _print(console: Console, columns: Mapping[str, Callable[[Any], str]], rows: Sequence[Any]) -> None:
    cells = [[cell(row) for cell in columns.values()] for row in rows]
    tables.show(tables.table(columns, cells, gap=1), console)


def write(audit: Audit, out: Path, *, title: str, command: str) -> list[Path]:
    """Write audit.md, audit.csv and the figure into a folder, and return their paths. Raises StoreError, DiskError."""
    drawn = canvas.render(made) if (made := figure.figure(audit)) else None
    files: dict[str, str | bytes] = {
        "audit.md": markdown(audit, title=title, command=command, drawn=drawn is not None),
        "audit.csv": texts.as_csv(audit),
    }
    if drawn:
        files |= {"signal.svg": drawn.svg, "signal.png": drawn.png}
    return write_files(out, files)


def markdown(audit: Audit, *, title: str, command: str, drawn: bool = False) -> str:
    """Return the page. drawn: link the figure beside it."""
    return "\n".join(_lines(audit, title, command, drawn)) + "\n"


def _lines(audit: Audit, title: str, command: str, drawn: bool) -> Iterator[str]:
    yield from [f"# {sinks.markdown(title)}", "", f"Made by {sinks.markdown_code(command)}.", ""]
    if drawn:
        yield from ["[![Signal and noise](signal.png)](signal.svg)", ""]
    yield from [*(f"{sinks.markdown(note)}\n" for note in audit.notes), "## Signal and noise", ""]
    yield from [_SIGNAL.format(last=audit.last), "", _FULL, ""]
    main = audit.main
    yield from _table(texts.FULL, main)
    others = [f for f in audit.findings if f not in main and not f.key.level]
    if others:
        yield from ["", "### Other metrics", "", *_table(texts.FULL, others)]
    if leveled := [f for f in audit.findings if f.key.level and f.key.metric in {m.key.metric for m in main}]:
        yield from ["", "### Levels", "", *_table(texts.FULL, leveled)]
    if sized := [f for f in audit.findings if f.by_size and not f.key.level]:
        yield from ["", "### How sizes rank as the largest does", "", *_by_size(sized)]
    if audit.items:
        yield from ["", "## Documents", "", _ITEMS, "", *_table(texts.ITEMS, audit.items), "", *_items(audit.items)]
    if audit.problems:
        yield from ["", "## Left out", "", *(f"- {sinks.markdown(f'{p.path}: {p.reason}')}" for p in audit.problems)]


_FULL = (
    "Noise of a mean: of the mean of these checkpoints, if they are independent. One checkpoint, half of them: the "
    "share of neighbouring sizes that one checkpoint ranks as the mean of the others does, and every second one's mean "
    "as the rest's. Sizes alike: the share of pairs of alternatives (families, or checkpoints where there is one "
    "family) that smaller sizes rank as the largest does (decision accuracy, Magnusson et al. 2025). Seeds alike: the "
    "share of neighbouring sizes that one training of each ranks as the other seeds do. Intervals are 95%, over "
    "alternatives or sizes as independent ones."
)


def _table(columns: Mapping[str, Callable[[Any], str]], rows: Sequence[Any]) -> list[str]:
    left = sum(name in ("task", "metric", "shots") for name in columns)
    return sinks.markdown_table(list(columns), [[cell(row) for cell in columns.values()] for row in rows], left=left)


def _by_size(rows: Sequence[Finding]) -> list[str]:
    sizes = sorted({int(size) for f in rows for size in f.by_size})
    header = ["task", "shots", "metric", "of", *(canvas.count(size) for size in sizes)]
    body = [
        [texts.name(f.key.task, f.key.level, f.key.template), texts.shots_of(f.key.shots), f.key.metric, f.alternatives,
         *(texts.share(f.by_size[str(size)], interval=False) if str(size) in f.by_size else "-" for size in sizes)]
        for f in rows
    ]  # fmt: skip
    return sinks.markdown_table(header, body, left=4)


def _items(rows: Sequence[Items]) -> Iterator[str]:
    """Yield what each metric tells, what each level's documents are, and the doubtful ones."""
    told = [
        [texts.name(i.task, "", i.template), texts.shots_of(i.shots), t.metric, texts.documents(t.documents),
         f"{t.ordered} of {t.pairs}"]
        for i in rows for t in i.tells
    ]  # fmt: skip
    if told:
        yield from ["### Which metric tells soonest", "", "Documents to tell neighbours apart, the median.", ""]
        yield from sinks.markdown_table(["task", "shots", "metric", "documents", "pairs in order"], told, left=3)
    levels = [
        [i.task, texts.shots_of(i.shots), level, f"{a.documents:,}", f"{a.some / a.documents:.0%}",
         f"{a.every / a.documents:.0%}", str(sum(d.level == level for d in i.doubtful)) if i.large else "-"]
        for i in rows for level, a in i.answered.items() if level and a.documents
    ]  # fmt: skip
    if levels:
        header = ["task", "shots", "level", "documents", "any right", "all right", "gold?"]
        yield from ["", "### By level", "", *sinks.markdown_table(header, levels, left=3)]
    for i in rows:
        if i.doubtful:
            yield from ["", *_doubtful(i)]


def _doubtful(i: Items) -> Iterator[str]:
    yield f"### {sinks.markdown(i.task)} at {texts.at_shots(i.shots)}: does the gold look wrong?"
    more = f" The {_LISTED} most confident of {len(i.doubtful)}." if len(i.doubtful) > _LISTED else ""
    yield from ["", f"Answered alike by {sinks.markdown(', '.join(i.large))}.{more}", ""]
    chosen = sorted(i.doubtful, key=lambda d: (-d.confidence, d.document))[:_LISTED]
    rows = [[d.document, d.level, d.gold[:60], d.answer[:60], f"{d.confidence:.0%}"] for d in chosen]
    yield from sinks.markdown_table(["document", "level", "gold", "answer", "least confident"], rows, left=4)
