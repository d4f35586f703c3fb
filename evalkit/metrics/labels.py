"""Choices beyond one right option: classes of unequal size, labels of several answers, named entities."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evalkit.errors import UsageError
from evalkit.metrics.base import Array, Metric
from evalkit.metrics.choice import Accuracy, Per
from evalkit.types import Example, Response

# Separates the labelled answers of a question, in its gold and in a shot.
BETWEEN_ANSWERS = "\n- "

# (yes and answered yes, answered yes, yes) of the four pairs of an answer and a label.
BINARY_OUTCOMES: Array = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])


class MacroF1(Metric):
    """Mean over classes of their F1, a class being an option; all documents have the same options (CB).

    A class that is neither right nor chosen anywhere is left out, as in scikit-learn. per: as in Accuracy.
    """

    scale = 100.0
    needs_choices = True

    def __init__(self, name: str, *, per: Per = "total") -> None:
        self.name = name
        self._accuracy = Accuracy(name, per=per)

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (chosen and right, chosen + right) of each class in turn."""
        chosen = self._accuracy.choose(example, responses)
        table = []
        for option in range(len(example.choices)):
            table += [float(option == chosen == example.gold), float(option == chosen) + float(option == example.gold)]
        return tuple(table)

    def answer(self, example: Example, responses: Sequence[Response]) -> str | None:
        """Return the chosen option."""
        return self._accuracy.answer(example, responses)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return the mean F1 of the classes that occur."""
        hits, either = sums[..., 0::2], sums[..., 1::2]
        f1 = np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0)
        return np.asarray(f1.sum(axis=-1) / np.maximum((either > 0).sum(axis=-1), 1))

    def outcomes(self, k: int) -> Array:
        """Return the statistics of each pair of a chosen and a right option."""
        marks = np.eye(k // 2)
        hits, either = marks[:, None] * marks, marks[:, None] + marks
        return np.stack([hits, either], axis=-1).reshape(-1, k)

    def signature(self) -> str:
        """Name the normalisation."""
        return f"{self._accuracy.signature()}|classes:that-occur"


class LabelF1(Metric):
    """F1 x 100 of the second of two options, the "yes" after a "no" (MRPC and QQP in GLUE, Wang et al. 2019).

    0 where no document is yes or answered so.
    """

    name = "label_f1"
    scale = 100.0
    needs_choices = True

    def __init__(self) -> None:
        self._accuracy = Accuracy(self.name)

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (yes and answered yes, answered yes, yes)."""
        if len(example.choices) != 2:
            raise UsageError(f"metric {self.name} needs two options, a document has {len(example.choices)}")
        chosen, right = self._accuracy.choose(example, responses) == 1, example.gold == 1
        return float(chosen and right), float(chosen), float(right)

    def answer(self, example: Example, responses: Sequence[Response]) -> str | None:
        """Return the chosen option."""
        return self._accuracy.answer(example, responses)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return F1."""
        return _f1(sums)

    def outcomes(self, k: int) -> Array:
        """Return the statistics of each pair of an answer and a label."""
        return BINARY_OUTCOMES

    def weights(self, sums: Array, n: Array) -> Array:
        """Return the number of labels that the F1 counts: predicted and right ones."""
        return np.asarray(sums[..., 1] + sums[..., 2])


class LabelledAnswers(Metric):
    """Share of questions all of whose answers are labelled correctly (MultiRC's exact match, Khashabi et al. 2018).

    Options come in pairs, an answer labelled true and the same one labelled false; the more likely of the two is its
    label (true if equal). golds has one of each pair.
    """

    name = "multirc_em"
    scale = 100.0
    share = binary = True
    needs_choices = True

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (1.0,) if every label is right, else (0.0,)."""
        return (float(all(labelled == right for labelled, right in _labels(example, responses))),)

    def answer(self, example: Example, responses: Sequence[Response]) -> str | None:
        """Return every answer with its label, as a shot writes them."""
        return _labelled(example, responses)

    def chance(self, example: Example) -> float | None:
        """Return the chance that as many coin tosses as there are answers are all right."""
        return 0.5 ** len(example.golds)


class LabelledAnswersF1(Metric):
    """F1 of the label true over the answers of all questions together (MultiRC's F1a)."""

    name = "multirc_f1a"
    scale = 100.0
    needs_choices = True

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return the numbers of answers that are (true and labelled true, labelled true, true)."""
        labels = _labels(example, responses)
        return (
            float(sum(labelled and right for labelled, right in labels)),
            float(sum(labelled for labelled, _ in labels)),
            float(sum(right for _, right in labels)),
        )

    def answer(self, example: Example, responses: Sequence[Response]) -> str | None:
        """Return every answer with its label, as a shot writes them."""
        return _labelled(example, responses)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return F1; 0 where nothing is true or labelled true."""
        return _f1(sums)

    def weights(self, sums: Array, n: Array) -> Array:
        """Return the number of labels that the F1 counts: predicted and right ones."""
        return np.asarray(sums[..., 1] + sums[..., 2])


class ChosenAnswer(Metric):
    """How well the chosen option, as a text, agrees with the best accepted answer (ReCoRD, Zhang et al. 2018).

    The option has the highest log-likelihood per token, as in Brown et al. 2020.
    """

    scale = 100.0
    share = True
    needs_choices = True

    def __init__(self, name: str, *, score: Callable[[str, str], float]) -> None:
        self.name = name
        self._score = score
        self._accuracy = Accuracy(name, per="token")

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (score,)."""
        chosen = example.choices[self._accuracy.choose(example, responses)]
        return (max(self._score(chosen, answer) for answer in example.answers),)

    def answer(self, example: Example, responses: Sequence[Response]) -> str | None:
        """Return the chosen option."""
        return self._accuracy.answer(example, responses)

    def signature(self) -> str:
        """Name the normalisation of likelihoods and of texts."""
        return f"{self._accuracy.signature()}|norm:squad|refs:max"


def _f1(sums: Array) -> Array:
    """Compute F1 of (..., 3) counts: true and labelled true, labelled true, true."""
    either = sums[..., 1] + sums[..., 2]
    return np.asarray(np.divide(2 * sums[..., 0], either, out=np.zeros_like(either), where=either > 0))


def _labels(example: Example, responses: Sequence[Response]) -> list[tuple[bool, bool]]:
    """Return (labelled true, is true) of each answer."""
    if not 2 * len(example.golds) == len(responses) == len(example.choices):
        raise UsageError(
            f"MultiRC's metrics need a pair of options and one of golds per answer, a document has "
            f"{len(example.choices)} options and {len(example.golds)} golds"
        )
    right = set(example.golds)
    return [
        (responses[i].loglikelihood >= responses[i + 1].loglikelihood, i in right) for i in range(0, len(responses), 2)
    ]


def _labelled(example: Example, responses: Sequence[Response]) -> str:
    chosen = [2 * i + (not labelled_true) for i, (labelled_true, _) in enumerate(_labels(example, responses))]
    return BETWEEN_ANSWERS.join(example.choices[place] for place in chosen)
