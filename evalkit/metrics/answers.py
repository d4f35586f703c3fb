"""Short generated answers against accepted ones: exact match and token F1, as in the official scripts.

The prediction is the text of the first response, already cleaned by the protocol. Values are 0 to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from evalkit.metrics.base import Metric
from evalkit.text import normalize
from evalkit.types import Example, Response


def match(prediction: str, answer: str, *, normalizer: Callable[[str], str] = normalize.squad) -> float:
    """Return 1.0 if both are equal after normalisation, else 0.0."""
    return float(normalizer(prediction) == normalizer(answer))


def token_f1(prediction: str, answer: str) -> float:
    """Return the F1 of the bags of normalised tokens; with an empty bag: 1.0 if both are empty, else 0.0."""
    guessed, wanted = normalize.squad(prediction).split(), normalize.squad(answer).split()
    if not guessed or not wanted:
        return float(guessed == wanted)
    shared = sum((Counter(guessed) & Counter(wanted)).values())
    return 2.0 * shared / (len(guessed) + len(wanted))


def leave_one_out(prediction: str, answers: Sequence[str], *, score: Callable[[str, str], float]) -> float:
    """Score as the CoQA script does, so that models compare with people scored against the other people.

    With several answers: each is left out in turn, the best score against the rest is taken, and the mean of
    these is returned. With one answer: the score against it.
    """
    scores = [score(prediction, answer) for answer in answers]
    if len(scores) == 1:
        return scores[0]
    return sum(max(scores[:i] + scores[i + 1 :]) for i in range(len(scores))) / len(scores)


class ExactMatch(Metric):
    """Share of documents whose prediction equals an accepted answer after normalisation.

    SQuAD's normaliser drops signs and articles: "-5" equals "5" and "a" equals "". Where that matters
    (arithmetic, letters), VerbatimMatch is the metric to use.
    """

    scale = 100.0
    share = binary = True

    def __init__(self, name: str, *, normalizer: Callable[[str], str]) -> None:
        self.name = name
        self.normalizer = normalizer

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (1.0,) on a match, else (0.0,)."""
        prediction = responses[0].text
        return (max(match(prediction, answer, normalizer=self.normalizer) for answer in example.answers),)

    def signature(self) -> str:
        """Name the normaliser."""
        return f"norm:{self.normalizer.__name__}|refs:max"


class VerbatimMatch(ExactMatch):
    """Share of documents whose text is an accepted answer letter by letter, blanks at the ends aside."""

    def __init__(self) -> None:
        super().__init__("verbatim_match", normalizer=str.strip)


class F1(Metric):
    """Token F1, the best over the accepted answers (SQuAD, Rajpurkar et al. 2016)."""

    name = "f1"
    scale = 100.0
    share = True

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (F1,)."""
        return (max(token_f1(responses[0].text, answer) for answer in example.answers),)

    def signature(self) -> str:
        """Name the normaliser and the rule for several answers."""
        return "norm:squad|refs:max"


class CoqaF1(Metric):
    """Token F1 with CoQA's leave-one-out mean over the accepted answers (Reddy et al. 2019)."""

    name = "coqa_f1"
    scale = 100.0
    share = True

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (mean F1,)."""
        return (leave_one_out(responses[0].text, example.answers, score=token_f1),)

    def signature(self) -> str:
        """Name the normaliser and the rule for several answers."""
        return "norm:squad|refs:leave-one-out"


class CoqaExactMatch(CoqaF1):
    """Exact match with CoQA's leave-one-out mean; a document's score may lie between 0 and 1."""

    name = "coqa_em"

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (mean exact match,)."""
        return (leave_one_out(responses[0].text, example.answers, score=match),)
