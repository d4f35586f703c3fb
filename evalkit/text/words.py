"""Words of any script."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

# Scripts without spaces between words, by the beginning of their characters' Unicode names.
_UNSPACED = ("CJK ", "HIRAGANA ", "KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ")


def split_words(text: str) -> list[str]:
    """Return the lower-cased words of a text: runs of letters, marks and digits, compatibility forms normalised (NFKC).

    In scripts without spaces between words, each character with its marks is a word.

    >>> split_words("Ёлка, cafés: 東京 ２０２４")
    ['ёлка', 'cafés', '東', '京', '2024']
    """
    words: list[str] = []
    before = ""
    for character in unicodedata.normalize("NFKC", text.lower()):
        kind = _kind(character)
        if words and ((kind == "mark" and before) or (kind == before == "letter")):
            words[-1] += character
            continue  # a mark does not end the word before it
        if kind in ("letter", "alone"):
            words.append(character)
        before = "" if kind == "mark" else kind
    return words


def mostly_outside_latin(text: str) -> bool:
    """Whether more than half of a text's letters are not Latin."""
    if text.isascii():
        return False
    letters = [character for character in text if character.isalpha()]
    return 2 * sum(not unicodedata.name(character, "").startswith("LATIN") for character in letters) > len(letters)


@lru_cache(maxsize=65536)
def _kind(character: str) -> str:
    """Return a character's kind: a letter of a word, a word by itself, a mark, or no part of a word."""
    category = unicodedata.category(character)[0]
    if category == "M":
        return "mark"
    if category not in "LN":
        return ""
    return "alone" if unicodedata.name(character, "").startswith(_UNSPACED) else "letter"
