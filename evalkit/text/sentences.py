"""A small sentence splitter for English and French, for natural and for tokenised text.

It decides at every full stop, question or exclamation mark, from what stands on either side. It keeps Mr.
Smith, J. R. Smith, the U.S. Army, 3.5, No. 5, `"Really?" he asked` and `« Quoi ? » dit-il` together. In text
tokenised as in CNN/Daily Mail, where the stop stands apart (` . `), such a stop always ends a sentence. A
line break always does.
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
# May end a sentence: it does when a capitalised word follows.
_SHORT = _words("""
    etc inc corp ltd co bros jr sr ave blvd rd dept univ est approx assn mt ft no nos jan feb mar
    apr jun jul aug sept sep oct nov dec env av janv févr juil déc
""")
# After "U.S." or "p.m." a capital alone proves nothing (the U.S. Army); these words do open a sentence.
_OPENERS = _words("""
    the a an this that these those he she it they we i you his her its their our my in on at but and
    as for from when while after before if there what who how why so then now however according le
    la les il elle ils elles un une des ce cette nous vous je mais et
""")

_CLOSING = "\"'”’»)\\]"
_OPENING = "\"'“‘«(\\[`"
# A run of marks (". . ." too); then closing signs that touch it.
_MARK = re.compile(rf"(?:[!?]+|…|\.(?:[^\S\n]?\.)+|\.)[!?.…]*[{_CLOSING}]*")
# Closing signs that stand apart: French », tokenised '' or ), and quotes if one is open.
_APART = re.compile(r"[^\S\n]+(»|''|\)|\]|”|[\"'’](?=\s|$))")
_LINE = re.compile(r"[^\n]*\S[^\n]*")
_WORD_BEFORE = re.compile(r"[^\s\"'“”‘’«»()\[\]]+$")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]$")
_NEXT = re.compile(rf"\s+[{_OPENING}\s]*(\S\w*)?")


def split_sentences(text: str) -> list[str]:
    """Split a text into its sentences, each without white space round it; nothing else is lost.

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
    """Move `end` past closing signs that stand apart; a straight quote closes only if one is open."""
    while match := _APART.match(text, end, stop):
        sign = match.group(1)
        if sign in "\"'’" and not _is_open(sign, text[start:end]):
            break
        end = match.end()
    return end


def _is_open(quote: str, sentence: str) -> bool:
    """Tell whether `quote` stands open, by parity; an apostrophe counts only where it stands apart."""
    if quote == '"':
        return sentence.count('"') % 2 == 1
    return len(re.findall(rf"(?:^|(?<=\s)){quote}(?=\s|$)", sentence)) % 2 == 1


def _ends(text: str, *, start: int, mark: re.Match[str], end: int, stop: int, cased: bool) -> bool:
    """Tell whether the mark ends a sentence; `end` is past the mark's closing signs."""
    if end == stop:
        return True
    following = _NEXT.match(text, end, stop)
    if following is None:
        return False  # no white space after it: a decimal, a host name, "U.S" before its last stop
    word = following.group(1) or ""
    lower = cased and word[:1].islower()
    sign = mark.group()[0]
    apart = text[mark.start() - 1 : mark.start()].isspace()
    if sign != "." or mark.group().startswith((". .", "..")):
        return not lower
    if apart:
        return True
    if lower:
        return False
    found = _WORD_BEFORE.search(text, start, mark.start())
    # A sign after the stop, as in `(Mr.) X`, changes nothing: the word alone decides.
    return _stop_ends(found.group() if found else "", word=word, first=found is None or found.start() == start)


def _stop_ends(before: str, *, word: str, first: bool) -> bool:
    """Decide for a full stop that touches `before` and is followed by `word`, which is not in lower case."""
    known = before.lower()
    if known in _TITLES:
        return False
    if _DOTTED.search(before):
        return word.lower() in _OPENERS
    if known in _SHORT:
        return word[:1].isupper() and (known not in {"no", "nos", "mt", "ft"} or word.lower() in _OPENERS)
    if len(before) == 1 and before.isupper():
        return before == "I" and len(word) > 1  # an initial, or the pronoun
    return not (first and before.isdigit())  # "1. First item"
