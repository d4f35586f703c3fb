"""Words of any script."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

# Scripts that write no blanks between words, as the names of their letters begin.
_UNPARTED = ("CJK ", "HIRAGANA ", "KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ")


def split_words(text: str) -> list[str]:
    """Return the words of a text in small letters: runs of letters, marks and digits, compatibility forms made plain.

    Of scripts without blanks between words each character is one, with the marks upon it.

    >>> split_words("Ёлка, cafés: 東京 ２０２４")
    ['ёлка', 'cafés', '東', '京', '2024']
    """
    words: list[str] = []
    before = ""
    for sign in unicodedata.normalize("NFKC", text.lower()):
        kind = _kind(sign)
        if words and ((kind == "mark" and before) or (kind == before == "letter")):
            words[-1] += sign
            continue  # a mark leaves the word before it as it was
        if kind in ("letter", "alone"):
            words.append(sign)
        before = "" if kind == "mark" else kind
    return words


def mostly_outside_latin(text: str) -> bool:
    """Whether more than half of a text's letters are none of the Latin alphabet's."""
    if text.isascii():
        return False
    letters = [sign for sign in text if sign.isalpha()]
    return 2 * sum(not unicodedata.name(sign, "").startswith("LATIN") for sign in letters) > len(letters)


@lru_cache(maxsize=65536)
def _kind(sign: str) -> str:
    """Return what a character is: part of a word, a word alone, a mark, or nothing of a word."""
    category = unicodedata.category(sign)[0]
    if category == "M":
        return "mark"
    if category not in "LN":
        return ""
    return "alone" if unicodedata.name(sign, "").startswith(_UNPARTED) else "letter"
