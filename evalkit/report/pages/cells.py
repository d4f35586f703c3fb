"""A table before it is written: entries with their text, a remark in small type, and a sort key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from evalkit import sinks

_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}"}
    | {">": r"\textgreater{}", "±": r"$\pm$", "×": r"$\times$", "−": r"$-$", "≥": r"$\ge$", "≤": r"$\le$"}
    | {"↓": r"$\downarrow$", "→": r"$\to$", "…": r"\ldots{}"}
    | {"α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "ρ": r"$\rho$", "τ": r"$\tau$", "\n": " "}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One cell.

    text: what is shown. small: an interval or a remark, in small type. key: what sorting compares; None comes last.
    best: the best of its row or column. quoted: a published figure, not one of ours.
    """

    text: str = ""
    small: str = ""
    key: float | str | None = None
    best: bool = False
    quoted: bool = False


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table: its name (in files and links), heading, caption, header and rows of equal length."""

    name: str
    title: str
    caption: str = ""
    header: Sequence[str]
    rows: Sequence[Sequence[Entry]] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.header) for row in self.rows), f"{self.name}: rows of unequal length"

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers, which are aligned to the right."""
        keys = [row[column].key for row in self.rows if row[column].key is not None]
        return bool(keys) and not any(isinstance(key, str) for key in keys)


def words(text: str, *, quoted: bool = False) -> Entry:
    """Return an entry of words; it sorts by them."""
    return Entry(text=text, key=text.lower() or None, quoted=quoted)


def number(value: float, text: str, *, small: str = "", best: bool = False, quoted: bool = False) -> Entry:
    """Return an entry of a number that is shown as `text`."""
    key = None if math.isnan(value) else value
    return Entry(text=text, small=small, key=key, best=best, quoted=quoted)


EMPTY = Entry()


def examples(shots: int | None) -> Entry:
    """Return the number of examples in the prompt; "?" where unknown, which sorts last."""
    return Entry(text="?") if shots is None else number(shots, str(shots))


def markdown(grid: Grid) -> str:
    """Return a grid as a Markdown table without its heading."""
    lines = ["| " + " | ".join(map(sinks.markdown, grid.header)) + " |"]
    lines.append("|" + "|".join(" ---: " if grid.numeric(i) else " --- " for i in range(len(grid.header))) + "|")
    lines += ["| " + " | ".join(_md_entry(entry) for entry in row) + " |" for row in grid.rows]
    return "\n".join(lines)


def _md_entry(entry: Entry) -> str:
    text = sinks.markdown(entry.text)
    if entry.quoted and text:
        text = f"*{text}*"
    if entry.best:
        text = f"**{text}**"
    return f"{text} <sub>{sinks.markdown(entry.small)}</sub>" if entry.small else text


def latex(grid: Grid) -> str:
    """Return a grid as a LaTeX table (packages booktabs and longtable); intervals in \\scriptsize, best in bold."""
    columns = "".join("r" if grid.numeric(i) else "l" for i in range(len(grid.header)))
    head = " & ".join(map(tex, grid.header)) + r" \\"
    caption = f"{tex(grid.title)}. {tex(grid.caption)}".strip()
    out = [
        rf"\begin{{longtable}}{{{columns}}}", rf"\caption{{{caption}}}\label{{tab:{grid.name}}}\\",
        r"\toprule", head, r"\midrule", r"\endfirsthead", r"\toprule", head, r"\midrule", r"\endhead",
    ]  # fmt: skip
    out += [" & ".join(_tex_entry(entry) for entry in row) + r" \\" for row in grid.rows]
    return "\n".join([*out, r"\bottomrule", r"\end{longtable}"])


def _tex_entry(entry: Entry) -> str:
    text = tex(entry.text)
    if entry.quoted and text:
        text = rf"\textit{{{text}}}"
    if entry.best:
        text = rf"\textbf{{{text}}}"
    return text + (rf" {{\scriptsize {tex(entry.small)}}}" if entry.small else "")


def tex(text: str) -> str:
    """Escape the special characters of LaTeX.

    >>> tex("50% of world_qa")
    '50\\\\% of world\\\\_qa'
    """
    return sinks.terminal(text).translate(_TEX)
