"""What scoring and decoding need of a network that is not ours: logits of the tokens it reads, and its cache, if any.

Shapes as in model/gpt.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Network(Protocol):
    """Reads tokens into states, and turns the states that are needed into logits.

    vocabulary: V. continues: its cache keeps every position of every layer, its rows can be repeated, and it can be
    extended by several tokens at once. `repeated` is never called on a network that does not continue.
    """

    device: torch.device
    vocabulary: int
    continues: bool

    def run(
        self, tokens_BT: Tensor, *, cache: Any = None, last: bool = False, mask_BS: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Read tokens after those of a cache; return states (B, T, D) and a new cache.

        last: return the states of the last position only. The cache given is consumed; the one returned is None if
        the network has none. mask_BS: which tokens are real, those of the cache included.
        """
        ...

    def hidden(self, tokens_BT: Tensor, *, mask_BS: Tensor | None = None) -> Tensor:
        """Return states (B, T, D) without keeping a cache."""
        ...

    def unembed(self, hidden: Tensor) -> Tensor:
        """Turn states into logits."""
        ...

    def repeated(self, cache: Any, rows: Sequence[int]) -> Any:
        """Return a new cache whose row i is row rows[i] of this one, which is not changed."""
        ...
