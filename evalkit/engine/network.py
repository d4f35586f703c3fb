"""What scoring and decoding need of a network that is not ours: logits of what it reads, and its cache if it has one.

Shapes as in model/gpt.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Network(Protocol):
    """Reads tokens into states, and turns those that are wanted into logits.

    vocabulary: V. continues: its cache keeps every position of every layer, can be repeated by rows, and can be read on
    with several tokens at once; of one that does not continue, `repeated` is never called.
    """

    device: torch.device
    vocabulary: int
    continues: bool

    def run(
        self, tokens_BT: Tensor, *, cache: Any = None, last: bool = False, mask_BS: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Read tokens behind a cache; return states (B, T, D), those of the last position alone if `last`, and a cache.

        The cache given is used up; the one returned is None where there is none. mask_BS: which tokens are real, those
        of the cache included.
        """
        ...

    def hidden(self, tokens_BT: Tensor, *, mask_BS: Tensor | None = None) -> Tensor:
        """Return states (B, T, D) without keeping a cache."""
        ...

    def unembed(self, hidden: Tensor) -> Tensor:
        """Turn states into logits."""
        ...

    def repeated(self, cache: Any, rows: Sequence[int]) -> Any:
        """Return a new cache whose row i is row rows[i] of this one, which stays as it is."""
        ...
