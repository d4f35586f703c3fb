"""Where a text can be cut so that the encodings of its parts, joined, are that of the whole.

That holds before a newline, or behind a word, where a tokenizer encodes a word and the white space after it separately.
"""

from __future__ import annotations

import re

# White space by some tokenizer's rule, in addition to str.isspace().
_SPACES = "\u180e\u200b\u2060\ufeff"
# The last character of a word, before white space by every rule.
INNER_END = re.compile(r"\S(?=[ \n])")


def _ends_word(text: str) -> bool:
    """Whether a text ends in no white space by any rule, so that a newline after it is encoded separately."""
    return bool(text) and not text[-1].isspace() and text[-1] not in _SPACES


def last_line(text: str) -> tuple[str, str]:
    """Cut a text before its last newline or, if that is not safe, at its end."""
    head, newline, last = text.rpartition("\n")
    return (head, newline + last) if newline and _ends_word(head) else (text, "")


def lines(text: str) -> list[str]:
    """Cut a text before each newline where that is safe."""
    first, *rest = text.split("\n")
    cut = [first]
    for line in rest:
        if _ends_word(cut[-1]):
            cut.append("\n" + line)
        else:
            cut[-1] += "\n" + line
    return cut
