"""Accuracy from likelihoods: multiple choice under four normalisations, and greedy agreement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evalkit.metrics.base import Metric
from evalkit.text.units import count_bytes
from evalkit.types import Example, Response

Per = Literal["total", "token", "char", "byte"]


class Accuracy(Metric):
    """Share of documents whose right option is the likeliest.

    per: what an option's log-likelihood is divided by. "total": nothing (GPT-2). "token": its scored tokens
    (GPT-1, GPT-3). "char", "byte": the length of the option as written, without what the protocol puts before
    it (lm-evaluation-harness's acc_norm and acc_bytes).
    A document without choices has one response: it is right when every token of it was the argmax (LAMBADA).
    """

    scale = 100.0
    share = binary = True

    def __init__(self, name: str, *, per: Per = "total") -> None:
        self.name = name
        self.per = per

    def choose(self, example: Example, responses: Sequence[Response]) -> int:
        """Return the index of the chosen option, of equals the first. One response per option, in order."""
        assert len(responses) == len(example.choices) > 0, "one response per choice"
        pairs = zip(responses, example.choices, strict=True)
        scores = [response.loglikelihood / self._length(response, choice) for response, choice in pairs]
        return scores.index(max(scores))

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (1.0,) if the document is answered right, else (0.0,)."""
        if not example.choices:
            return (float(responses[0].is_greedy),)
        assert example.gold is not None, "a document with choices needs a gold index"
        return (float(self.choose(example, responses) == example.gold),)

    def chance(self, example: Example) -> float | None:
        """Return 1 / number of options, or None without options."""
        return 1.0 / len(example.choices) if example.choices else None

    def signature(self) -> str:
        """Name the normalisation."""
        return f"per:{self.per}|ties:first"

    def _length(self, response: Response, choice: str) -> int:
        lengths = {"total": 1, "token": response.tokens, "char": len(choice), "byte": count_bytes(choice)}
        return max(1, lengths[self.per])  # an empty option keeps its plain log-likelihood
