"""RMS norm (Zhang and Sennrich 2019) whose gradient on a processor takes a quarter of torch's time.

torch has one kernel for the gradient of a layer norm, and a dozen passes over memory for that of an RMS norm. But a
layer norm whose mean is said to be 0 is an RMS norm, and its gradient differs by one term only: it has the mean of the
weighted gradients taken out, which is put back here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class RMSNorm(nn.RMSNorm):
    """nn.RMSNorm; in training on a processor by kernels of layer norm, in fp32."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x over the root of the mean of its squares, times the weight."""
        training = torch.is_grad_enabled() and x.requires_grad and self.weight.dtype == torch.float32
        if not training or x.device.type != "cpu" or torch.compiler.is_compiling():
            # torch has no kernel for two dtypes at once; it warns, and returns the wider one as here.
            normed: Tensor = super().forward(x.to(torch.promote_types(x.dtype, self.weight.dtype)))
            return normed
        apply: Callable[..., Tensor] = _RMSNorm.apply
        return apply(x.float(), self.weight, self.eps)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inverse = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        scaled: Tensor = x * inverse
        return scaled.mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse = ctx.saved_tensors
        grad, width = grads[0].contiguous(), x.shape[-1]
        dx, dweight, _ = torch.ops.aten.native_layer_norm_backward(
            grad, x, [width], torch.zeros_like(inverse), inverse, weight, None, [True, True, False]
        )
        mean = (grad.view(-1, width) @ weight).view_as(inverse).div_(width)
        dx += mean.mul_(inverse)
        return dx, dweight, None
