"""What a metric is: sufficient statistics per document, summed, then scored.

Because only sums are scored, every metric (corpus BLEU and perplexity included) gets intervals and paired tests for
free. The idea is sacrebleu's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.types import Example, Response

Array = NDArray[np.float64]


class Metric(ABC):
    """One figure of merit.

    name: as in results and tables. scale: the factor of shown values (100 for percentages).
    share: the value is a mean of statistics between 0 and 1. binary: of statistics that are 0 or 1, so that an
    analytic interval exists. least, most: the ends of the range of values before scaling; either may be infinite.
    needs_choices: it scores a choice among options, so that only protocols of the kind "choice" may name it.
    fewest: with fewer units (documents or passages) it has no interval.
    """

    name: str
    scale: float = 1.0
    higher_is_better: bool = True
    share: bool = False
    binary: bool = False
    least: float = 0.0
    most: float = 1.0
    needs_choices: bool = False
    fewest: int = 2

    def prepare(self) -> None:  # noqa: B027  (most metrics need nothing)
        """Import what cannot be imported beside other imports: documents may be scored in another thread afterwards."""

    @abstractmethod
    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return this document's statistics; `responses` are in the order of the document's requests."""

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Score summed statistics: (..., k) sums over (...) documents -> (...) values. Default: the mean."""
        return np.asarray(sums[..., 0] / n)

    def weights(self, sums: Array, n: Array) -> Array:
        """Return the weights in the value of units with (m, k) sums over (m,) documents. Default: their documents."""
        return n

    def outcomes(self, k: int) -> Array | None:
        """Return the k statistics of each outcome that a document can have -> (outcomes, k); None: too many to list.

        Only for metrics that rest on counts of outcomes and change abruptly where a rare one occurs for the first time.
        """
        return None

    def answer(self, example: Example, responses: Sequence[Response]) -> str | None:
        """Return the chosen option in words; None for a metric that scores no choice."""
        return None

    def concern(self, example: Example) -> str:
        """Describe why the metric means little on a document, to follow "3 of 9 documents have"; usually empty."""
        return ""

    def chance(self, example: Example) -> float | None:
        """Return the expected value of a guess on this example, or None where there is none."""
        return None

    def signature(self) -> str:
        """Return everything that the value depends on besides the name (normalisation, tokenizer, version)."""
        return ""
