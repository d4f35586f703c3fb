"""Batches of examples of similar length, so that little of a batch is padding. Shapes as in model.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evalkit.train.finetune.inputs import Encoded

# Batches drawn together and then sorted by length: enough for little padding, few enough to stay random.
_POOL = 32


@dataclass(frozen=True, kw_only=True)
class Batch:
    """inputs: tokens (N, T), zero-padded on the right. lengths: (N,). targets: (B,). sequences: of each example.

    places: the indices of its examples in the data.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    sequences: int
    places: Sequence[int]

    @property
    def tokens(self) -> int:
        """Return the number of tokens without padding."""
        return int(self.lengths.sum())


def collate(data: Sequence[Encoded], places: Sequence[int], *, device: str) -> Batch:
    """Join examples into one batch."""
    rows = [tokens for place in places for tokens in data[place].sequences]
    lengths = [len(tokens) for tokens in rows]
    padded = np.zeros((len(rows), max(lengths)), dtype=np.int64)
    for row, tokens in zip(padded, rows, strict=True):
        row[: len(tokens)] = tokens
    return Batch(
        inputs=torch.from_numpy(padded).to(device),
        lengths=torch.tensor(lengths, device=device),
        targets=torch.tensor([data[place].target for place in places], device=device),
        sequences=len(data[places[0]].sequences),
        places=places,
    )


def shuffled(data: Sequence[Encoded], *, size: int, seed: int) -> Iterator[list[int]]:
    """Yield the indices of each batch endlessly: every example once an epoch, in an order determined by the seed.

    Lengths are similar within a batch, and the batches come in random order.
    """
    epoch = 0
    while True:
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(data)).tolist()
        batches = []
        for start in range(0, len(order), size * _POOL):
            pool = sorted(order[start : start + size * _POOL], key=lambda place: data[place].longest)
            batches += [pool[i : i + size] for i in range(0, len(pool), size)]
        yield from (batches[i] for i in rng.permutation(len(batches)))
        epoch += 1


def in_order(data: Sequence[Encoded], *, tokens: int) -> Iterator[list[int]]:
    """Yield the indices of batches of about `tokens` tokens, long examples first."""
    order = sorted(range(len(data)), key=lambda place: -data[place].longest)
    start = 0
    while start < len(order):
        first = data[order[start]]
        size = max(1, tokens // (first.longest * len(first.sequences)))
        yield order[start : start + size]
        start += size
