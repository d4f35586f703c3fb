"""Untrusted text on its way out: one function per destination with special characters of its own.

Names of tasks, models and metrics, documents and answers come from files of others. On a terminal a control sequence
moves the cursor or changes the title; XML 1.0 cannot contain it; Markdown turns `@team` into a mention; a spreadsheet
evaluates what begins with `=`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LOST = "\N{REPLACEMENT CHARACTER}"
# Control characters except tab and newline, changes of writing direction, line separators, surrogates, and invisible
# tags; joiners stay, because scripts and emoji need them.
_TERMINAL = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\\ud800-\\udfff\U000e0000-\U000e007f]"
)
_XML = re.compile("[^\\t\\n\\r\\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKUP = re.compile(r"([\\`*|\[\]~$]|(?<!\w)_|_(?!\w))")  # an underscore within a word is not markup
# What GitHub and GitLab turn into links or mentions although it is not markup: @names, issues, addresses.
_LINKED = re.compile(r"([@#](?=\w)|[&%!](?=\d)|:(?=//)|\b[wW]{3}(?=\.))")
_APART = "\N{ZERO WIDTH SPACE}"
_FORMULA = re.compile("[=+\\-@\\t\\r\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH COMMERCIAL AT}]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?inf|nan")


def terminal(text: str, *, mark: str = _LOST) -> str:
    """Return a text that cannot move the cursor or reverse a line; newlines and tabs stay.

    mark: replaces each character that is removed.

    >>> terminal("\\x1b[31mred")
    '\ufffd[31mred'
    """
    return text if text.isascii() and text.isprintable() else _TERMINAL.sub(mark, text)


def xml(text: str) -> str:
    """Return a text of characters that XML 1.0 allows; escaping is left to the writer."""
    return _XML.sub(_LOST, text)


def markdown(text: str) -> str:
    """Return text on one line in which nothing is markup, HTML, a mention or a link.

    >>> markdown("a|b")
    'a\\\\|b'
    """
    text = " ".join(terminal(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LINKED.sub(rf"\1{_APART}", _MARKUP.sub(r"\\\1", text))


def markdown_code(text: str) -> str:
    """Return a text as a code span on one line, valid within a table; "" for an empty text."""
    text = " ".join(terminal(text).split())
    if not text:
        return ""
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{ticks}{pad}{text}{pad}{ticks}".replace("|", "\\|")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Return the lines of a table; the first `left` columns are texts, the others numbers."""
    marks = ["---" if i < left else "---:" for i in range(len(header))]
    lines = [header, marks, *([*map(markdown, row)] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def csv_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; numbers stay numbers.

    >>> csv_cell("=1+1"), csv_cell("-0.5")
    ("'=1+1", '-0.5')
    """
    formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{terminal(text)}" if formula else terminal(text)
