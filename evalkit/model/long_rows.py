"""Attention of rows with thousands of keys, in memory that grows with their length and not with its square.

A row that is one sequence read from its start is causal, and torch's kernel attends to it without a mask. Any other is
cut into blocks of queries, each with the keys from the first that one of them sees to its own end. A block keeps masks
of the columns that some of its queries do not see; in a long row these are few.

Shapes: T queries of a block, C its keys, S all tokens; H heads of queries, G of keys, K the width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Keys from which on a row is long. Below, plain products are as fast.
LONG = 1024
_QUERIES = 256


class _Sight(NamedTuple):
    """What queries see: keys (C), token numbers, or the slice of all tokens that they are; all but for the masks.

    masks: columns and which of them each query sees (T, columns). causal: query t sees the keys up to t.
    """

    keys: Tensor | slice
    masks: Sequence[tuple[int, Tensor]]
    causal: bool = False


class LongBlock(NamedTuple):
    """Queries (T), token numbers, and what they see in dense and in banded layers."""

    queries: Tensor
    dense: _Sight
    banded: _Sight

    def attended(self, q_NHK: Tensor, k_SGK: Tensor, v_SGK: Tensor, *, held: int, banded: bool, scale: float) -> Tensor:
        """Return the outputs (T, H * K); q_NHK: of the tokens after the `held` ones."""
        keys, masks, causal = self.banded if banded else self.dense
        q_1HTK = q_NHK.index_select(0, self.queries - held).transpose(0, 1)[None]
        k_1GCK, v_1GCK = (part[keys].transpose(0, 1)[None] for part in (k_SGK, v_SGK))
        seen_TC = None
        if not causal:
            seen_TC = torch.ones(q_1HTK.shape[2], k_1GCK.shape[2], dtype=torch.bool)
            for column, mask in masks:
                seen_TC[:, column : column + mask.shape[1]] = mask
        y_1HTK = F.scaled_dot_product_attention(
            q_1HTK, k_1GCK, v_1GCK, attn_mask=seen_TC, is_causal=causal, scale=scale,
            enable_gqa=q_1HTK.shape[1] != k_1GCK.shape[1],
        )  # fmt: skip
        return y_1HTK[0].transpose(0, 1).flatten(1)


def long_blocks(
    queries_T: Tensor, keys_C: Tensor, *, ends: Tensor, places: Tensor, band: int | None
) -> Iterator[LongBlock]:
    """Cut a row into blocks: some of its tokens, in order, and all that they see. ends, places: as in a Tree."""
    chain = len(queries_T) == len(keys_C) and int(ends[keys_C].min()) > int(queries_T[-1])
    if chain and (band is None or band >= len(keys_C)):
        sight = _Sight(_run(keys_C), [], causal=True)
        yield LongBlock(queries_T, sight, sight)
        return
    for start in range(0, len(queries_T), _QUERIES):
        q_T = queries_T[start : start + _QUERIES]
        k_C = keys_C[keys_C <= q_T[-1]]
        dense = _sight(q_T, k_C, ends, places, None)
        yield LongBlock(q_T, dense, dense if band is None else _sight(q_T, k_C, ends, places, band))


def _sight(q_T: Tensor, k_C: Tensor, ends: Tensor, places: Tensor, band: int | None) -> _Sight:
    """Find the columns that all queries see, and mask the others."""
    by_all, by_any = ((k_C <= q_T[i]) & (ends[k_C] > q_T[j]) for i, j in ((0, -1), (-1, 0)))
    if band is not None:
        by_all &= places[q_T].max() - places[k_C] < band
        by_any &= places[q_T].min() - places[k_C] < band
    first = int(by_any.int().argmax())
    start = first + int(by_all[first:].int().argmax())
    stop = start + int(by_all[start:].int().cumprod(0).sum())  # all queries see start..stop
    masks = []
    for a, b in ((first, start), (stop, len(k_C))):
        q, k = q_T[:, None], k_C[None, a:b]
        seen_TC = (k <= q) & (q < ends[k])
        masks.append((a - first, seen_TC if band is None else seen_TC & (places[q] - places[k] < band)))
    return _Sight(_run(k_C[first:]), masks)


def _run(keys_C: Tensor) -> Tensor | slice:
    """Return numbers that follow one another as a slice, so that nothing need be copied."""
    follow = bool((keys_C[1:] == keys_C[:-1] + 1).all())
    return slice(int(keys_C[0]), int(keys_C[-1]) + 1) if follow else keys_C
