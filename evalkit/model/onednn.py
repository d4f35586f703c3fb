"""A GPT whose matrices are laid out for oneDNN: on a CPU its products are up to a third faster than torch's own.

torch multiplies fp32 with MKL, which is slow on CPUs of other makers, and reorders bf16 matrices for every product;
GELU is a separate pass over the widest states. Here each matrix is reordered once, and GELU is fused into the product
before it. torch.compile itself uses these operators for frozen weights on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT, Block
from evalkit.model.weights import without_weights

# The number of rows for which matrices are laid out: a pass of an evaluation has several hundred.
_ROWS = 512


def suits(model: GPT) -> bool:
    """Whether a model can be packed: it is on a CPU, in a dtype that oneDNN multiplies there."""
    return _multiplies(model.tokens.weight)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply rows (..., in) with a matrix (out, in) that is not packed."""
    if not _multiplies(weight):
        return F.linear(x, weight)
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return out


def _multiplies(weight: Tensor) -> bool:
    """Whether oneDNN multiplies such matrices on this machine."""
    dnn = torch.backends.mkldnn
    if weight.device.type != "cpu" or not (dnn.is_available() and dnn.enabled):
        return False
    return weight.dtype == torch.float32 or (
        weight.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def packed(model: GPT) -> GPT:
    """Return the same network for inference; `model` is taken apart, so that no weight is held twice."""
    return _PackedGPT(model).eval()


class _PackedGPT(GPT):
    def __init__(self, model: GPT):
        with without_weights():  # all of them are replaced
            super().__init__(model.config)
        self.tokens, self.positions, self.norm = model.tokens, model.positions, model.norm
        self.output = model.output
        self.blocks = nn.ModuleList()
        while len(model.blocks):
            self.blocks.append(_PackedBlock(model.config, model.blocks.pop(0)))

    def unembed(self, hidden: Tensor) -> Tensor:
        """Turn states (..., D) into logits (..., V)."""
        if hidden.dtype != torch.float32:
            return super().unembed(hidden)
        return product(hidden, self.output_matrix)  # not packed, because a tied matrix is also the token embedding


class _PackedBlock(Block):
    def __init__(self, config: GPTConfig, block: nn.Module):
        with without_weights():
            super().__init__(config)
        assert isinstance(block, Block)
        self.norm_1, self.norm_2 = block.norm_1, block.norm_2
        self.attention.qkv, self.attention.out = _PackedLinear(block.attention.qkv), _PackedLinear(block.attention.out)
        self.up, self.down = _PackedLinear(block.up), _PackedLinear(block.down)

    def perceptron(self, x_BTD: Tensor) -> Tensor:
        """Project to 4 D with GELU, project back to D."""
        assert isinstance(self.up, _PackedLinear)
        out_BTD: Tensor = self.down(self.up.product(x_BTD, "gelu", "tanh"))
        return out_BTD


class _PackedLinear(nn.Linear):
    """An nn.Linear for inference."""

    def __init__(self, linear: nn.Linear):
        with without_weights():
            super().__init__(linear.in_features, linear.out_features)
        del self.weight
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)
        self.bias = linear.bias

    def forward(self, input: Tensor) -> Tensor:
        """Multiply rows (..., in) to (..., out)."""
        return self.product(input)

    def product(self, x: Tensor, activation: str = "none", kind: str = "") -> Tensor:
        """Multiply and apply one of oneDNN's activations in the same pass."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, activation, [], kind)
        return product
