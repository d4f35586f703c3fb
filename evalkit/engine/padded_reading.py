"""Decoding without a cache: all sequences are read again for each token, side by side whatever their length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evalkit.engine.generation import Prompt
from evalkit.engine.network import Network
from evalkit.engine.network_reading import ROWS


class PaddedReading:
    """Prompts padded on the right, where a causal network's real tokens cannot see it; see generation.Reading.

    A sequence that ends makes room for the next prompt at once: reading it costs no more than going on.
    """

    def __init__(self, network: Network, prompts: Sequence[Prompt], *, batch_tokens: int):
        self._network, self._prompts, self._batch_tokens = network, prompts, batch_tokens
        # The longest come first, so that neighbours have nearly the same length.
        self._waiting = sorted(range(len(prompts)), key=lambda i: len(prompts[i].tokens) + prompts[i].new_tokens)
        self._sequences: list[tuple[int, ...]] = []
        self._widest = 0

    def advance(self, rows: list[int], tokens: list[int]) -> tuple[list[int], Tensor]:
        """Continue the rows, let prompts enter where there is room, and read them all; see generation.Reading."""
        self._sequences = [(*self._sequences[row], token) for row, token in zip(rows, tokens, strict=True)]
        entered = self._enter()
        if not self._sequences:
            return [], torch.empty(0, self._network.vocabulary)
        device = self._network.device
        ends_R = torch.tensor([len(sequence) - 1 for sequence in self._sequences], device=device)
        padded_RT = torch.zeros(len(self._sequences), int(ends_R.max()) + 1, dtype=torch.long)
        for row, sequence in enumerate(self._sequences):
            padded_RT[row, : len(sequence)] = torch.tensor(sequence)
        states_RTD = self._network.hidden(padded_RT.to(device))
        return entered, self._network.unembed(states_RTD[torch.arange(len(ends_R), device=device), ends_R])

    def _enter(self) -> list[int]:
        """Let the longest waiting prompts enter, as many as fit the budget at their full length."""
        entered: list[int] = []
        if not self._sequences:
            self._widest = 0
        count = len(self._sequences)
        while self._waiting:
            prompt = self._prompts[self._waiting[-1]]
            count += prompt.rows
            widest = max(self._widest, len(prompt.tokens) + prompt.new_tokens)
            if self._sequences and (count > ROWS[self._network.device.type] or count * widest > self._batch_tokens):
                break
            self._widest = widest
            self._sequences.append(prompt.tokens)
            entered.append(self._waiting.pop())
        return entered
