"""Tables on a terminal: side by side where that fits, otherwise a block per row. No name or number is shortened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

# Columns that stand on the left; numbers stand on the right.
_LEFT = ("task", "metric", "model", "family")
_UNBOUNDED = 10_000
_INDENT = 2


def table(
    columns: Iterable[str], rows: Iterable[Sequence[str | Text]] = (), *, left: Sequence[str] = _LEFT, gap: int = 2
) -> Table:
    """Return a table without lines. left: columns on the left. gap: spaces between columns."""
    result = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for name in columns:
        result.add_column(Text(name), justify="left" if name in left else "right", no_wrap=True)
    for row in rows:
        result.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return result


def fits(table: Table, console: Console, width: int | None = None) -> bool:
    """Whether a table needs no more than a width, or the console's. Columns that do not wrap get all that they need."""
    for column in table.columns:
        if column.no_wrap:
            column.min_width = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
    needed = Measurement.get(console, console.options.update(width=_UNBOUNDED), table).minimum
    return needed <= (console.width if width is None else width)


def show(table: Table, console: Console) -> None:
    """Print a table, or, where the terminal is too narrow for it, each row as a block: its name, then its values."""
    if fits(table, console):
        console.print(table)
        return
    headers = [str(column.header) for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        first, *values = row
        console.print(Text(str(first), style="bold"))
        parts = [f"{name} {value}".strip() for name, value in zip(headers[1:], map(str, values), strict=True) if value]
        for line in lines(parts, width=console.width - _INDENT):
            console.print(Padding(Text(line), (0, 0, 0, _INDENT), expand=False))


def lines(parts: Sequence[str], *, width: int) -> Iterator[str]:
    """Yield parts as lines, with commas between them; a part is broken only if it is wider than a line."""
    ends: list[int] = []
    used = number = 0
    for part in parts:
        needed = cell_len(part) + 2
        number, used = (number + 1, needed) if used and used + needed - 1 > width else (number, used + needed)
        ends.append(number)
    for _, group in groupby(zip(ends, parts, strict=True), key=lambda pair: pair[0]):
        yield ", ".join(part for _, part in group)
