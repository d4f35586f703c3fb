"""Products of whole numbers of 8 bits: up to four times as many per second as of fp32, on processors made for them.

Vector-wise quantisation (Dettmers et al. 2022, section 2.1): a matrix has a scale for each output, made once; what is
multiplied with it has a scale for each row, so that the result for a token does not depend on what is computed beside
it. Sums are exact (int32). Norms, attention, embeddings and logits are fp32.

A few numbers of a row are ten to forty times as large as the others, which a scale made for them rounds coarsely.
LLM.int8() multiplies such columns in 16 bits; SmoothQuant (Xiao et al. 2023) divides them by factors that sample texts
give. Here rows and matrices are rotated alike, which leaves products as they are and spreads large numbers over others
(QuaRot, Ashkboos et al. 2024, section 4: its transforms of states, here in blocks): by Hadamard matrices of at most 64
numbers, whose time matters less the more outputs a matrix has. No texts are needed, nor anything about the model.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from evalkit.model import onednn
from evalkit.model.gpt import GPT, Linear
from evalkit.model.precision import INT8
from evalkit.model.weights import without_weights

# The largest whole number; -128 is not used, so that a number and its negative are rounded alike.
_MOST = 127
# The smallest scale, of rows of zeros.
_LEAST = torch.finfo(torch.float32).tiny
# The most numbers that are mixed: with fewer the errors of products grow, with more the time.
_BLOCK = 64


def packed(model: GPT) -> GPT:
    """Return the network for inference with matrices of 8 bits in its blocks; `model` is taken apart."""
    network = onednn.packed(model, layer=Int8Linear)
    network.products = INT8
    return network


class Rounded(NamedTuple):
    """Rows, rotated: whole numbers (R, in) and their scales (R, 1); shape, dtype: of the rows as they were."""

    numbers: Tensor
    scales: Tensor
    shape: torch.Size
    dtype: torch.dtype


class Int8Linear(Linear):
    """A Linear for inference with weights and inputs of 8 bits."""

    def __init__(self, linear: Linear):
        with without_weights():
            super().__init__(linear.in_features, linear.out_features)
        del self.weight
        # The largest power of two that divides the width.
        self._mixing_BB = hadamard(min(_BLOCK, linear.in_features & -linear.in_features))
        self._matrix, scales_O1 = self._rounded(linear.weight.detach())
        self._scales_O, self.bias = scales_O1[:, 0], linear.bias

    def prepared(self, x: Tensor) -> Rounded:
        """Rotate and round rows (..., in), once for all layers of this width that multiply them."""
        return Rounded(*self._rounded(x.flatten(0, -2)), x.shape[:-1], x.dtype)

    def forward(self, input: Tensor | Rounded) -> Tensor:
        """Multiply rows (..., in) to (..., out)."""
        rows = input if isinstance(input, Rounded) else self.prepared(input)
        product: Tensor = torch._int_mm(rows.numbers, self._matrix.t()).float().mul_(rows.scales).mul_(self._scales_O)
        if self.bias is not None:
            product += self.bias
        return product.to(rows.dtype).view(*rows.shape, -1)

    def _rounded(self, x_RC: Tensor) -> tuple[Tensor, Tensor]:
        """Rotate rows (R, in) and round them."""
        mixed = onednn.product(x_RC.float().reshape(-1, len(self._mixing_BB)), self._mixing_BB)
        return rounded(mixed.view_as(x_RC))


def rounded(x_RC: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole numbers (R, C) and the scale of each row (R, 1), whose product is nearest to x_RC."""
    largest_R1 = torch.maximum(x_RC.amax(1, keepdim=True), x_RC.amin(1, keepdim=True).neg_())
    scales_R1 = (largest_R1 / _MOST).clamp_(min=_LEAST)
    return (x_RC / scales_R1).round_().to(torch.int8), scales_R1


def hadamard(size: int) -> Tensor:
    """Return Sylvester's symmetric orthogonal matrix (size, size), of one absolute value; size: a power of two."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), matrix)
    matrix /= size**0.5
    return matrix
