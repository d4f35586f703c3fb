"""Is a model more familiar with a benchmark's documents than with texts that it surely has not read?

A document's familiarity is the mean over its least likely tokens of their log-probability ("min-k%", Shi et al. 2024,
"Detecting Pretraining Data from Large Language Models"), of their distance from what the model expected there, in
standard deviations ("min-k%++", Zhang et al. 2025, "Min-K%++: Improved Baseline for Detecting Pre-Training Data from
Large Language Models"), or that of all tokens ("loss", Yeom et al. 2018). The AUC is the chance that a document is more
familiar than an unseen text, ties counting half.

An AUC compares two sets of texts. It says something about reading only where nothing else tells the sets apart (Duan et
al. 2024, "Do Membership Inference Attacks Work on Large Language Models?"; Das et al. 2024, "Blind Baselines Beat
Membership Inference Attacks for Foundation Models"). `words_auc` is such a blind baseline: words alone, no model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.corpus.word_hashes import WORD
from evalkit.stats.bisection import crossing
from evalkit.stats.intervals import NORMAL

if TYPE_CHECKING:
    from evalkit.engine.token_scores import TokenScores

# The share of a text's tokens of which the least likely are taken (Shi et al. 2024, section 4).
SHARE = 0.2
# What `familiarity` measures.
MEASURES = ("min_k", "min_k_plus", "loss")
# The share of unseen texts that may be called seen, and the parts of the texts for the blind baseline.
FALSE_POSITIVES, _FOLDS = 0.05, 10
# Of the bisection for the bounds of an AUC.
_STEPS = 40

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Auc:
    """The chance that a document is above an unseen text, ties counting half, with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Documents against unseen texts. caught: the share of documents more familiar than the threshold.

    The threshold lets at most FALSE_POSITIVES of unseen texts pass; caught is NaN where there are too few for one.
    """

    auc: Auc
    caught: float


def familiarity(scores: TokenScores, *, share: float = SHARE) -> dict[str, float]:
    """Return how familiar a text of at least one token is, by each measure: the higher, the more."""
    count = max(1, int(share * len(scores.logprobs)))
    spread = np.where(scores.deviations > 0, scores.deviations, np.inf)  # a certain token is no surprise
    standard = (scores.logprobs - scores.means) / spread
    values = (np.sort(scores.logprobs)[:count], np.sort(standard)[:count], scores.logprobs)
    return {name: float(value.mean()) for name, value in zip(MEASURES, values, strict=True)}


def compare(documents: Values, unseen: Values) -> Comparison:
    """Compare the familiarity of documents with that of unseen texts, (n,) and (m,), neither empty."""
    ordered = np.sort(unseen)
    wins = np.searchsorted(ordered, documents, "left") + np.searchsorted(ordered, documents, "right")
    auc = float(wins.mean() / 2 / len(unseen))
    place = math.ceil((1 - FALSE_POSITIVES) * (len(unseen) + 1))
    caught = float((documents > ordered[place - 1]).mean()) if place <= len(unseen) else math.nan
    return Comparison(auc=interval(auc, len(documents), len(unseen)), caught=caught)


def interval(auc: float, documents: int, unseen: int) -> Auc:
    """Return an AUC with its 95% interval (Newcombe 2006, method 5), for texts that are independent of each other.

    The bounds are the AUCs whose own standard error (Hanley and McNeil 1982) just reaches the observed one, so that
    they stay within 0 and 1 and an AUC of 1 has one too.
    """
    middle = (documents + unseen) / 2 - 1

    def far(value: float) -> bool:
        spread = 1 + middle * (1 - value) / (2 - value) + middle * value / (1 + value)
        return abs(auc - value) > NORMAL * math.sqrt(value * (1 - value) * spread / (documents * unseen))

    low = crossing(far, 0.0, auc, steps=_STEPS) if auc > 0 else 0.0
    high = crossing(far, 1.0, auc, steps=_STEPS) if auc < 1 else 1.0
    return Auc(value=auc, low=low, high=high)


def words_auc(documents: Sequence[str], unseen: Sequence[str]) -> Auc:
    """Return how well words alone tell the sets apart: the AUC of naive Bayes on texts that it was not fitted to."""
    bags = [[_bag(text) for text in side] for side in (documents, unseen)]
    evidence = [np.zeros(len(side)) for side in bags]
    for fold in range(_FOLDS):
        fitted = [_counted(bag for i, bag in enumerate(side) if i % _FOLDS != fold) for side in bags]
        for values, side in zip(evidence, bags, strict=True):
            values[fold::_FOLDS] = [_log_odds(bag, *fitted) for bag in side[fold::_FOLDS]]
    return compare(*evidence).auc


def _bag(text: str) -> Counter[str]:
    return Counter(word.lower() for word in WORD.findall(text))


def _counted(bags: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for bag in bags:
        total.update(bag)
    return total


def _log_odds(bag: Counter[str], first: Counter[str], second: Counter[str]) -> float:
    """Return the mean log odds of a text's words that it belongs to the first set, each word counted once more."""
    different = len(first.keys() | second.keys()) + 1
    ours, theirs = first.total() + different, second.total() + different
    odds = sum(
        count * (math.log((first[word] + 1) / ours) - math.log((second[word] + 1) / theirs))
        for word, count in bag.items()
    )
    return odds / max(1, bag.total())
