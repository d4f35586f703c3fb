"""Muon with its matrices batched.

torch.optim.Muon orthogonalises one matrix after the other. A small GPT has dozens of the same shape, each too small
to keep the CPU busy; here those of one shape pass through the Newton-Schulz iteration as one batch. The computation,
and the state that a checkpoint holds, are those of torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from evalkit.model.precision import multiplies_bf16


class Muon(torch.optim.Muon):
    """torch.optim.Muon (Jordan et al. 2024) with nesterov momentum and adjust_lr_fn "original", batched by shape."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Apply the gradients. Closures are not supported."""
        assert closure is None
        for group in self.param_groups:
            assert group["nesterov"] and group["adjust_lr_fn"] == "original"
            by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
            params = [p for p in group["params"] if p.grad is not None]
            for param, update in zip(params, self._momentum(params, group["momentum"]), strict=True):
                # A tall matrix is transposed: products along the shorter side are cheaper.
                wide = update.t() if update.shape[0] > update.shape[1] else update
                by_shape.setdefault((wide.shape[0], wide.shape[1]), []).append((param, wide))
            for members in by_shape.values():
                updates = orthogonalize(torch.stack([update for _, update in members]), group=group)
                self._apply([param for param, _ in members], updates, group)

    def _momentum(self, params: list[Tensor], momentum: float) -> list[Tensor]:
        """Update the running means with the gradients; return the means one step ahead (Nesterov)."""
        for param in params:
            if "momentum_buffer" not in self.state[param]:
                self.state[param]["momentum_buffer"] = torch.zeros_like(param)
        grads: list[Tensor] = [param.grad for param in params if param.grad is not None]
        means: list[Tensor] = [self.state[param]["momentum_buffer"] for param in params]
        torch._foreach_lerp_(means, grads, 1 - momentum)
        return list(torch._foreach_lerp(grads, means, momentum))

    def _apply(self, params: list[Tensor], updates_NRC: Tensor, group: dict[str, Any]) -> None:
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        for param, update in zip(params, updates_NRC.unbind(), strict=True):
            rows, columns = param.shape
            # torch: lr * sqrt(max(1, rows / columns))
            rate = group["lr"] * math.sqrt(max(1.0, rows / columns))
            param.add_(update.t() if rows > columns else update, alpha=-rate)


def orthogonalize(matrices_NRC: Tensor, *, group: dict[str, Any]) -> Tensor:
    """Return approximately U V' of each matrix (R <= C), by fifth-order Newton-Schulz iterations.

    In bf16, as torch does, but in fp32 on hardware without products of bf16, where these are many times slower.
    """
    a, b, c = group["ns_coefficients"]
    x_NRC = matrices_NRC.bfloat16() if multiplies_bf16(matrices_NRC.device.type) else matrices_NRC
    # The norm is Frobenius's, as in torch; it bounds the largest singular value by 1.
    x_NRC = x_NRC / x_NRC.norm(dim=(1, 2), keepdim=True).clamp(min=group["eps"])
    for _ in range(group["ns_steps"]):
        gram_NRR = x_NRC @ x_NRC.transpose(1, 2)
        mixed_NRR = torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=b, alpha=c)
        x_NRC = torch.baddbmm(x_NRC, mixed_NRR, x_NRC, beta=a)
    return x_NRC
