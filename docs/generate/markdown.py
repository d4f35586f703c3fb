"""Pieces of Markdown that generated pages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Characters of plain text that Markdown would take for its own.
_SPECIAL = re.compile(r"([\\`*_\[\]|])")


def escaped(text: str) -> str:
    """Return plain text as Markdown that shows it; parts between backquotes stay code."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(
        part if number % 2 else _SPECIAL.sub(r"\\\1", part).replace("<", "&lt;") for number, part in enumerate(parts)
    )


def code(text: str) -> str:
    """Return a word or phrase as code; for a cell of a table too."""
    marks = "``" if "`" in text else "`"
    return f"{marks}{text}{marks}" if text else ""


def fence(text: str, language: str) -> str:
    """Return a block of code, whatever it holds."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    marks = "`" * (longest + 1)
    return f"{marks}{language}\n{text.rstrip(chr(10))}\n{marks}\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown without pipes."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
