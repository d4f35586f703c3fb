"""Cross-entropy of an output matrix, without ever holding all logits.

The logits of a step are by far its largest tensor (positions x vocabulary). Here they exist for one chunk of positions
at a time: the chunk's loss and its gradient are computed while it is still in the CPU's cache, so the backward pass
only has to scale. The gradients of several chunks are kept, so that the matrix's gradient is a sum of few products: in
bf16 each is rounded, and adding it up in fp32 takes three passes over a matrix of the vocabulary's size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Rows of the (positions, vocabulary) matrix held at once. Fewer make the products slow, more exceed the cache.
_ROWS = 256
# Elements of the gradient by the logits that are kept at once: 32 MB in bf16.
_KEPT = 1 << 24


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, dtype: torch.dtype, cap: float | None
    ) -> Tensor:
        (N, _), V = states_ND.shape, weight_VD.shape[0]
        states, weight = states_ND.to(dtype), weight_VD.to(dtype)
        states_grad, weight_grad = torch.empty_like(states), None
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        # The gradient by the logits is softmax - one-hot; the division by N comes last.
        kept = states.new_empty(min(N, _ROWS * max(1, _KEPT // (_ROWS * V))), V)
        for x, dx, targets in zip(
            *(tensor.split(len(kept)) for tensor in (states, states_grad, targets_N)), strict=True
        ):
            kept = kept[: len(x)]
            for chunk in zip(*(tensor.split(_ROWS) for tensor in (x, targets, kept)), strict=True):
                total += _write_gradient(*chunk, weight=weight, cap=cap)
            torch.mm(kept, weight, out=dx)
            product = kept.t() @ x
            weight_grad = product.float() if weight_grad is None else weight_grad.add_(product)
        ctx.save_for_backward(states_grad, weight_grad)
        ctx.rows, ctx.dtypes = N, (states_ND.dtype, weight_VD.dtype)
        return total / N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scale = grads[0] / ctx.rows
        scaled = ((grad * scale).to(dtype) for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True))
        return *scaled, None, None, None


def _write_gradient(states: Tensor, targets: Tensor, out: Tensor, *, weight: Tensor, cap: float | None) -> Tensor:
    """Write the gradient of a chunk's summed loss by its logits; return that loss."""
    rows = torch.arange(len(targets), device=states.device)
    logits = states @ weight.t()
    if cap is not None:
        bent = torch.tanh_(logits / cap)
        logits = cap * bent
    torch.softmax(logits, 1, out=out)  # summed in fp32 for any dtype
    # log-sum-exp from the largest share, which is at least 1 / V and cannot vanish: no second exp is needed.
    lse = logits.amax(1).float() - out.amax(1).float().log()
    out[rows, targets] -= 1
    if cap is not None:
        out *= 1 - bent.square_()
    return (lse - logits[rows, targets]).sum()


def linear_cross_entropy(
    states_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, *, dtype: torch.dtype, cap: float | None = None
) -> Tensor:
    """Return the mean cross-entropy in nats of softmax(states @ weight.T) against the targets.

    dtype: of the matrix products and of the softmax's results; its sums and the loss are always in fp32. cap: logits
    are cap tanh(logits / cap) (Gemma 2); None: as they are.
    """
    apply: Callable[..., Tensor] = _LinearCrossEntropy.apply
    return apply(states_ND, weight_VD, targets_N, dtype, cap)
