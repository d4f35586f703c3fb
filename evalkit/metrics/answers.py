"""Short generated answers against accepted ones: exact match and token F1, as in the official scripts.

The prediction is the text of the first response, already cleaned by the protocol. Values are 0 to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from evalkit.metrics.base import Array, Metric
from evalkit.text import normalize
from evalkit.types import Example, Response


def blank(answers: Sequence[str], normalizer: Callable[[str], str]) -> str:
    """Describe, for Metric.concern, that normalisation leaves nothing of an accepted answer ("A", "The", "-")."""
    return "" if all(map(normalizer, answers)) else "an answer that normalises to nothing: an empty text is right"


def match(prediction: str, answer: str, *, normalizer: Callable[[str], str] = normalize.squad) -> float:
    """Return 1.0 if both are equal after normalisation, else 0.0."""
    return float(normalizer(prediction) == normalizer(answer))


def token_f1(prediction: str, answer: str) -> float:
    """Return the F1 of the bags of normalised tokens; with an empty bag: 1.0 if both are empty, else 0.0."""
    predicted, accepted = normalize.squad(prediction).split(), normalize.squad(answer).split()
    if not predicted or not accepted:
        return float(predicted == accepted)
    shared = sum((Counter(predicted) & Counter(accepted)).values())
    return 2.0 * shared / (len(predicted) + len(accepted))


def leave_one_out(prediction: str, answers: Sequence[str], *, score: Callable[[str, str], float]) -> float:
    """Score as the CoQA script does, so that models compare with people scored against other people.

    With several answers, return the mean over leaving each out of the best score against the rest; with one answer,
    the score against it.
    """
    scores = [score(prediction, answer) for answer in answers]
    if len(scores) == 1:
        return scores[0]
    return sum(max(scores[:i] + scores[i + 1 :]) for i in range(len(scores))) / len(scores)


class ExactMatch(Metric):
    """Share of documents whose prediction equals an accepted answer after normalisation.

    SQuAD's normaliser drops punctuation and articles: "-5" equals "5" and "a" equals "". Where that matters
    (arithmetic, letters), use VerbatimMatch.
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

    def concern(self, example: Example) -> str:
        """Describe that an empty answer is right."""
        return blank(example.answers, self.normalizer)

    def signature(self) -> str:
        """Name the normaliser."""
        return f"norm:{self.normalizer.__name__}|refs:max"


class VerbatimMatch(ExactMatch):
    """Share of documents whose text equals an accepted answer exactly, except for white space at the ends."""

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

    def concern(self, example: Example) -> str:
        """Describe that an empty answer is right."""
        return blank(example.answers, normalize.squad)

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

    def concern(self, example: Example) -> str:
        """Describe that an empty answer is right."""
        return blank(example.answers, normalize.squad)

    def signature(self) -> str:
        """Name the normaliser and the rule for several answers."""
        return "norm:squad|refs:leave-one-out"


class CoqaExactMatch(CoqaF1):
    """Exact match with CoQA's leave-one-out mean; a document's score may lie between 0 and 1."""

    name = "coqa_em"

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (mean exact match,)."""
        return (leave_one_out(responses[0].text, example.answers, score=match),)


NO_ANSWER = "unanswerable"  # the right answer to SQuAD 2.0's unanswerable questions
CANNOT_ANSWER = "CANNOTANSWER"  # the same in QuAC, a span of its passages
_LEAST_AGREEMENT = 0.4  # QuAC ignores questions on which people agree less


class SquadF1(Metric):
    """SQuAD 2.0's F1 (Rajpurkar et al. 2018): an unanswerable question is right if and only if nothing is answered.

    The word "unanswerable" and an empty text both mean no answer. An accepted answer of nothing but articles and
    punctuation is ignored, as in the official script.
    """

    name = "squad2_f1"
    scale = 100.0
    share = True

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (F1,)."""
        return (self._best(example, responses[0].text, token_f1),)

    def concern(self, example: Example) -> str:
        """Describe that normalisation leaves nothing of an answerable question's answers: it counts as unanswerable."""
        answers = [*map(_answered, example.answers)]
        return blank(answers, normalize.squad) if any(answers) and not any(map(normalize.squad, answers)) else ""

    def signature(self) -> str:
        """Name the normaliser, the rule for several answers and the text that means no answer."""
        return f"norm:squad|refs:max|no-answer:{NO_ANSWER}"

    def _best(self, example: Example, text: str, score: Callable[[str, str], float]) -> float:
        answers = [answer for answer in map(_answered, example.answers) if normalize.squad(answer)] or [""]
        return max(score(_answered(text), answer) for answer in answers)


class SquadExactMatch(SquadF1):
    """SQuAD 2.0's exact match."""

    name = "squad2_em"
    binary = True

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (1.0,) on a match, else (0.0,)."""
        return (self._best(example, responses[0].text, match),)


class QuacF1(Metric):
    """QuAC's F1 (Choi et al. 2018): the mean of leaving one accepted answer out, as for CoQA.

    A question that at least half of the people could not answer has CANNOTANSWER as its only answer; otherwise those
    votes are dropped. Questions on which people reach an F1 below 0.4 against each other are not counted.
    """

    name = "quac_f1"
    scale = 100.0

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (F1, 1.0), or (0.0, 0.0) for a question that is not counted."""
        answers = _voted(example.answers)
        if _agreement(answers) < _LEAST_AGREEMENT:
            return (0.0, 0.0)
        return (leave_one_out(responses[0].text, answers, score=_span_f1), 1.0)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return the mean over the questions that are counted; NaN where there are none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)

    def weights(self, sums: Array, n: Array) -> Array:
        """Return the questions that are counted."""
        return np.asarray(sums[..., 1])

    def signature(self) -> str:
        """Name the normaliser, the rule for several answers and the least agreement."""
        return f"norm:squad|refs:leave-one-out|agreement:{_LEAST_AGREEMENT}"


def _answered(text: str) -> str:
    """Return the text, or an empty one where it means that there is no answer."""
    return "" if normalize.squad(text) == NO_ANSWER else text


def _voted(answers: Sequence[str]) -> Sequence[str]:
    spans = [answer for answer in answers if answer != CANNOT_ANSWER]
    return spans if 2 * len(spans) > len(answers) else [CANNOT_ANSWER]


def _agreement(answers: Sequence[str]) -> float:
    """Return the mean of each answer's best F1 against the others; 1 for a single answer."""
    if len(answers) == 1:
        return 1.0
    best = [max(_span_f1(a, b) for j, b in enumerate(answers) if j != i) for i, a in enumerate(answers)]
    return sum(best) / len(best)


def _span_f1(prediction: str, answer: str) -> float:
    if answer == CANNOT_ANSWER:
        return float(prediction == answer)
    return token_f1(prediction, answer) if normalize.squad(answer) else 0.0
