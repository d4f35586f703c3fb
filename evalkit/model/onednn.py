"""A GPT whose matrices are laid out for oneDNN: on a CPU its products are up to a third faster than torch's own.

torch multiplies fp32 with MKL, which is slow on CPUs of other makers, and reorders bf16 matrices for every product;
the activation is a separate pass over the widest states. Here each matrix is reordered once, and the activation is
fused into the product before it. torch.compile itself uses these operators for frozen weights on a CPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evalkit.model.gpt import GPT, Linear
from evalkit.model.weights import without_weights

# The number of rows for which matrices are laid out: a pass of an evaluation has several hundred.
_ROWS = 512
# oneDNN compiles a kernel for each number of rows, which takes as long as tens of millions of multiplications. Where
# rows to add cost less than that, their number is made a multiple of _STEP, or of up to a quarter of it.
_STEP, _KERNEL = 64, 1 << 25
# Kernels that oneDNN and torch's layer above it keep, half a megabyte each: a pass needs about ten. Their own limits of
# 1,024 would hold those of all numbers of rows there have been, scattered over the heap among the tensors of a pass.
_KEPT = {"LRU_CACHE_CAPACITY": "64", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}
# Our names of activations -> oneDNN's, with their kind.
_FUSED = {"gelu_tanh": ("gelu", "tanh"), "gelu": ("gelu", "none"), "relu": ("relu", ""), "silu": ("swish", "")}


def suits(model: GPT) -> bool:
    """Whether a model can be packed: it is on a CPU, in a dtype that oneDNN multiplies there."""
    return _multiplies(model.tokens.weight)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply rows (..., in) with a matrix (out, in) that is not packed."""
    if not _multiplies(weight):
        return F.linear(x, weight, bias)
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


def _multiplies(weight: Tensor) -> bool:
    """Whether oneDNN multiplies such matrices on this machine."""
    dnn = torch.backends.mkldnn
    if weight.device.type != "cpu" or not (dnn.is_available() and dnn.enabled):
        return False
    return weight.dtype == torch.float32 or (
        weight.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def packed(model: GPT, *, layer: Callable[[Linear], Linear] | None = None) -> GPT:
    """Return the same network for inference; `model` is taken apart, so that no weight is held twice.

    layer: makes the layer that multiplies in place of one of the blocks' (default: with its matrix laid out).
    """
    _limit_kernels()
    return _PackedGPT(model, layer or _PackedLinear).eval()


def replace_products(module: nn.Module) -> None:
    """Let the layers of a network that is not ours multiply by oneDNN; their matrices stay as they are, held once."""
    _limit_kernels()
    for part in module.modules():
        if type(part) is nn.Linear:
            part.__class__ = _Linear


def _limit_kernels() -> None:
    """Limit the kernels that are kept, if this process has none yet and the user has not set other limits."""
    for name, number in _KEPT.items():
        os.environ[name] = os.environ.get(name) or number  # oneDNN crashes on an empty one


class _Linear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        """Multiply rows (..., in) to (..., out)."""
        return product(input, self.weight, self.bias)


class _PackedGPT(GPT):
    def __init__(self, model: GPT, layer: Callable[[Linear], Linear]):
        with without_weights():  # all of them are replaced
            super().__init__(model.config)
        for name, child in model.named_children():
            setattr(self, name, child)
        model.blocks = nn.ModuleList()
        for part in self.blocks.modules():
            for name, child in list(part.named_children()):
                if isinstance(child, Linear):
                    setattr(part, name, layer(child))
        self._most_padding = _KERNEL // model.config.block_parameters

    def padding(self, rows: int) -> int:
        """Return how many rows a pass should add, so that few numbers of rows occur."""
        step = max(_STEP, 1 << max(0, rows.bit_length() - 3))
        while step > max(1, self._most_padding):
            step //= 2
        return -rows % step

    def unembed(self, hidden: Tensor) -> Tensor:
        """Turn states (..., D) into logits (..., V)."""
        if hidden.dtype != torch.float32:
            return super().unembed(hidden)
        # Not packed, because a tied matrix is also the token embedding.
        return self.capped(product(hidden, self.output_matrix))


class _PackedLinear(Linear):
    """A Linear for inference."""

    def __init__(self, linear: Linear):
        with without_weights():
            super().__init__(linear.in_features, linear.out_features)
        del self.weight
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)
        self.bias = linear.bias

    def forward(self, input: Tensor) -> Tensor:
        """Multiply rows (..., in) to (..., out)."""
        return self._product(input)

    def activated(self, x: Tensor, activation: str) -> Tensor:
        """Multiply and apply the activation in the same pass."""
        if activation == "relu2":
            return self._product(x, "relu").square_()
        return self._product(x, *_FUSED[activation])

    def _product(self, x: Tensor, activation: str = "none", kind: str = "") -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, activation, [], kind)
        return product
