"""Perplexity and bits: log-likelihoods summed over documents, per document, word, token, byte or character.

Statistics are (log-likelihood,) or (log-likelihood, units), with natural logarithms. Sums are divided before they are
exponentiated, so a long document weighs more than a short one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from evalkit.errors import UsageError
from evalkit.metrics.base import Array, Metric
from evalkit.text.units import count_bytes
from evalkit.types import Example, Response


def _total(responses: Sequence[Response]) -> float:
    return math.fsum(response.loglikelihood for response in responses)


def _exp(nats: Array) -> Array:
    """Exponentiate; a value too large for a float becomes infinite, without a warning."""
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(nats))


def perplexity(likelihood: Array, units: Array) -> Array:
    """Compute exp(-likelihood / units); NaN where there are no units."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _exp(np.where(units > 0, -likelihood / units, np.nan))


class Perplexity(Metric):
    """exp(-mean log-likelihood of the output), a document being one unit (LAMBADA: one word a document)."""

    name = "ppl"
    higher_is_better = False
    most = math.inf

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (log-likelihood,)."""
        return (_total(responses),)

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return exp(-sum / n)."""
        return _exp(-sums[..., 0] / n)


class PerplexityPer(Metric):
    """exp(-sum of log-likelihoods / sum of units) of whole texts (GPT-2, section 3.1).

    count: counts the units of the original text (Example.original, or the input if that is empty);
    None: the scored tokens, which makes models with different tokenizers incomparable.
    """

    higher_is_better = False
    most = math.inf

    def __init__(self, name: str, *, count: Callable[[str], int] | None = None) -> None:
        self.name = name
        self.count = count

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (log-likelihood, units)."""
        if self.count is None:
            return (_total(responses), float(sum(response.tokens for response in responses)))
        return (_total(responses), float(self.count(example.original or example.input)))

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return exp(-log-likelihood / units); NaN where there are no units."""
        return perplexity(sums[..., 0], sums[..., 1])

    def weights(self, sums: Array, n: Array) -> Array:
        """Return the units."""
        return np.asarray(sums[..., 1])

    def signature(self) -> str:
        """Name the text whose units are counted."""
        return "unit:token" if self.count is None else "unit:original"


class BitsPer(PerplexityPer):
    """-sum of log-likelihoods / (ln 2 x sum of units): bits per byte or character of the original text."""

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return bits per unit; NaN where there are no units."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(sums[..., 1] > 0, -sums[..., 0] / (math.log(2) * sums[..., 1]), np.nan)


class AnswerBits(BitsPer):
    """Bits per byte of the right answer alone: the smooth quantity that scaling fits of tasks start from.

    With choices the answer is the gold option; without, it is the output, which has the only response.
    """

    def __init__(self) -> None:
        super().__init__("answer_bits_per_byte", count=count_bytes)

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (log-likelihood of the right answer, its bytes)."""
        if not example.choices:
            return (_total(responses), float(count_bytes(example.output)))
        if example.gold is None:
            raise UsageError(f"metric {self.name} needs one right option, a document has {len(example.golds)}")
        return (responses[example.gold].loglikelihood, float(count_bytes(example.choices[example.gold])))

    def signature(self) -> str:
        """Name the text whose units are counted."""
        return "unit:answer"
