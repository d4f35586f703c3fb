"""Picking the next token and knowing when to stop, one sequence at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Response


def find_stop(text: str, until: Sequence[str]) -> int:
    """Return where the first stop string begins in the text, or -1."""
    return min((place for stop in until if (place := text.find(stop)) >= 0), default=-1)


class Sampler:
    """Collects one sequence's tokens.

    With top_k 1 it takes the argmax; otherwise it samples among the top_k tokens at a temperature (Radford et al.
    2019 used k = 2 for summaries, 40 for text), from random numbers of its own, so that a sequence's text does not
    depend on what is decoded beside it. ends: tokens that end the text.
    """

    rows = 1

    def __init__(self, decoding: Decoding, tokenizer: Tokenizer, *, ends: Collection[int]):
        self._decoding, self._tokenizer, self._ends = decoding, tokenizer, ends
        self._rng = np.random.default_rng(decoding.seed)
        self._ids: list[int] = []
        self._text = ""
        self._logprob = 0.0
        self.done = False

    def step(self, logits_1V: Tensor) -> list[tuple[int, int]]:
        """Choose the next token from fp32 scores of the vocabulary; return [(0, token)], or nothing when done."""
        token = self._pick(logits_1V[0])
        self._logprob += float(logits_1V[0, token] - logits_1V[0].logsumexp(0))
        if token in self._ends:
            self.done = True
            return []
        self._ids.append(token)
        # Decoding all ids again is linear work per token, but a character may span tokens.
        self._text = self._tokenizer.decode(self._ids)
        self.done = len(self._ids) >= self._decoding.max_tokens or find_stop(self._text, self._decoding.until) >= 0
        return [] if self.done else [(0, token)]

    def _pick(self, logits_V: Tensor) -> int:
        if self._decoding.top_k == 1:
            return int(logits_V.argmax())
        k = min(self._decoding.top_k or len(logits_V), len(logits_V))
        top = torch.topk(logits_V, k)
        shares = torch.softmax(top.values.double() / self._decoding.temperature, 0).cumsum(0).cpu().numpy()
        kept = int(np.searchsorted(shares, self._decoding.top_p)) + 1  # the nucleus (Holtzman et al. 2020)
        shares = shares[:kept]
        place = int(np.searchsorted(shares, self._rng.random() * shares[-1]))
        return int(top.indices[min(place, len(shares) - 1)])

    def settled(self) -> str:
        """Return the text that no later token can change: without half a character or half a stop string."""
        if self.done:
            return self.response().text
        text = self._text.rstrip("\ufffd")
        half = max(
            (n for stop in self._decoding.until for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0
        )
        return text[: len(text) - half]

    def response(self) -> Response:
        """Return the text before the first stop string."""
        stop = find_stop(self._text, self._decoding.until)
        text = self._text if stop < 0 else self._text[:stop]
        return Response(text=text, tokens=len(self._ids), loglikelihood=self._logprob)
