"""Decoding with the caches of transformers, in batches of equal length whose shared beginning is read once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from evalkit.engine.generation import Prompt, shared_by_all
from evalkit.engine.network import Network
from evalkit.engine.prefix_tree import common_prefix

# Rows beyond which a step gains little, on a CPU and on a GPU.
_ROWS = {"cpu": 32, "cuda": 256}
# Tokens from which on it pays to read a shared beginning separately.
LEAST_SHARED = 16


class CacheReading:
    """Prompts of one length at a time, in the model's own cache; see generation.Reading.

    One length, because padding would have to be right in every architecture. Models without a cache read everything
    again for each token.
    """

    def __init__(self, network: Network, prompts: Sequence[Prompt], *, batch_tokens: int):
        self._network, self._prompts, self._batch_tokens = network, prompts, batch_tokens
        self._rows = _ROWS[network.device.type]
        self._waiting = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].tokens), prompts[i].tokens))
        self._trunk: Any = None  # the cache of what all prompts begin with
        self._trunk_tokens = self._read_trunk()
        self._cache: Any = None
        self._tokens_RT = torch.empty(0, 0)

    def advance(self, rows: list[int], tokens: list[int]) -> tuple[list[int], Tensor]:
        """Continue the rows, or read the next batch if there are none; see generation.Reading."""
        if rows:
            return [], self._network.unembed(self._extend(rows, tokens)[:, -1])
        entered = self._next_batch()
        if not entered:
            return [], torch.empty(0, self._network.vocabulary)
        return entered, self._network.unembed(self._read([self._prompts[place].tokens for place in entered])[:, -1])

    def _next_batch(self) -> list[int]:
        """Take the longest waiting prompts of one length, as many as fit the budget."""
        batch: list[int] = []
        rows = widest = 0
        while self._waiting:
            prompt = self._prompts[self._waiting[-1]]
            if batch and len(prompt.tokens) != len(self._prompts[batch[0]].tokens):
                break
            rows, widest = rows + prompt.rows, max(widest, len(prompt.tokens) + prompt.new_tokens)
            if batch and (rows > self._rows or rows * widest > self._batch_tokens):
                break
            batch.append(self._waiting.pop())
        return batch

    def _read_trunk(self) -> int:
        """Read the beginning that all prompts share, if that pays; return its number of tokens."""
        shared = shared_by_all(self._prompts)
        if len(self._prompts) < 2 or shared < LEAST_SHARED or not self._network.continues:
            return 0
        _, self._trunk = self._network.run(self._tensor([self._prompts[0].tokens[:shared]]), last=True)
        return shared

    def _read(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read a batch: the beginning of all prompts is cached already, what these prompts share is read once."""
        start, cache = self._trunk_tokens, self._trunk
        shared = min(common_prefix(prompts[0], prompts[-1]), len(prompts[0]) - 1)  # prompts are sorted
        if len(prompts) > 1 and shared - start >= LEAST_SHARED and self._network.continues:
            cache = self._network.repeated(cache, [0]) if cache is not None else None
            _, cache = self._network.run(self._tensor([prompts[0][start:shared]]), cache=cache, last=True)
            start = shared
        if cache is not None:
            cache = self._network.repeated(cache, [0] * len(prompts))
        self._tokens_RT = self._tensor(prompts)
        states_RTD, self._cache = self._network.run(self._tokens_RT[:, start:], cache=cache, last=True)
        return states_RTD

    def _extend(self, rows: list[int], tokens: list[int]) -> Tensor:
        new_R1 = self._tensor([[token] for token in tokens])
        if self._cache is not None and rows != list(range(len(self._tokens_RT))):
            self._cache.reorder_cache(torch.tensor(rows, device=new_R1.device))
        self._tokens_RT = torch.cat([self._tokens_RT[rows], new_R1], dim=1)
        if self._cache is None:
            return self._network.hidden(self._tokens_RT)
        states_RTD, self._cache = self._network.run(new_R1, cache=self._cache)
        return states_RTD

    def _tensor(self, rows: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor([list(row) for row in rows], device=self._network.device)
