"""Rotary positions (Su et al. 2021, section 3.4): queries and keys are rotated, so that scores depend on distances.

Shapes: N positions (any leading shape), H heads, K = width of a head, R components of it that are rotated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from evalkit.model.config import GPTConfig, Llama3Scaling, Rotary


class Rotation(NamedTuple):
    """Cosines and sines of the angles of some positions, (N, 1, R) each, in fp32: of i and of i + R / 2 the same.

    The sines of the first half are negative: a pair (a, b) becomes (a cos - b sin, b cos + a sin).
    """

    cosines: Tensor
    sines: Tensor


def rotation_at(places_N: Tensor, config: GPTConfig) -> Rotation | None:
    """Return the rotation of queries and keys at positions; None for a model with learned positions."""
    if config.rotary is None:
        return None
    angles = places_N[..., None, None].float() * frequencies(config.rotary, config.rotated).to(places_N.device)
    cosines, sines = angles.cos(), angles.sin()
    return Rotation(torch.cat([cosines, cosines], -1), torch.cat([-sines, sines], -1))


def rotate(x_NHK: Tensor, rotation: Rotation) -> Tensor:
    """Rotate the pairs of components (i, i + R / 2) of each head; computed in fp32, returned in x's dtype."""
    if x_NHK.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        apply: Callable[..., Tensor] = _Rotated.apply
        return apply(x_NHK, *rotation)
    return _rotated(x_NHK, rotation)


def _rotated(x_NHK: Tensor, rotation: Rotation) -> Tensor:
    R = rotation.cosines.shape[-1]
    first, second = slice(R // 2), slice(R // 2, R)
    rotated = x_NHK[..., :R] * rotation.cosines
    for half, partner in ((first, second), (second, first)):
        rotated[..., half].addcmul_(x_NHK[..., partner], rotation.sines[..., half])
    rotated = rotated.to(x_NHK.dtype)
    return rotated if x_NHK.shape[-1] == R else torch.cat([rotated, x_NHK[..., R:]], -1)


class _Rotated(torch.autograd.Function):
    """The rotation in training, whose gradient is the same rotation backwards."""

    @staticmethod
    def forward(ctx: Any, x_NHK: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        # Products with a row for each head are twice as fast as with one row for all.
        size = (*cosines.shape[:-2], x_NHK.shape[-2], cosines.shape[-1])
        rotation = Rotation(cosines.expand(size).contiguous(), sines.expand(size).contiguous())
        ctx.save_for_backward(*rotation)
        return _rotated(x_NHK, rotation)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cosines, sines = ctx.saved_tensors
        return _rotated(grads[0], Rotation(cosines, -sines)), None, None


def frequencies(rotary: Rotary, rotated: int) -> Tensor:
    """Return the angle per position of each pair of `rotated` components (R / 2)."""
    pairs = torch.arange(0, rotated, 2, dtype=torch.float32) / rotated
    unscaled = 1.0 / rotary.base**pairs
    if isinstance(rotary.scaling, Llama3Scaling):
        return _stretched(unscaled, rotary.scaling)
    return unscaled if rotary.scaling is None else unscaled / rotary.scaling


def _stretched(frequencies: Tensor, scaling: Llama3Scaling) -> Tensor:
    """Slow down the long waves; the share of what stays falls linearly in the number of waves per context."""
    waves = scaling.context * frequencies / (2 * math.pi)
    kept = ((waves - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
    return kept * frequencies + (1 - kept) * frequencies / scaling.factor
