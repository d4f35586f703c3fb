"""What the papers measured of a task, as tables: a row for shots and metric, a column for each size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from docs.generate.markdown import code, escaped, table
from evalkit.model.config import SIZES
from evalkit.papers import Published, published

# shots, source and the values by size -> the metrics that have them.
_Row = tuple[str, str, tuple[tuple[str, float], ...]]


def sections(tasks: Iterable[str]) -> str:
    """Return a table for each task and protocol with published values; empty without any."""
    parts = []
    for task in tasks:
        protocols = dict.fromkeys(protocol for name, protocol, *_ in published() if name == task)
        for protocol in protocols:
            values = {key: value for key, value in published().items() if key[:2] == (task, protocol)}
            parts += [f"### {task} under {protocol}, as published", _table(values), _sources(values.values())]
    return "\n\n".join(parts)


def _table(values: Mapping[tuple[str, str, str, str, str, str], Published]) -> str:
    sizes = sorted({key[3] for key in values}, key=["", *SIZES].index)
    rows: dict[tuple[str, str, str], dict[str, float]] = {}
    for (_, _, shots, size, source, metric), value in values.items():
        rows.setdefault((shots, source, metric), {})[size] = value.value
    # The same values are often those of several of our metrics: the paper does not say which.
    metrics: dict[_Row, list[str]] = {}
    for (shots, source, metric), by_size in rows.items():
        metrics.setdefault((shots, source, tuple(by_size.items())), []).append(metric)
    header = ["shots", "metric", *(size or "no model" for size in sizes)]
    lines = []
    for (shots, source, found), names in metrics.items():
        by_size = dict(found)
        kind = "" if source == "model" else f"{code(source)}: "
        cells = [f"{by_size[size]:g}" if size in by_size else "" for size in sizes]
        lines.append([shots, kind + ", ".join(map(code, names)), *cells])
    return table(header, lines)


def _sources(values: Iterable[Published]) -> str:
    """Return where the values stand, and what is known against them."""
    values = list(values)
    places = dict.fromkeys(value.where for value in values)
    notes = dict.fromkeys(value.note for value in values if value.note)
    return " ".join(escaped(f"{text[0].upper()}{text[1:]}.") for text in ["; ".join(places), *notes])
