"""What scoring and decoding need of a network that is not ours: logits of the tokens it reads, and its cache, if any.

Shapes as in model/gpt.py; S counts the positions of a cache and those read after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class View:
    """Where tokens stand and what they see, where a row is not one sequence read from its start.

    places (B, T): each token's position in its sequence. sees (B, T, S): which tokens, those of the cache first, it
    attends to.
    """

    places: Tensor
    sees: Tensor


class Network(Protocol):
    """Reads tokens into states, and turns the states that are needed into logits.

    vocabulary: V. continues: its cache keeps every position of every layer and can be extended by several tokens at
    once. packs: continues, and obeys a View. Without the one, there are no caches to change; without the other, no
    views.
    """

    device: torch.device
    vocabulary: int
    continues: bool
    packs: bool

    def run(
        self, tokens_BT: Tensor, *, cache: Any = None, last: bool = False, view: View | None = None
    ) -> tuple[Tensor, Any]:
        """Read tokens after those of a cache; return states (B, T, D) and a new cache.

        last: return the states of the last position only. The cache given is consumed; the one returned is None if
        the network has none.
        """
        ...

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Return states (B, T, D) without keeping a cache."""
        ...

    def unembed(self, hidden: Tensor) -> Tensor:
        """Turn states into logits."""
        ...

    def positions(self, cache: Any) -> int:
        """Return the number of positions of a cache, S."""
        ...

    def gathered(self, cache: Any, places_RS: Tensor) -> Any:
        """Return a new cache whose row r holds these positions of the one row of a cache, which is not changed."""
        ...

    def selected(self, cache: Any, rows_R: Tensor, *, start: int = 0) -> Any:
        """Return a new cache of some rows of this one, without the positions before `start`."""
        ...

    def joined(self, first: Any, second: Any) -> Any:
        """Return a cache with the rows of both, the shorter ones padded on the left; the first is consumed."""
        ...
