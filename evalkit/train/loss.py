"""Cross-entropy of an output matrix, without ever holding all logits.

The logits of a step are by far its largest tensor (positions x vocabulary). Here they exist for one chunk of positions
at a time: the chunk's loss and its gradient are computed while it is still in the CPU's cache, so the backward pass
only has to scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Rows of the (positions, vocabulary) matrix held at once. Fewer make the products slow, more exceed the cache.
_ROWS = 256


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, dtype: torch.dtype, cap: float | None
    ) -> Tensor:
        N = states_ND.shape[0]
        states, weight = states_ND.to(dtype), weight_VD.to(dtype)
        weight_grad = torch.zeros_like(weight_VD, dtype=torch.float32)
        states_grad = torch.empty_like(states)
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        for start in range(0, N, _ROWS):
            part = slice(start, start + _ROWS)
            targets = targets_N[part]
            rows = torch.arange(len(targets), device=states.device)
            logits = states[part] @ weight.t()
            if cap is not None:
                bent = torch.tanh_(logits / cap)
                logits = cap * bent
            share = logits.softmax(1)  # summed in fp32 for any input dtype
            # log-sum-exp from the largest share, which is at least 1 / V and cannot vanish: no second exp is needed.
            lse = logits.amax(1).float() - share.amax(1).float().log()
            total += (lse - logits[rows, targets]).sum()
            # The gradient with respect to the logits is (softmax - one-hot) / N; the division comes last.
            share[rows, targets] -= 1
            if cap is not None:
                share *= 1 - bent.square_()
            states_grad[part] = share @ weight
            weight_grad += share.t() @ states[part]
        states_grad /= N
        weight_grad /= N
        ctx.save_for_backward(states_grad.to(states_ND.dtype), weight_grad.to(weight_VD.dtype))
        return total / N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        states_grad, weight_grad = ctx.saved_tensors
        return states_grad * grads[0], weight_grad * grads[0], None, None, None


def linear_cross_entropy(
    states_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, *, dtype: torch.dtype, cap: float | None = None
) -> Tensor:
    """Return the mean cross-entropy in nats of softmax(states @ weight.T) against the targets.

    dtype: of the matrix products and of the softmax's results; its sums and the loss are always in fp32. cap: logits
    are cap tanh(logits / cap) (Gemma 2); None: as they are.
    """
    apply: Callable[..., Tensor] = _LinearCrossEntropy.apply
    return apply(states_ND, weight_VD, targets_N, dtype, cap)
