"""Decoding with networks that are not ours: in rows of any length where a network obeys views, else of equal length.

Shapes: R rows, S positions of the cache, V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evalkit.engine.generation import Prompt, Reading, reading_order, shared_by_all
from evalkit.engine.network import Network, View
from evalkit.engine.network_packing import Packing
from evalkit.engine.prefix_tree import Ints, Leaf, common_prefix

# Rows beyond which a step gains little, on a CPU and on a GPU.
ROWS = {"cpu": 32, "cuda": 256}
# Tokens from which on it pays to read a shared beginning separately.
LEAST_SHARED = 16


def reading(network: Network, prompts: Sequence[Prompt], *, batch_tokens: int) -> Reading:
    """Return what reads prompts and continues them. batch_tokens: the most positions of all rows together."""
    kind = PackedReading if network.packs else CacheReading
    return kind(network, prompts, batch_tokens=batch_tokens)


class PackedReading:
    """Prompts of any length side by side; their caches are padded on the left. See generation.Reading."""

    def __init__(self, network: Network, prompts: Sequence[Prompt], *, batch_tokens: int):
        self._network, self._prompts, self._batch_tokens = network, prompts, batch_tokens
        self._most = ROWS[network.device.type]
        self._order = reading_order(prompts, shared=shared_by_all(prompts))
        # The target stands for the token to be predicted.
        leaves = [Leaf(prompt.tokens, (0,)) for prompt in prompts]
        self._packing = Packing(network, leaves, order=self._order)
        self._read = 0
        self._cache: Any = None
        self._lengths: list[int] = []  # the tokens of each row in the cache
        self._owners: list[int] = []  # the position of each row's prompt

    def advance(self, rows: list[int], tokens: list[int]) -> tuple[list[int], Tensor]:
        """Continue the rows and let waiting prompts enter; see generation.Reading."""
        states = [self._continue(rows, tokens)] if rows else []
        self._lengths = [self._lengths[row] + 1 for row in rows]
        self._owners = [self._owners[row] for row in rows]
        entered = self._order[self._read : self._read + self._room()]
        last = self._read + len(entered)
        while self._read < last:
            states.append(self._enter(last - self._read))
        if not states:
            return [], torch.empty(0, self._network.vocabulary)
        return entered, self._network.unembed(torch.cat(states))

    def _continue(self, rows: list[int], tokens: list[int]) -> Tensor:
        """Return the states (R, D) of rows after one more token each."""
        lengths = [self._lengths[row] for row in rows]
        size, longest = self._network.positions(self._cache), max(lengths)
        if rows != list(range(len(self._lengths))) or longest < size:
            self._cache = self._network.selected(self._cache, self._tensor(rows), start=size - longest)
        lengths_R1 = self._tensor(lengths)[:, None]
        sees_RS = torch.arange(longest + 1, device=lengths_R1.device) >= longest - lengths_R1
        view = View(lengths_R1, sees_RS[:, None])
        states_R1D, self._cache = self._network.run(self._tensor(tokens)[:, None], cache=self._cache, view=view)
        return states_R1D[:, 0]

    def _room(self) -> int:
        """Return how many waiting prompts may enter: none unless they are many, for caches are copied for them."""
        running = Counter(self._owners)
        rows = sum(max(count, self._prompts[owner].rows) for owner, count in running.items())
        widest = max((self._size(owner) for owner in running), default=0)
        room = 0
        for place in self._order[self._read :]:
            rows, widest = rows + self._prompts[place].rows, max(widest, self._size(place))
            if (running or room) and (rows > self._most or rows * widest > self._batch_tokens):
                break
            room += 1
        wanted = min(len(self._order) - self._read, self._most // 4)
        return room if room >= wanted or not running else 0

    def _size(self, place: int) -> int:
        return len(self._prompts[place].tokens) + self._prompts[place].new_tokens

    def _enter(self, most: int) -> Tensor:
        """Read some of the next `most` prompts; return the states (R, D) of their last tokens."""
        batch, states_SD, cache = self._packing.read(tokens=self._batch_tokens, leaves=most)
        paths = list(self._packing.forest.paths(batch))
        longest = max(map(len, paths))
        padded_RS = np.stack([np.concatenate([np.zeros(longest - len(path), np.int64), path]) for path in paths])
        entering = self._network.gathered(cache, self._tensor(padded_RS))
        self._cache = self._network.joined(self._cache, entering) if self._owners else entering
        self._lengths += map(len, paths)
        self._owners += self._order[self._read : self._read + len(paths)]
        self._read += len(paths)
        return states_SD[self._tensor(batch.states[batch.sources])]

    def _tensor(self, numbers: Sequence[int] | Ints) -> Tensor:
        return torch.as_tensor(numbers, device=self._network.device)


class CacheReading:
    """Prompts of one length at a time, in the model's own cache; see generation.Reading.

    One length, because padding would have to be right in every architecture. Models without a cache read everything
    again for each token.
    """

    def __init__(self, network: Network, prompts: Sequence[Prompt], *, batch_tokens: int):
        self._network, self._prompts, self._batch_tokens = network, prompts, batch_tokens
        self._rows = ROWS[network.device.type]
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
            cache = self._repeated(cache, 1) if cache is not None else None
            _, cache = self._network.run(self._tensor([prompts[0][start:shared]]), cache=cache, last=True)
            start = shared
        if cache is not None:
            cache = self._repeated(cache, len(prompts))
        self._tokens_RT = self._tensor(prompts)
        states_RTD, self._cache = self._network.run(self._tokens_RT[:, start:], cache=cache, last=True)
        return states_RTD

    def _repeated(self, cache: Any, count: int) -> Any:
        return self._network.selected(cache, torch.zeros(count, dtype=torch.long, device=self._network.device))

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
