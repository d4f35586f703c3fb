"""Sequences packed into rows: a run of leaves of a prefix tree is one row, in which each token sees its own beginning.

Nothing is padded and every node is read once, for a run also sees what the one before left of its path: its cache
holds that. Shapes: T new tokens of a run, S with the held ones, D width; see prefix_tree.Batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from evalkit.engine.network import Network, View
from evalkit.engine.prefix_tree import Batch, Forest, Ints, Leaf

# Tokens of a pass: with fewer, products of matrices are slow; with more, attention to what is hidden costs too much.
TOKENS = {"cpu": 640, "cuda": 2048}


class Packing:
    """Reads leaves run by run; `network` packs. order: as in Forest."""

    def __init__(self, network: Network, leaves: Sequence[Leaf], *, order: Sequence[int] | None = None):
        self.forest = Forest(leaves, order=order)
        self._network = network
        self._next, self._cache, self._states_SD = 0, None, torch.empty(0)

    @property
    def done(self) -> bool:
        """Whether all leaves have been read."""
        return self._next == len(self.forest.leaves)

    def read(self, *, tokens: int, leaves: int | None = None) -> tuple[Batch, Tensor, Any]:
        """Read a run of at most so many new tokens and leaves; return it, the states (S, D) and a cache of one row."""
        most = min(tokens, TOKENS[self._network.device.type])
        batch = self.forest.batch(self._next, tokens=most, leaves=leaves)
        states_SD, cache = self._read(batch) if len(batch.tokens) else (self._states_SD, self._cache)
        keep = self._tensor(batch.keep)
        self._next, self._states_SD = batch.last, states_SD[keep]
        self._cache = self._network.gathered(cache, keep[None]) if len(keep) else None
        return batch, states_SD, cache

    def _read(self, batch: Batch) -> tuple[Tensor, Any]:
        # A single sequence is what the network expects anyway, and faster without a view.
        view = None if batch.last == batch.first + 1 else self._view(batch)
        tokens_1T = self._tensor(batch.tokens)[None]
        states_1TD, cache = self._network.run(tokens_1T, cache=self._cache if batch.held else None, view=view)
        return torch.cat([self._states_SD, states_1TD[0]]) if batch.held else states_1TD[0], cache

    def _view(self, batch: Batch) -> View:
        ends_S = self._tensor(batch.ends)
        keys_S = torch.arange(len(ends_S), device=ends_S.device)
        queries_T1 = keys_S[batch.held :, None]
        sees_TS = (keys_S <= queries_T1) & (queries_T1 < ends_S)
        return View(self._tensor(batch.places[batch.held :])[None], sees_TS[None])

    def _tensor(self, numbers: Ints) -> Tensor:
        return torch.from_numpy(numbers).to(self._network.device)
