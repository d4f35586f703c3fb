"""Our GELU of training equals torch's, with its gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from evalkit.model import gelu


@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float32, 3e-6), (torch.bfloat16, 0.02)], ids=["float32", "bfloat16"]
)
def test_values_and_gradient_are_those_of_torch(dtype, error, monkeypatch):
    monkeypatch.setattr(gelu, "_BLOCK", 1000)  # several blocks, the last one shorter
    x = torch.linspace(-12, 12, 4 * 1201, dtype=dtype).view(4, 1201).requires_grad_()
    exact = x.detach().double().requires_grad_()
    slope = torch.linspace(-1, 1, 1201).expand(4, -1)

    value, expected = gelu.gelu_tanh(x), F.gelu(exact, approximate="tanh")
    (value * slope.to(dtype)).sum().backward()
    (expected * slope).sum().backward()

    assert value.dtype == dtype
    torch.testing.assert_close(value.double(), expected, rtol=error, atol=error / 10)
    torch.testing.assert_close(x.grad.double(), exact.grad, rtol=error, atol=error / 10)


def test_without_a_gradient_it_is_torchs_kernel():
    x = torch.randn(100)
    assert torch.equal(gelu.gelu_tanh(x), F.gelu(x, approximate="tanh"))


def test_extreme_values_have_a_finite_gradient():
    x = torch.tensor([-1e15, -1e4, 0.0, 1e4, 1e15]).requires_grad_()
    value = gelu.gelu_tanh(x)
    value.sum().backward()
    assert torch.equal(value, F.gelu(x.detach(), approximate="tanh"))
    assert x.grad.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
