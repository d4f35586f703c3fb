"""Picking the next token and knowing when to stop, one sequence at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Response


class Sampler:
    """Collects one sequence's tokens.

    With top_k 1 it takes the argmax; otherwise it samples among the top_k tokens at a temperature (Radford et al.
    2019 used k = 2 for summaries, 40 for text), from random numbers of its own, so that a sequence's text does not
    depend on what is decoded beside it.
    """

    def __init__(self, decoding: Decoding, tokenizer: Tokenizer):
        self._decoding, self._tokenizer = decoding, tokenizer
        self._rng = np.random.default_rng(decoding.seed)
        self.ids: list[int] = []
        self._text = ""
        self.done = False

    def push(self, logits_V: Tensor) -> None:
        """Choose the next token from fp32 scores of the vocabulary."""
        token = self._pick(logits_V)
        if token == self._tokenizer.end_of_text:
            self.done = True
            return
        self.ids.append(token)
        # Decoding all ids again is linear work per token, but a character may span tokens.
        self._text = self._tokenizer.decode(self.ids)
        self.done = len(self.ids) >= self._decoding.max_tokens or self._stop() >= 0

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

    def _stop(self) -> int:
        """Return where the first stop string begins in the text, or -1."""
        found = [place for stop in self._decoding.until if (place := self._text.find(stop)) >= 0]
        return min(found, default=-1)

    def response(self) -> Response:
        """Return the text before the first stop string."""
        stop = self._stop()
        return Response(text=self._text if stop < 0 else self._text[:stop], tokens=len(self.ids))
