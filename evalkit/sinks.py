"""Foreign texts on their way out: one function per place that reads signs in a way of its own.

Names of tasks, models and metrics, documents and answers come from strangers' files. On a terminal a control sequence
moves the cursor or changes the title; XML 1.0 cannot hold it; Markdown turns `@team` into a call; a spreadsheet
computes what begins with `=`.
"""

from __future__ import annotations

import re

_LOST = "\N{REPLACEMENT CHARACTER}"
# Control characters but tab and newline, those that turn the direction of writing, separators of lines, surrogates, and
# the invisible tags; joiners stay, for scripts and emoji need them.
_TERMINAL = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\\ud800-\\udfff\U000e0000-\U000e007f]"
)
_XML = re.compile("[^\\t\\n\\r\\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKUP = re.compile(r"([\\`*|\[\]~$]|(?<!\w)_|_(?!\w))")  # an underscore within a word marks nothing up
# What GitHub and GitLab make a link or a call of although it is no markup: mentions, issues, addresses.
_LINKED = re.compile(r"([@#](?=\w)|[&%!](?=\d)|:(?=//)|\b[wW]{3}(?=\.))")
_APART = "\N{ZERO WIDTH SPACE}"
_FORMULA = re.compile("[=+\\-@\\t\\r\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH COMMERCIAL AT}]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?inf|nan")


def terminal(text: str, *, mark: str = _LOST) -> str:
    """Return a text that moves no cursor and turns no line around; newlines and tabs stay.

    mark: what stands for each sign that is taken out.

    >>> terminal("\\x1b[31mred")
    '\ufffd[31mred'
    """
    return text if text.isascii() and text.isprintable() else _TERMINAL.sub(mark, text)


def xml(text: str) -> str:
    """Return a text of signs that XML 1.0 can hold; escaping is the writer's."""
    return _XML.sub(_LOST, text)


def markdown(text: str) -> str:
    """Return words on one line in which nothing is markup, HTML, a mention or a link.

    >>> markdown("a|b")
    'a\\\\|b'
    """
    text = " ".join(terminal(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LINKED.sub(rf"\1{_APART}", _MARKUP.sub(r"\\\1", text))


def markdown_code(text: str) -> str:
    """Return a text as a span of code on one line, also within a table; nothing for an empty text."""
    text = " ".join(terminal(text).split())
    if not text:
        return ""
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{ticks}{pad}{text}{pad}{ticks}".replace("|", "\\|")


def csv_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; numbers stay numbers.

    >>> csv_cell("=1+1"), csv_cell("-0.5")
    ("'=1+1", '-0.5')
    """
    formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{terminal(text)}" if formula else terminal(text)
