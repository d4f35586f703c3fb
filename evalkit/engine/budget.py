"""How many tokens go through a network at once: found from its shape and the memory there is, less when that fails."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from evalkit.model.config import GPTConfig

log = logging.getLogger(__name__)

# No device gains by more tokens.
MOST = 16384
# On a processor fewer are enough: where so many values are in the widest activation.
_FEWEST, _VALUES = 1024, 1 << 22
# Bytes that one token needs while a batch is read, as a multiple of the width.
_BYTES_PER_WIDTH = 4 * 24
# What torch and the operating system say when memory is short.
_WORDS = ("out of memory", "not enough memory", "can't allocate memory")


class Budget:
    """Tokens per batch. Out of memory halves them, down to one sequence at a time, and says so once."""

    def __init__(self, tokens: int):
        self.tokens = tokens
        self._said = False

    @classmethod
    def of(cls, config: GPTConfig, device: torch.device) -> Budget:
        """Find the budget of a model; where memory is plentiful it depends on the shape alone, so that runs repeat."""
        enough = max(_FEWEST, _VALUES // (4 * config.d_model)) if device.type == "cpu" else MOST
        room = _free_bytes(device) // 2 // (_BYTES_PER_WIDTH * config.d_model)
        return cls(max(1, min(enough, MOST, room)))

    def halve(self, error: BaseException) -> None:
        """Go on with half after running out of memory; raises the error again if it is another, or nothing is left."""
        if not _is_out_of_memory(error) or self.tokens == 1:
            raise error
        self.tokens = max(1, self.tokens // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not self._said:
            log.warning("out of memory: going on with batches of at most %d tokens", self.tokens)
        self._said = True


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def _free_bytes(device: torch.device) -> int:
    """Return the memory that could be had now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return 4 << 30
