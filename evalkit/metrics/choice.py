"""Accuracy from likelihoods: multiple choice under five normalisations, and greedy agreement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from evalkit.errors import UsageError
from evalkit.metrics.base import Metric
from evalkit.text.units import count_bytes
from evalkit.types import Example, Response

Per = Literal["total", "token", "char", "byte", "unconditional"]

# The names in evalkit.metrics that apply to any options; UNCONDITIONAL needs the options scored a second time.
NORMALISATIONS = ("acc", "acc_per_token", "acc_per_char", "acc_per_byte")
UNCONDITIONAL = "acc_unconditional"


class Accuracy(Metric):
    """Share of documents whose most likely option is right.

    per: what an option's log-likelihood is divided by. "total": nothing (GPT-2). "token": its scored tokens
    (GPT-1, GPT-3). "char", "byte": the length of the option by itself, without the text that the protocol puts before
    it (lm-evaluation-harness's acc_norm and acc_bytes). "unconditional": its likelihood after the answer context
    alone, P(c|context) / P(c|answer context) (Brown et al. 2020, section 2.4).
    There is one response per option, in order, possibly followed by as many for the options after the answer context.
    A document without choices has one response: it is right when every token was the argmax (LAMBADA).
    """

    scale = 100.0
    share = binary = True

    def __init__(self, name: str, *, per: Per = "total") -> None:
        self.name = name
        self.per = per

    def choose(self, example: Example, responses: Sequence[Response]) -> int:
        """Return the index of the chosen option; of equal ones the first."""
        options = len(example.choices)
        if not options or len(responses) not in (options, 2 * options):
            raise UsageError(
                f"metric {self.name} needs a response for each option, a document has {options} options and "
                f"{len(responses)} responses"
            )
        scores = [
            response.loglikelihood / max(1, length)  # an empty option is divided by one
            for response, length in zip(responses, self._lengths(example.choices, responses), strict=False)
        ]
        if self.per == "unconditional":
            if len(responses) != 2 * options:
                raise UsageError(f"metric {self.name} needs a protocol with an answer_context")
            scores = [score - alone.loglikelihood for score, alone in zip(scores, responses[options:], strict=True)]
        return scores.index(max(scores))

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (1.0,) if the chosen option is right (one of several may be), else (0.0,)."""
        if not example.choices:
            return (float(responses[0].is_greedy),)
        golds = example.golds or (example.gold,)
        if golds == (None,):
            raise UsageError(f"metric {self.name} needs a right option, a document with choices has no gold")
        return (float(self.choose(example, responses) in golds),)

    def answer(self, example: Example, responses: Sequence[Response]) -> str | None:
        """Return the chosen option."""
        return example.choices[self.choose(example, responses)] if example.choices else None

    def chance(self, example: Example) -> float | None:
        """Return the share of right options, usually one, or None without options."""
        return max(1, len(example.golds)) / len(example.choices) if example.choices else None

    def signature(self) -> str:
        """Name the normalisation."""
        return f"per:{self.per}|ties:first"

    def _lengths(self, choices: Sequence[str], responses: Sequence[Response]) -> Iterable[int]:
        """Return what the options' log-likelihoods are divided by."""
        if self.per == "token":
            return [response.tokens for response in responses[: len(choices)]]
        if self.per in ("char", "byte"):
            return map(len if self.per == "char" else count_bytes, choices)
        return [1] * len(choices)
