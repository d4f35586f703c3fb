"""De-tokenisers: from a corpus's tokenised form back to natural text, as GPT-2 needs it (section 3.1).

GPT-2 reports gains of 2.5 to 5 perplexity from invertible de-tokenisers that were never released. These rules are our
own. They delete white space and the @ of WikiText's joiners; no other character is lost or changed. Every de-tokeniser
of a corpus whose perplexity is measured has an inverse that restores the original exactly, so the natural text carries
the same information, and its likelihood is that of the original.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

# U+2060, an invisible joiner, before a token (twice: before a line) that no rule would restore.
_KEEP = "\u2060"
_HEADING = re.compile(r"\s*=(?: =)* .* =(?: =)*\s*")
_JOINER = re.compile(r" @([-,.])@(?: |$)")

# Applied in order. Every rule only deletes white space.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Attached to the left: , . ; : ! ? % and closing brackets. An ellipsis (...) remains a separate word.
    (re.compile(r" (?=[,;:!?%](?: |$)|\.(?: |$)|[)\]}])"), ""),
    # Attached to the right: opening brackets, and currency or number signs before a figure.
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


@dataclass(frozen=True, kw_only=True)
class Detokenizer:
    """Converts between a corpus's tokenised form and natural text.

    join: a line of tokens -> natural text, by deleting white space and the @ of joiners. split: a piece of natural text
    without white space -> its tokens. margin: the text at both ends of a line. headings: lines that are not changed.
    `encode(decode(text)) == text` for every text: tokens are only joined if `split` separates them again.
    """

    join: Callable[[str], str]
    split: Callable[[str], tuple[str, ...]]
    margin: str = ""
    headings: re.Pattern[str] | None = None

    def decode(self, text: str) -> str:
        """Return natural text. Newlines are kept, so units should be counted on the original (evalkit.text.units)."""
        lines = text.split("\n")
        natural = [self._natural(line) for line in lines[:-1]]
        return "\n".join([*natural, self._natural(lines[-1]) if lines[-1].strip(" ") else lines[-1]])

    def encode(self, natural: str) -> str:
        """Return the tokenised text from which `decode` made this natural text."""
        lines = natural.split("\n")
        original = [self._original(line) for line in lines[:-1]]
        return "\n".join([*original, self._original(lines[-1]) if lines[-1] else ""])

    def _natural(self, line: str) -> str:
        tokens = line.split()
        if line[:1] == " " and self.headings and self.headings.fullmatch(line):
            return line
        if line != self._spaced(tokens) or _KEEP in line:
            return _KEEP + _KEEP + line
        natural: list[str] = []
        position = 0
        for piece in self.join(line).split():
            group = []
            length = 0
            while length < len(piece):
                group.append(tokens[position])
                length += len(group[-1]) if piece.startswith(group[-1], length) else len(_bare(group[-1]))
                position += 1
            natural += self._pieces(group)
        return " ".join(natural)

    def _pieces(self, tokens: Sequence[str]) -> Iterator[str]:
        """Join tokens where `split` separates them again: all of them, or as many as possible from the left."""
        start = 0
        while start < len(tokens):
            for stop in range(len(tokens), start, -1):
                piece = "".join(map(_bare, tokens[start:stop])) if stop > start + 1 else tokens[start]
                if self.split(piece) == tuple(tokens[start:stop]):
                    break
            else:
                piece, stop = _KEEP + tokens[start], start + 1
            yield piece
            start = stop

    def _original(self, line: str) -> str:
        if line.startswith(_KEEP + _KEEP):
            return line[2:]
        if line.startswith(" "):
            return line
        tokens: list[str] = []
        for piece in line.split():
            tokens += [piece[1:]] if piece.startswith(_KEEP) else self.split(piece)
        return self._spaced(tokens)

    def _spaced(self, tokens: Sequence[str]) -> str:
        return f"{self.margin}{' '.join(tokens)}{self.margin}" if tokens else self.margin


def wikitext(text: str) -> str:
    """Turn WikiText's tokenised lines into natural text; `wikitext_original` is its inverse.

    Line by line: heading lines (` = Title = `) are not changed; all other lines lose the spaces at their ends;
    ` @-@ `, ` @,@ `, ` @.@ ` become the bare character; punctuation, brackets, currency signs, clitics and figures are
    joined to the words they belong to; straight quotation marks open and close in turn. An unpaired mark remains
    separate.

    >>> wikitext(' He said , " It \\'s a $ 1 @,@ 000 guest @-@ star role ( 2000 – 2005 ) . " ')
    'He said, "It\\'s a $1,000 guest-star role (2000–2005)."'
    """
    return _WIKITEXT.decode(text)


def wikitext_original(natural: str) -> str:
    """Turn the result of `wikitext` back into WikiText's lines."""
    return _WIKITEXT.encode(natural)


def ptb(text: str) -> str:
    """Turn Mikolov's Penn Treebank, one sentence per line with a space at both ends, into natural text.

    It is in lower case without punctuation, with N for figures: only clitics, genitives and currency signs are joined.

    >>> ptb(" but the exchange 's shares did n't rise $ N ")
    "but the exchange's shares didn't rise $N"
    """
    return _PTB.decode(text)


def ptb_original(natural: str) -> str:
    """Turn the result of `ptb` back into the Penn Treebank's lines."""
    return _PTB.encode(natural)


def news(text: str) -> str:
    """Turn the One Billion Word benchmark's lines into natural text.

    >>> news('" It \'s 2.5 percent , " said the U.S. official ( who did n\'t rise ) .')
    '"It\'s 2.5 percent," said the U.S. official (who didn\'t rise).'
    """
    return _NEWS.decode(text)


def news_original(natural: str) -> str:
    """Turn the result of `news` back into the benchmark's lines."""
    return _NEWS.encode(natural)


def storybook(text: str) -> str:
    """Turn the Children's Book Test's tokens into natural text: Treebank quotation marks and brackets, clitics.

    >>> storybook("`` Well , '' said he -LRB- who did n't know -RRB- , `` I 'm not . ''")
    '"Well," said he (who didn\'t know), "I\'m not."'
    """
    text = _line(text)
    for pattern, character in _TREEBANK:
        text = pattern.sub(character, text)
    return text


# The Treebank's spellings of characters, which show whether a quotation mark opens or closes.
_TREEBANK = (
    (re.compile(r"`` ?"), '"'),
    (re.compile(r" ?''"), '"'),
    (re.compile(r"` ?"), "'"),
    (re.compile(r"-LRB- ?"), "("),
    (re.compile(r" ?-RRB-"), ")"),
    (re.compile(r"-LSB- ?"), "["),
    (re.compile(r" ?-RSB-"), "]"),
)


def _bare(token: str) -> str:
    """Return a token as written in natural text: joiners lose their @."""
    return token[1] if len(token) == 3 and token[0] == token[2] == "@" else token


def _line(line: str) -> str:
    line = _JOINER.sub(r"\1", line.strip())
    for pattern, replacement in _RULES:
        line = pattern.sub(replacement, line)
    return _singles(_doubles(line))


def _doubles(line: str) -> str:
    """Attach straight double quotation marks: the 1st, 3rd, ... to the right, the 2nd, 4th, ... to the left."""
    places = [match.start() for match in _DOUBLE.finditer(line)]
    pairs = list(zip(places[::2], places[1::2], strict=False))
    return _without(line, spaces=_inner_spaces(line, pairs=pairs))


def _singles(line: str) -> str:
    """Attach separate apostrophes: quotation marks in pairs, otherwise a possessive (`Dodgers ' farm`)."""
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
    return _without(line, spaces={*possessive, *_inner_spaces(line, pairs=pairs)})


def _inner_spaces(line: str, *, pairs: list[tuple[int, int]]) -> set[int]:
    """Return the positions of the spaces just inside each pair of quotation marks."""
    inner = {left + 1 for left, _ in pairs} | {right - 1 for _, right in pairs}
    return {place for place in inner if 0 <= place < len(line) and line[place] == " "}


def _without(line: str, *, spaces: set[int]) -> str:
    return "".join(character for place, character in enumerate(line) if place not in spaces)


# Words whose full stop belongs to them.
_ABBREVIATIONS = frozenset(
    """
    Mr Mrs Ms Messrs Dr Prof Rev Fr Hon Sen Rep Gov Gen Brig Adm Cmdr Col Lt Maj Capt Sgt Pvt Pte Cpl Supt Sgts Cllr
    St Ste Mt Ft Pt Jr Sr Esq Inc Ltd Co Corp Bros Assn Dept dept Univ Div Ave Blvd Rd Hwy Jan Feb Mar Apr Aug Sept
    Oct Nov Dec No Nos Vol vol Op op Ph al vs v cf ca pp ed eds est approx feat etc
    """.split()
)
_PIECES = re.compile(
    r"""
    <[a-z]+> | \.\.\.+                   # <unk>, <formula>; an ellipsis
    | (?:[^\W\d_]\.)+(?:[^\W\d_]\b)?   # U.S., J., e.g.
    | '\d0s\b | (?<=[\w>])'[^\W\d_]+ | \A'\w{1,2}\Z   # '90s; 's, 't; otherwise an opening mark
    | [^\W_]+(?:_+[^\W_]*)*
    | .
    """,
    re.VERBOSE,
)
_FIGURE_END = re.compile(r"(?:\d|<unk>)\Z")
_FIGURE_START = re.compile(r"\d|<unk>")
_JOINERS = frozenset({"@-@", "@,@", "@.@"})


def _stopped(tokens: Sequence[str]) -> list[str]:
    """Join abbreviations with their full stop."""
    joined: list[str] = []
    for i, token in enumerate(tokens):
        if token == "." and i and tokens[i - 1] in _ABBREVIATIONS and (i == 1 or not tokens[i - 2][-1].isalnum()):
            joined[-1] += token
        else:
            joined.append(token)
    return joined


@lru_cache(maxsize=1 << 16)
def _wikitext_tokens(piece: str) -> tuple[str, ...]:
    """Split natural text as WikiText does: punctuation is separate, within a word or figure as a joiner."""
    if piece in _JOINERS:
        return (piece,)
    tokens = _PIECES.findall(piece)
    for i in range(1, len(tokens) - 1):
        # <unk> may stand for a part of a figure.
        figure = _FIGURE_END.search(tokens[i - 1]) and _FIGURE_START.match(tokens[i + 1])
        if tokens[i] == "-" or (tokens[i] in (",", ".") and figure):
            tokens[i] = f"@{tokens[i]}@"
    return tuple(_stopped(tokens))


_CLITIC = re.compile(r"(?:n't|'(?:s|re|ve|ll|d|m))\Z")


@lru_cache(maxsize=1 << 16)
def _ptb_tokens(piece: str) -> tuple[str, ...]:
    """Split natural text as the Penn Treebank without punctuation does."""
    before = ["$"] if piece.startswith("$") and len(piece) > 1 else []
    word = piece[len(before) :]
    clitic = _CLITIC.search(word)
    if clitic and clitic.start():
        return (*before, word[: clitic.start()], clitic.group())
    if word.endswith("s'"):
        return (*before, word[:-1], "'")
    return (*before, word)


_PTB_JOINS = (
    (re.compile(r" (?=(?:n't|'(?:s|re|ve|ll|d|m))(?: |$))"), ""),
    (re.compile(r"(?<=s) (?='(?: |$))"), ""),
    (re.compile(r"((?:^| )\$) (?=N)"), r"\1"),
)


def _ptb_line(line: str) -> str:
    line = line.strip()
    for pattern, replacement in _PTB_JOINS:
        line = pattern.sub(replacement, line)
    return line


_NEWS_PIECES = re.compile(
    r"""
    \.\.\.+ | --+
    | (?:[^\W\d_]\.)+(?:[^\W\d_]\b)?
    | \w+?(?=n't\b) | n't\b | '[^\W\d_]+
    | \d+(?:[.,:]\d+)+ | \w+(?:[-./&]\w+)*
    | .
    """,
    re.VERBOSE,
)


@lru_cache(maxsize=1 << 16)
def _news_tokens(piece: str) -> tuple[str, ...]:
    """Split natural text as the One Billion Word benchmark does: hyphenated words and figures are not split."""
    return tuple(_stopped(_NEWS_PIECES.findall(piece)))


_WIKITEXT = Detokenizer(join=_line, split=_wikitext_tokens, margin=" ", headings=_HEADING)
_PTB = Detokenizer(join=_ptb_line, split=_ptb_tokens, margin=" ")
_NEWS = Detokenizer(join=_line, split=_news_tokens)
