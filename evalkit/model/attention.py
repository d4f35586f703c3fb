"""Causal attention for training in bf16 on a CPU, where narrow heads make torch's kernel slow.

Up to a few hundred positions the weights of a block of queries fit into the cache, so plain batched products are
faster: each block of queries is multiplied with the keys up to its own end, which skips most of what the mask would
hide. The softmax's results are kept for the backward pass; memory grows with T * T, so long contexts use torch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from evalkit.model.dropout import keep

_BLOCK = 128
# Above this the weights of all heads no longer fit into the cache, and their memory matters.
_LONGEST = 512


def suits(qkv_BTC: Tensor) -> bool:
    """Whether `causal_attention` is faster: a training step in bf16 on a CPU, with a short context."""
    short = qkv_BTC.shape[1] <= _LONGEST
    return short and qkv_BTC.requires_grad and qkv_BTC.dtype == torch.bfloat16 and qkv_BTC.device.type == "cpu"


def causal_attention(qkv_BTC: Tensor, *, n_head: int, dropout: float = 0.0) -> Tensor:
    """Return causally masked softmax(q k' / sqrt(K)) v as (B, T, D); C = 3 D holds queries, keys and values.

    dropout: probability, applied to the softmax's results.
    """
    apply: Callable[..., Tensor] = _CausalAttention.apply
    return apply(qkv_BTC, n_head, dropout)


def _blocks(length: int) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of queries with the keys that any of them sees; the last block, which sees all keys, comes first."""
    for start in reversed(range(0, length, _BLOCK)):
        stop = min(start + _BLOCK, length)
        yield slice(start, stop), slice(0, stop)


def _split(x_BTC: Tensor, parts: int, n_head: int) -> Tensor:
    """Lay out (B, T, parts * H * K) as (parts, B * H, T, K)."""
    B, T, C = x_BTC.shape
    K = C // (parts * n_head)
    return x_BTC.view(B, T, parts, n_head, K).permute(2, 0, 3, 1, 4).reshape(parts, B * n_head, T, K)


def _join(x_PNTK: Tensor, n_head: int) -> Tensor:
    """Undo `_split`."""
    P, N, T, K = x_PNTK.shape
    return x_PNTK.view(P, N // n_head, n_head, T, K).permute(1, 3, 0, 2, 4).reshape(N // n_head, T, P * n_head * K)


class _CausalAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv_BTC: Tensor, n_head: int, dropout: float) -> Tensor:
        q, k, v = qkv = _split(qkv_BTC, 3, n_head)
        scale = 1 / math.sqrt(q.shape[2])
        y_NTK = torch.empty_like(q)
        saved = []
        for rows, seen in _blocks(q.shape[1]):
            hidden = q.new_full((rows.stop - rows.start, seen.stop), -torch.inf).triu_(1 + rows.start)
            scores = torch.baddbmm(hidden, q[:, rows], k[:, seen].transpose(1, 2), alpha=scale)
            weights = scores.softmax(2)
            mask = keep(weights.shape, dropout, dtype=weights.dtype) if dropout else None
            y_NTK[:, rows] = _dropped(weights, mask) @ v[:, seen]
            saved += [weights, mask]
        ctx.save_for_backward(qkv, *saved)
        ctx.n_head = n_head
        return _join(y_NTK[None], n_head)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        qkv, *saved = ctx.saved_tensors
        q, k, v = qkv
        scale = 1 / math.sqrt(q.shape[2])
        (grad_NTK,) = _split(grads[0].contiguous(), 1, ctx.n_head)
        out = torch.empty_like(qkv)
        dq, dk, dv = out
        for weights, mask, (rows, seen) in zip(saved[::2], saved[1::2], _blocks(q.shape[1]), strict=True):
            dweights = _dropped(grad_NTK[:, rows] @ v[:, seen].transpose(1, 2), mask)
            dscores = torch.ops.aten._softmax_backward_data(dweights, weights, 2, weights.dtype)
            beta = 0 if seen.stop == q.shape[1] else 1  # the first block writes dk and dv, the others add
            dq[:, rows] = torch.baddbmm(dq[:, rows], dscores, k[:, seen], beta=0, alpha=scale)
            dk[:, seen].baddbmm_(dscores.transpose(1, 2), q[:, rows], beta=beta, alpha=scale)
            dv[:, seen].baddbmm_(_dropped(weights, mask).transpose(1, 2), grad_NTK[:, rows], beta=beta)
        return _join(out, ctx.n_head), None, None


def _dropped(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask
