"""A small sentence splitter for English and French, for natural and for tokenised text.

It decides at every full stop, question or exclamation mark, from the text on either side. It keeps Mr. Smith,
J. R. Smith, the U.S. Army, 3.5, No. 5, `"Really?" he asked` and `« Quoi ? » dit-il` together. In text tokenised as in
CNN/Daily Mail, where the full stop is separate (` . `), it always ends a sentence. A line break always does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Always followed by a name or a number, so never the end of a sentence.
_TITLES = _words("""
    mr mrs ms dr prof st ste gen sen rep gov lt col sgt capt cmdr adm maj cpl pvt rev hon pres fr
    messrs m mm mme mlle vs cf viz fig vol pp
""")
# May end a sentence: they do if a capitalised word follows.
_SHORT = _words("""
    etc inc corp ltd co bros jr sr ave blvd rd dept univ est approx assn mt ft no nos jan feb mar
    apr jun jul aug sept sep oct nov dec env av janv févr juil déc
""")
# After "U.S." or "p.m." a capital letter alone proves nothing (the U.S. Army); these words do begin a sentence.
_OPENERS = _words("""
    the a an this that these those he she it they we i you his her its their our my in on at but and
    as for from when while after before if there what who how why so then now however according le
    la les il elle ils elles un une des ce cette nous vous je mais et
""")

_CLOSING = "\"'”’»)\\]"
_OPENING = "\"'“‘«(\\[`"
# A run of marks (also ". . ."), followed directly by closing quotes and brackets.
_MARK = re.compile(rf"(?:[!?]+|…|\.(?:[^\S\n]?\.)+|\.)[!?.…]*[{_CLOSING}]*")
# Separate closing characters: French », tokenised '' or ), and quotes if one is open.
_APART = re.compile(r"[^\S\n]+(»|''|\)|\]|”|[\"'’](?=\s|$))")
_LINE = re.compile(r"[^\n]*\S[^\n]*")
_WORD_BEFORE = re.compile(r"[^\s\"'“”‘’«»()\[\]]+$")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]$")
_NEXT = re.compile(rf"\s+[{_OPENING}\s]*(\S\w*)?")


def split_sentences(text: str) -> list[str]:
    """Split a text into its sentences, each without surrounding white space; nothing else is lost.

    >>> split_sentences('Dr. Who paid 3.50 in the U.S. for it. "Why?" he asked. Well . Then he left')
    ['Dr. Who paid 3.50 in the U.S. for it.', '"Why?" he asked.', 'Well .', 'Then he left']
    """
    return [text[start:end] for start, end in sentence_spans(text)]


def sentence_spans(text: str, *, limit: int | None = None) -> list[tuple[int, int]]:
    """Return (start, end) of every sentence, or of the first `limit`, in characters of `text`."""
    cased = text != text.lower()
    spans: list[tuple[int, int]] = []
    for match in _LINE.finditer(text):
        for span in _line_spans(text, start=match.start(), stop=match.end(), cased=cased):
            spans.append(span)
            if len(spans) == limit:
                return spans
    return spans


def _line_spans(text: str, *, start: int, stop: int, cased: bool) -> Iterator[tuple[int, int]]:
    """Yield the spans of the sentences in one line."""
    position = start
    while match := _MARK.search(text, position, stop):
        position = end = _closed(text, start=start, end=match.end(), stop=stop)
        if _ends(text, start=start, mark=match, end=end, stop=stop, cased=cased):
            yield _trimmed(text, start=start, end=end)
            start = end
    if text[start:stop].strip():
        yield _trimmed(text, start=start, end=stop)


def _trimmed(text: str, *, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def _closed(text: str, *, start: int, end: int, stop: int) -> int:
    """Move `end` past separate closing characters; a straight quote closes only if one is open."""
    while match := _APART.match(text, end, stop):
        character = match.group(1)
        if character in "\"'’" and not _is_open(character, text[start:end]):
            break
        end = match.end()
    return end


def _is_open(quote: str, sentence: str) -> bool:
    """Whether `quote` is open, by parity; an apostrophe counts only if it is separate."""
    if quote == '"':
        return sentence.count('"') % 2 == 1
    return len(re.findall(rf"(?:^|(?<=\s)){quote}(?=\s|$)", sentence)) % 2 == 1


def _ends(text: str, *, start: int, mark: re.Match[str], end: int, stop: int, cased: bool) -> bool:
    """Whether the mark ends a sentence; `end` is past the mark's closing quotes and brackets."""
    if end == stop:
        return True
    following = _NEXT.match(text, end, stop)
    if following is None:
        return False  # no white space follows: a decimal, a host name, the first full stop of "U.S."
    word = following.group(1) or ""
    lower = cased and word[:1].islower()
    character = mark.group()[0]
    separate = text[mark.start() - 1 : mark.start()].isspace()
    if character != "." or mark.group().startswith((". .", "..")):
        return not lower
    if separate:
        return True
    if lower:
        return False
    preceding = _WORD_BEFORE.search(text, start, mark.start())
    # A character after the full stop, as in `(Mr.) X`, changes nothing: only the word counts.
    return _stop_ends(
        preceding.group() if preceding else "", word=word, first=preceding is None or preceding.start() == start
    )


def _stop_ends(before: str, *, word: str, first: bool) -> bool:
    """Whether a full stop directly after `before`, followed by `word`, which is not in lower case, ends a sentence."""
    lowered = before.lower()
    if lowered in _TITLES:
        return False
    if _DOTTED.search(before):
        return word.lower() in _OPENERS
    if lowered in _SHORT:
        return word[:1].isupper() and (lowered not in {"no", "nos", "mt", "ft"} or word.lower() in _OPENERS)
    if len(before) == 1 and before.isupper():
        return before == "I" and len(word) > 1  # an initial, or the pronoun
    return not (first and before.isdigit())  # "1. First item"
