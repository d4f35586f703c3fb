"""BLEU and chrF as sacrebleu computes them, from statistics that can be summed over documents.

sacrebleu tokenises and counts; the formulas are written out in numpy because a bootstrap needs thousands of
them. Values are sacrebleu's, 0 to 100.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.errors import DataError
from evalkit.metrics.base import Array, Metric
from evalkit.types import Example, Response

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

_ORDERS = 4


def bleu(sums: Array) -> Array:
    """Compute corpus BLEU, exponential smoothing, from (..., 10) sums -> (...) values of 0 to 100.

    The ten are: system length, reference length, matching n-grams of order 1 to 4, all n-grams of order 1 to
    4. The first order without a match counts as half a match, the next as a quarter, and so on (Chen and
    Cherry 2014, method 3). No match at all, or no n-gram of some order, gives 0.
    """
    system, reference = sums[..., 0], sums[..., 1]
    correct, total = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
    scored = np.asarray((total > 0).all(axis=-1) & (correct > 0).any(axis=-1))
    smoothed = np.where(correct > 0, correct, 0.5 ** np.cumsum(correct == 0, axis=-1))
    precision = np.where(scored[..., None], smoothed, 1.0) / np.where(scored[..., None], total, 1.0)
    brevity = np.minimum(0.0, 1.0 - reference / np.maximum(system, 1.0))
    return np.where(scored, 100.0 * np.exp(brevity + np.log(precision).mean(axis=-1)), 0.0)


def bleu_counts(prediction: str, references: Sequence[str], *, scorer: BLEU | None = None) -> tuple[float, ...]:
    """Return the ten counts of `bleu` for one document, by sacrebleu (with its defaults if there is no scorer)."""
    score = (scorer or _plain_scorer()).corpus_score([prediction], [[reference] for reference in references])
    return tuple(float(x) for x in (score.sys_len, score.ref_len, *score.counts, *score.totals))


@cache
def _plain_scorer() -> BLEU:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU()


class Bleu(Metric):
    """Corpus BLEU with sacrebleu's tokenizers (Papineni et al. 2002; Post 2018).

    tokenize: a sacrebleu tokenizer ("13a", "intl"). several: documents may have any number of references;
    otherwise exactly one, as the signature's nrefs says.
    """

    most = 100.0

    def __init__(self, name: str, *, tokenize: str = "13a", several: bool = False) -> None:
        self.name = name
        self.tokenize = tokenize
        self.several = several

    @cached_property
    def _scorer(self) -> BLEU:
        from sacrebleu.metrics.bleu import BLEU

        return BLEU(tokenize=self.tokenize)

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return the ten counts of `bleu`. DataError for several references unless they are allowed."""
        if len(example.answers) > 1 and not self.several:
            raise DataError(
                f"metric {self.name!r} takes one reference, a document has {len(example.answers)}; use 'bleu_multi'"
            )
        return bleu_counts(responses[0].text, example.answers, scorer=self._scorer)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return corpus BLEU."""
        return bleu(sums)

    def weights(self, sums: Array, n: Array) -> Array:
        """Return the lengths of the references."""
        return np.asarray(sums[..., 1])

    def signature(self) -> str:
        """Return sacrebleu's signature."""
        from sacrebleu.metrics.bleu import BLEU

        scorer = BLEU(tokenize=self.tokenize)
        # sacrebleu sets nrefs only after scoring; documents with one and with two references make it "var".
        references: list[list[Any]] = [["a", "a"], ["a", None]] if self.several else [["a", "a"]]
        scorer.corpus_score(["a", "a"], references)
        return scorer.get_signature().format()


_CHARS = 6
_BETA_SQUARED = 4.0


def chrf(sums: Array) -> Array:
    """Compute corpus chrF2 from (..., 18) sums -> (...) values of 0 to 100.

    The 18 are, for each order 1 to 6, the character n-grams of the system, of the reference, and shared.
    Precision and recall are averaged over the orders that both sides have (Popovic 2015; sacrebleu without
    eps smoothing).
    """
    counts = sums.reshape(*sums.shape[:-1], _CHARS, 3)
    system, reference, shared = counts[..., 0], counts[..., 1], counts[..., 2]
    shared_orders = (system > 0) & (reference > 0)
    orders = np.maximum(shared_orders.sum(axis=-1), 1)
    precision = np.where(shared_orders, shared / np.maximum(system, 1.0), 0.0).sum(axis=-1) / orders
    recall = np.where(shared_orders, shared / np.maximum(reference, 1.0), 0.0).sum(axis=-1) / orders
    below = _BETA_SQUARED * precision + recall
    return np.asarray(100.0 * (1.0 + _BETA_SQUARED) * precision * recall / np.where(below > 0, below, 1.0))


def chrf_counts(prediction: str, references: Sequence[str]) -> tuple[float, ...]:
    """Return the 18 counts of `chrf` for one document, against the reference with the best chrF."""
    rows = [_character_counts(prediction, reference) for reference in references]
    return tuple(rows[int(np.argmax(chrf(np.asarray(rows))))])


class Chrf(Metric):
    """Corpus chrF2, sacrebleu's default. Of several references, the one with the best chrF counts."""

    name = "chrf"
    most = 100.0

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return the 18 counts of `chrf`."""
        return chrf_counts(responses[0].text, example.answers)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return corpus chrF2."""
        return chrf(sums)

    def signature(self) -> str:
        """Return sacrebleu's signature without the number of references, which may vary."""
        from sacrebleu.metrics.chrf import CHRF

        scorer = CHRF()
        scorer.corpus_score(["a"], [["a"]])
        return scorer.get_signature().format().removeprefix("nrefs:1|")


def _character_counts(prediction: str, answer: str) -> list[float]:
    """Count n-grams of characters without white space: [system, reference, shared] for each order."""
    predicted, accepted = "".join(prediction.split()), "".join(answer.split())
    row: list[float] = []
    for order in range(1, _CHARS + 1):
        ours = Counter(predicted[i : i + order] for i in range(len(predicted) - order + 1))
        theirs = Counter(accepted[i : i + order] for i in range(len(accepted) - order + 1))
        # As in sacrebleu, an order that the reference lacks does not count against the system.
        row += [ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()]
    return row
