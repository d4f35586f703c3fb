"""Causal attention for training in bf16 on a CPU, where narrow heads make torch's kernel slow.

Up to a few hundred positions the weights of a block of queries fit into the cache, so plain batched products are
faster: each block of queries is multiplied with the keys up to its own end, which skips most of what the mask would
hide. The softmax's results are kept for the backward pass; memory grows with T * T, so long contexts use torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from evalkit.model.dropout import keep

_BLOCK = 128
# Above this the weights of all heads no longer fit into the cache, and their memory matters.
_LONGEST = 512


def suits(v_BTGK: Tensor) -> bool:
    """Whether `causal_attention` is faster: a training step in bf16 on a CPU, with a short context."""
    short = v_BTGK.shape[1] <= _LONGEST
    return short and v_BTGK.requires_grad and v_BTGK.dtype == torch.bfloat16 and v_BTGK.device.type == "cpu"


def causal_attention(
    q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, *, scale: float | None = None, dropout: float = 0.0
) -> Tensor:
    """Return causally masked softmax(scale q k') v as (B, T, H * K); each key and value serves H / G queries.

    scale: 1 / sqrt(K) by default. dropout: probability, applied to the softmax's results.
    """
    apply: Callable[..., Tensor] = _CausalAttention.apply
    shared = q_BTHK.shape[2] // k_BTGK.shape[2]
    if shared > 1:
        k_BTGK, v_BTGK = (part.repeat_interleave(shared, 2) for part in (k_BTGK, v_BTGK))
    return apply(q_BTHK, k_BTGK, v_BTGK, scale or q_BTHK.shape[3] ** -0.5, dropout)


def _blocks(length: int) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of queries with the keys that any of them sees; the last block, which sees all keys, comes first."""
    for start in reversed(range(0, length, _BLOCK)):
        stop = min(start + _BLOCK, length)
        yield slice(start, stop), slice(0, stop)


def _split(x_BTHK: Tensor) -> Tensor:
    """Lay out (B, T, H, K) as (B * H, T, K)."""
    return x_BTHK.transpose(1, 2).reshape(-1, x_BTHK.shape[1], x_BTHK.shape[3])


def _join(x_NTK: Tensor, n_head: int) -> Tensor:
    """Undo `_split`."""
    return x_NTK.view(-1, n_head, *x_NTK.shape[1:]).transpose(1, 2)


class _CausalAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, scale: float, dropout: float) -> Tensor:
        q, k, v = (_split(part) for part in (q_BTHK, k_BTHK, v_BTHK))
        y_NTK = torch.empty_like(q)
        saved = []
        for rows, seen in _blocks(q.shape[1]):
            hidden = q.new_full((rows.stop - rows.start, seen.stop), -torch.inf).triu_(1 + rows.start)
            scores = torch.baddbmm(hidden, q[:, rows], k[:, seen].transpose(1, 2), alpha=scale)
            weights = scores.softmax(2)
            mask = keep(weights.shape, dropout, dtype=weights.dtype) if dropout else None
            y_NTK[:, rows] = _dropped(weights, mask) @ v[:, seen]
            saved += [weights, mask]
        ctx.save_for_backward(q, k, v, *saved)
        ctx.n_head, ctx.scale = q_BTHK.shape[2], scale
        return _join(y_NTK, ctx.n_head).flatten(2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, *saved = ctx.saved_tensors
        scale = ctx.scale
        grad_NTK = _split(grads[0].unflatten(2, (ctx.n_head, -1)))
        out = q.new_empty(3, *q.shape)
        dq, dk, dv = out
        for weights, mask, (rows, seen) in zip(saved[::2], saved[1::2], _blocks(q.shape[1]), strict=True):
            dweights = _dropped(grad_NTK[:, rows] @ v[:, seen].transpose(1, 2), mask)
            dscores = torch.ops.aten._softmax_backward_data(dweights, weights, 2, weights.dtype)
            beta = 0 if seen.stop == q.shape[1] else 1  # the first block writes dk and dv, the others add
            dq[:, rows] = torch.baddbmm(dq[:, rows], dscores, k[:, seen], beta=0, alpha=scale)
            dk[:, seen].baddbmm_(dscores.transpose(1, 2), q[:, rows], beta=beta, alpha=scale)
            dv[:, seen].baddbmm_(_dropped(weights, mask).transpose(1, 2), grad_NTK[:, rows], beta=beta)
        return *(_join(part, ctx.n_head) for part in out), None, None


def _dropped(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask
