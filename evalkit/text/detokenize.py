"""De-tokenisers: from a corpus's tokenised form back to natural text, as GPT-2 needs it (section 3.1).

GPT-2 reports gains of 2.5 to 5 perplexity from invertible de-tokenisers that were never released. These rules
are our own. They move white space and drop the @ of WikiText's joiners; no other character is ever added,
lost or changed.
"""

from __future__ import annotations

import re

_HEADING = re.compile(r"\s*=(?: =)* .* =(?: =)*\s*")
_JOINER = re.compile(r" @([-,.])@(?: |$)")

# In order. Every rule only deletes white space.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # What clings to its left: , . ; : ! ? % and closing brackets. An ellipsis (...) stays a word of its own.
    (re.compile(r" (?=[,;:!?%](?: |$)|\.(?: |$)|[)\]}])"), ""),
    # What clings to its right: opening brackets, and currency or number signs before a figure.
    (re.compile(r"([(\[{]) +"), r"\1"),
    (re.compile(r"(?<![^ (\[\"])([$£€¥₤#]) (?=\d)"), r"\1"),
    (re.compile(r"\b(US|U\.S\.|A|C|NZ|HK) (?=\$\d)"), r"\1"),
    # Clitics and elisions: He 's, did n't, don 't, d 'Italia, K 'awiil; the '90s.
    (re.compile(r"(?<=\w) (?=n't\b)"), ""),
    (re.compile(r"(?<=[\w>]) (?='[^\W\d])"), ""),
    (re.compile(r"(?<= )' (?=\d0s\b)"), "'"),
    # Figures: 12 : 00, 1998 – 99, 9 / 11, km / h, 50 ° F.
    (re.compile(r"(?<=\d): (?=\d\d?\b)"), ":"),
    (re.compile(r"(?<=\d) ([–−]) (?=\d)"), r"\1"),
    (re.compile(r"\b([A-Za-z]{1,3}|\d+) / (?=(?:[A-Za-z]{1,3}|\d+)\b)"), r"\1/"),
    (re.compile(r"(?<=\d) (?=[°′″](?: |$))"), ""),
    # Directed quotation marks.
    (re.compile(r"([“‘«]) +"), r"\1"),
    (re.compile(r" +(?=[”’»](?: |$|[,.;:!?)]))"), ""),
)
_DOUBLE = re.compile(r"(?:(?<=^)|(?<=[\s(\[—–/]))\"(?=\s|$)|(?<=\s)\"(?=[,.;:!?)\]—])")
_SINGLE = re.compile(r"(?:(?<=^)|(?<=[\s(\[\"]))'(?=\s|$)|(?<=\s)'(?=[,.;:!?)\]\"])")


def wikitext(text: str) -> str:
    """Turn WikiText's tokenised lines into natural text.

    Line by line: heading lines (` = Title = `) are left as they are; all other lines lose the blanks at their
    ends; ` @-@ `, ` @,@ `, ` @.@ ` become the bare sign; punctuation, brackets, currency signs, clitics and
    figures are joined to what they belong to; straight quotation marks open and close in turn. A mark without
    a partner stays apart. Newlines are kept, so units should be counted on the original text
    (evalkit.text.units).

    >>> wikitext(' He said , " It \\'s a $ 1 @,@ 000 guest @-@ star role ( 2000 – 2005 ) . " ')
    'He said, "It\\'s a $1,000 guest-star role (2000–2005)."'
    """
    return "\n".join(line if _HEADING.fullmatch(line) else _line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    line = _JOINER.sub(r"\1", line.strip())
    for pattern, replacement in _RULES:
        line = pattern.sub(replacement, line)
    return _singles(_doubles(line))


def _doubles(line: str) -> str:
    """Join straight double quotation marks: the 1st, 3rd, ... to the right, the 2nd, 4th, ... to the left."""
    places = [match.start() for match in _DOUBLE.finditer(line)]
    pairs = list(zip(places[::2], places[1::2], strict=False))
    return _without(line, blanks=_inner_blanks(line, pairs=pairs))


def _singles(line: str) -> str:
    """Join apostrophes that stand apart: quotation marks in pairs, else a possessive (`Dodgers ' farm`)."""
    pairs: list[tuple[int, int]] = []
    possessive: list[int] = []
    places = [match.start() for match in _SINGLE.finditer(line)]
    opened: int | None = None
    for number, place in enumerate(places):
        plural = line[:place].rstrip().endswith(("s", ">"))
        if opened is not None:
            pairs.append((opened, place))
            opened = None
        elif plural and line[place - 1 : place] == " " and (len(places) - number) % 2 == 1:
            possessive.append(place - 1)
        elif number + 1 < len(places):
            opened = place
        elif plural:
            possessive.append(place - 1)
    return _without(line, blanks={*possessive, *_inner_blanks(line, pairs=pairs)})


def _inner_blanks(line: str, *, pairs: list[tuple[int, int]]) -> set[int]:
    """Return the positions of the blanks just inside each pair of quotation marks."""
    inner = {left + 1 for left, _ in pairs} | {right - 1 for _, right in pairs}
    return {place for place in inner if 0 <= place < len(line) and line[place] == " "}


def _without(line: str, *, blanks: set[int]) -> str:
    return "".join(sign for place, sign in enumerate(line) if place not in blanks)
