"""DROP's exact match and F1 over numbers, dates and lists of spans (Dua et al. 2019), as in its official script.

A list of spans is written with "; " between them, in references and answers alike.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from evalkit.metrics.answers import blank
from evalkit.metrics.base import Metric
from evalkit.types import Example, Response

BETWEEN_SPANS = "; "

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class DropF1(Metric):
    """F1 of word bags, the best over the accepted answers; values 0 to 1, rounded to hundredths as the script does.

    Spans of prediction and answer are paired so that the sum is largest; a pair whose answer has numbers counts only if
    they share one. Spans without a partner count 0.
    """

    name = "drop_f1"
    scale = 100.0
    share = True

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (F1,)."""
        predicted = _spans(responses[0].text)
        return (max(_aligned_f1(predicted, _spans(answer)) for answer in example.answers),)

    def concern(self, example: Example) -> str:
        """Describe that an empty answer is right."""
        return blank(example.answers, normalize)

    def signature(self) -> str:
        """Name the normaliser, the rule for several answers and how lists are written."""
        return f"norm:drop|refs:max|list:{BETWEEN_SPANS.strip()}"


class DropExactMatch(DropF1):
    """Share of documents whose spans are those of an accepted answer after normalisation, in any order."""

    name = "drop_em"
    binary = True

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (1.0,) on a match, else (0.0,)."""
        predicted = _spans(responses[0].text)
        accepted = [_spans(answer) for answer in example.answers]
        return (float(any(set(predicted) == set(spans) and len(predicted) == len(spans) for spans in accepted)),)


def normalize(text: str) -> str:
    """Normalise a span word by word (hyphens separate words): numbers as floats, others as SQuAD does.

    >>> normalize("The 1,000 well-known men")
    '1000.0 well known men'
    """
    words = (_word(word) for word in re.split(" |-", text.lower()))
    return " ".join(word for word in words if word)


def _word(word: str) -> str:
    bare = word if _is_number(word) else word.translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLE.sub(" ", str(float(bare)) if _is_number(bare) else bare).split())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _spans(text: str) -> list[str]:
    return [normalize(span) for span in text.split(BETWEEN_SPANS)]


def _aligned_f1(predicted: Sequence[str], accepted: Sequence[str]) -> float:
    """Return the mean F1 of the best pairing, over as many spans as the longer list has."""
    from scipy.optimize import linear_sum_assignment

    table = [[_bag_f1(set(span.split()), set(answer.split())) for span in predicted] for answer in accepted]
    rows, columns = linear_sum_assignment(table, maximize=True)
    best: float = sum(table[row][column] for row, column in zip(rows, columns, strict=True))
    return round(best / max(len(predicted), len(accepted)), 2)


def _bag_f1(predicted: set[str], accepted: set[str]) -> float:
    numbers = {word for word in accepted if _is_number(word)}
    if numbers and not numbers & predicted:
        return 0.0
    if not predicted and not accepted:
        return 1.0
    shared = len(predicted & accepted)
    # An empty bag holds nothing wrong: its precision (or recall) is 1, the other 0.
    return 2.0 * shared / (len(predicted) + len(accepted))
