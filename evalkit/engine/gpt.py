"""The engine of the built-in GPT. Shapes as in model/gpt.py; R is the number of sequences being decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from evalkit.engine.batched import BatchedEngine, pad
from evalkit.model.gpt import GPT, KVCache
from evalkit.tokenizer import Tokenizer


class GPTEngine(BatchedEngine):
    """Runs a GPT; batch_tokens and stride as in BatchedEngine."""

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        *,
        name: str,
        content_hash: str,
        batch_tokens: int = 16384,
        stride: int | None = None,
    ):
        super().__init__(
            tokenizer,
            positions=model.config.context,
            device=model.tokens.weight.device,
            ends=[tokenizer.end_of_text],
            batch_tokens=batch_tokens,
            stride=stride,
        )
        self.model = model.eval()
        self._name, self._hash = name, content_hash

    def signature(self) -> Mapping[str, str]:
        """Return name, content hash, dtype, parameters and the rolling stride."""
        return {
            "model": self._name,
            "hash": self._hash,
            "dtype": str(self.model.tokens.weight.dtype).removeprefix("torch."),
            "parameters": str(self.model.config.parameters),
            "block_parameters": str(self.model.config.block_parameters),
            "context": str(self.context_length),
            "stride": str(self._stride),
        }

    def _hidden(self, tokens_BT: Tensor, lengths_B: Tensor) -> Tensor:
        return self.model.hidden(tokens_BT)

    def _unembed(self, hidden: Tensor) -> Tensor:
        return self.model.unembed(hidden)

    def _read(self, prompts: Sequence[Sequence[int]], room: int) -> _Reading:
        return _Reading(self.model, prompts, room)


class _Reading:
    """Prompts of any lengths in one cache."""

    def __init__(self, model: GPT, prompts: Sequence[Sequence[int]], room: int):
        weight = model.tokens.weight
        prompts_BT, lengths_B = (tensor.to(weight.device) for tensor in pad(prompts))
        self._model = model
        self._cache = KVCache(
            model.config, sequences=len(prompts), positions=room, dtype=weight.dtype, device=weight.device
        )
        states_BTD = model.hidden(prompts_BT, self._cache)
        self._cache.lengths_B += lengths_B
        self._last_RD = states_BTD[torch.arange(len(prompts), device=weight.device), lengths_B - 1]

    def logits(self) -> Tensor:
        return self._model.unembed(self._last_RD)

    def extend(self, rows: list[int], tokens: list[int]) -> None:
        device = self._last_RD.device
        if rows != list(range(len(self._last_RD))):  # copying the cache is worth avoiding
            self._cache.keep(torch.tensor(rows, device=device))
        self._last_RD = self._model.hidden(torch.tensor(tokens, device=device)[:, None], self._cache)[:, 0]
        self._cache.lengths_B += 1
