"""Picking the next token and knowing when to stop, one sequence at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from evalkit.engine.base import TextCodec
from evalkit.types import Decoding, Response


def find_stop(text: str, until: Sequence[str], *, start: int = 0) -> int:
    """Return where the first stop string begins in the text, from `start` on, or -1."""
    places = [place for stop in until if (place := text.find(stop, start)) >= 0]
    return min(places) if places else -1


class GrowingText:
    """The text of tokens that arrive one by one, always equal to what decoding all of them at once gives.

    Only the last few are decoded: those since the text last ended with a complete character, and those that gave the
    characters before, because a tokenizer may decode the first token of a text differently.
    """

    def __init__(self, tokenizer: TextCodec):
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._settled_ids = 0  # how many of the ids have settled text
        self._open = ""  # text of the others, perhaps ending in part of a character
        self.settled = ""

    @property
    def text(self) -> str:
        """The whole text."""
        return self.settled + self._open

    def add(self, token: int) -> None:
        """Append a token."""
        self._ids.append(token)
        self._open = _decoded_after(self._tokenizer, tuple(self._ids), self._settled_ids)
        if self._open and not self._open.endswith("\ufffd"):
            self.settled += self._open
            self._open = ""
            del self._ids[: self._settled_ids]
            self._settled_ids = len(self._ids)


@lru_cache(maxsize=1 << 14)
def _decoded_after(tokenizer: TextCodec, ids: tuple[int, ...], count: int) -> str:
    """Return what a few tokens add to the text of the first `count` of them; answers repeat them."""
    return _decoded(tokenizer, ids)[len(_decoded(tokenizer, ids[:count])) :]


@lru_cache(maxsize=1 << 14)
def _decoded(tokenizer: TextCodec, ids: tuple[int, ...]) -> str:
    return tokenizer.decode(ids)


class Sampler:
    """Collects one sequence's tokens.

    With top_k 1 it takes the argmax; otherwise it samples among the top_k tokens at a temperature (Radford et al.
    2019 used k = 2 for summaries, 40 for text). Its random numbers are its own, so a sequence's text does not depend
    on what is decoded beside it. ends: tokens that end the text.
    """

    rows = 1

    def __init__(self, decoding: Decoding, tokenizer: TextCodec, *, ends: Collection[int]):
        self._decoding, self._ends = decoding, ends
        self._text = GrowingText(tokenizer)
        self._longest_stop = max(map(len, decoding.until), default=0)
        self._stop = -1  # where the first stop string begins
        self._tokens = 0
        self._logprob = 0.0
        self.done = False

    @cached_property
    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self._decoding.seed)

    def choose(self, logits_SV: Tensor, row: int, *, likeliest: int) -> int:
        """Return the next token by a row of scores."""
        if self._decoding.top_k == 1:
            return likeliest
        logits_V = logits_SV[row]
        k = min(self._decoding.top_k or len(logits_V), len(logits_V))
        top = torch.topk(logits_V, k)
        shares = torch.softmax(top.values.double() / self._decoding.temperature, 0).cumsum(0).cpu().numpy()
        nucleus = int(np.searchsorted(shares, self._decoding.top_p)) + 1  # Holtzman et al. 2020
        shares = shares[:nucleus]
        place = int(np.searchsorted(shares, self._rng.random() * shares[-1]))
        return int(top.indices[min(place, len(shares) - 1)])

    def add(self, token: int, *, logprob: float) -> None:
        """Append a token, unless it ends the text."""
        self._logprob += logprob
        if token in self._ends:
            self.done = True
            return
        self._tokens += 1
        # A new stop string must end within the new text.
        start = len(self._text.settled) - self._longest_stop + 1
        self._text.add(token)
        if self._decoding.until:
            self._stop = find_stop(self._text.text, self._decoding.until, start=max(0, start))
        self.done = self._tokens >= self._decoding.max_tokens or self._stop >= 0

    def settled(self) -> str:
        """Return the text that no later token can change: without a partial character or a partial stop string."""
        if self.done:
            return self.response().text
        text = self._text.text.rstrip("\ufffd")
        partial = max(
            (n for stop in self._decoding.until for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0
        )
        return text[: len(text) - partial]

    def response(self) -> Response:
        """Return the text before the first stop string."""
        text = self._text.text
        return Response(
            text=text if self._stop < 0 else text[: self._stop], tokens=self._tokens, loglikelihood=self._logprob
        )


def step_all(samplers: Sequence[Sampler], logits_SV: Tensor) -> list[list[tuple[int, int]]]:
    """Append a token to each of S samplers, from fp32 scores of the vocabulary: [(0, token)], or nothing when done."""
    if not samplers:
        return []
    # On a processor numpy finds the largest numbers ten times as fast as torch.
    scores_SV = logits_SV.numpy() if logits_SV.device.type == "cpu" else logits_SV
    likeliest = scores_SV.argmax(1).tolist()
    tokens = [
        sampler.choose(logits_SV, row, likeliest=best)
        for row, (sampler, best) in enumerate(zip(samplers, likeliest, strict=True))
    ]
    tokens_S1 = torch.tensor(tokens, device=logits_SV.device)[:, None]
    logprobs = logits_SV.log_softmax(1).gather(1, tokens_S1)[:, 0].tolist()
    for sampler, token, logprob in zip(samplers, tokens, logprobs, strict=True):
        sampler.add(token, logprob=logprob)
    return [[] if sampler.done else [(0, token)] for sampler, token in zip(samplers, tokens, strict=True)]
