"""Products of whole numbers of 8 bits: up to four times as many per second as of fp32, on processors made for them.

Vector-wise quantisation (Dettmers et al. 2022, section 2.1, without its outliers in higher precision): a matrix has a
scale for each output, made once; what is multiplied with it has a scale for each row, so that the result for a token
does not depend on what is computed beside it. Sums are exact (int32). Norms, attention, embeddings and logits are fp32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from evalkit.model.gpt import Linear
from evalkit.model.weights import without_weights

# The largest whole number; -128 is not used, so that a number and its negative are rounded alike.
_MOST = 127
# The smallest scale, of rows of zeros.
_LEAST = torch.finfo(torch.float32).tiny


class Int8Linear(Linear):
    """A Linear for inference with weights and inputs of 8 bits."""

    products = "int8"

    def __init__(self, linear: Linear):
        with without_weights():
            super().__init__(linear.in_features, linear.out_features)
        del self.weight
        self._matrix, scales_O1 = rounded(linear.weight.detach().float())
        self._scales_O, self.bias = scales_O1[:, 0], linear.bias

    def forward(self, input: Tensor) -> Tensor:
        """Multiply rows (..., in) to (..., out)."""
        rows, scales_R1 = rounded(input.flatten(0, -2).float())
        product: Tensor = torch._int_mm(rows, self._matrix.t()).float().mul_(scales_R1).mul_(self._scales_O)
        if self.bias is not None:
            product += self.bias
        return product.to(input.dtype).view(*input.shape[:-1], -1)


def rounded(x_RC: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole numbers (R, C) and the scale of each row (R, 1), whose product is nearest to x_RC."""
    scales_R1 = (x_RC.abs().amax(1, keepdim=True) / _MOST).clamp_(min=_LEAST)
    return (x_RC / scales_R1).round_().to(torch.int8), scales_R1
