"""How many tokens go through a network at once: by its shape and the free memory, fewer when memory runs out."""

from __future__ import annotations

import logging
from typing import ClassVar

import torch

from evalkit import machine
from evalkit.errors import out_of_memory
from evalkit.model.config import GPTConfig

log = logging.getLogger(__name__)

# No device gains from more tokens.
MOST = 16384
# On a CPU fewer are enough: as many as give the widest activation this number of values.
_FEWEST, _VALUES = 1024, 1 << 22
# Bytes that one token needs while a batch is read, per unit of width.
_BYTES_PER_WIDTH = 4 * 24
# The memory that is assumed where it cannot be told (not Linux).
_UNKNOWN = 4 << 30


class Budget:
    """Tokens per batch. Running out of memory halves them, down to one sequence at a time, with one warning.

    sharing: how many processes like this one use the memory of this machine.
    """

    sharing: ClassVar[int] = 1

    def __init__(self, tokens: int):
        self.tokens = tokens
        self._warned = False

    @classmethod
    def of(cls, config: GPTConfig, device: torch.device) -> Budget:
        """Return the budget of a model; with enough memory it depends on the shape alone, so that runs repeat."""
        enough = max(_FEWEST, _VALUES // config.d_ff) if device.type == "cpu" else MOST
        free = _free_bytes(device) // (1 if device.type == "cuda" else cls.sharing)
        affordable = free // 2 // (_BYTES_PER_WIDTH * config.d_model)
        return cls(max(1, min(enough, MOST, affordable)))

    def halve(self, error: BaseException) -> None:
        """Halve the budget after running out of memory; raise any other error again, or this one at 1 token."""
        if not out_of_memory(error) or self.tokens == 1:
            raise error
        self.tokens = max(1, self.tokens // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not self._warned:
            log.warning("out of memory: continuing with batches of at most %d tokens", self.tokens)
        self._warned = True


def _free_bytes(device: torch.device) -> int:
    """Return the memory that is available now, on a CPU within the limits of the process's control groups."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    available = machine.available_memory()
    return _UNKNOWN if available is None else available
