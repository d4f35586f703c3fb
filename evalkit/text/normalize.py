"""Normalisers of answers, applied before they are compared or scored.

The rules are those of the official scripts, because a different normaliser is a different metric.
"""

from __future__ import annotations

import re
import string
import unicodedata

from evalkit.text.sentences import sentence_spans

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SPACE_FOR_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def squad(text: str) -> str:
    """Normalise an answer as SQuAD (Rajpurkar et al. 2016) and CoQA (Reddy et al. 2019) do, in this order.

    Lower-case; delete the 32 ASCII punctuation characters without a replacement ("T.S." becomes "ts", "-5" becomes
    "5"); delete the words a, an, the; collapse white space.

    >>> squad("The  Eiffel-Tower, (in Paris)!")
    'eiffeltower in paris'
    """
    unpunctuated = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLE.sub(" ", unpunctuated).split())


def nq(text: str) -> str:
    """Normalise an answer as NQ-open does (ORQA, Lee et al. 2019): Unicode NFD first, then as SQuAD.

    NFD makes both encodings of an accented letter equal; the accent itself is kept.
    """
    return squad(unicodedata.normalize("NFD", text))


def triviaqa(text: str) -> str:
    """Normalise an answer as TriviaQA's script does (Joshi et al. 2017).

    As SQuAD, but punctuation and each of ‘ ’ ´ ` become a space: "T.S. Eliot" is "t s eliot".

    >>> triviaqa("The_Beatles' U.K. tour")
    'beatles u k tour'
    """
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_SPACE_FOR_PUNCTUATION)).split())


def first_sentences(text: str, n: int) -> str:
    """Return the first n sentences, with the original white space between them (GPT-2, section 3.6: n = 3).

    A text with fewer sentences is returned completely, stripped. `n` must be at least 1.
    """
    assert n >= 1, f"n must be at least 1, got {n}"
    spans = sentence_spans(text, limit=n)
    return text[spans[0][0] : spans[-1][1]] if spans else ""


def first_sentence(text: str) -> str:
    """Return the first sentence (GPT-2, section 3.7: the translation is the first generated sentence)."""
    return first_sentences(text, 1)
