"""Attention in blocks is attention: outputs and gradients agree with the library's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from evalkit.model import attention
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT


def plain(qkv, n_head):
    B, T, C = qkv.shape
    q, k, v = qkv.view(B, T, 3, n_head, C // 3 // n_head).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, C // 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1, 128, 129, 300])
def test_blocks_are_attention(length, dtype):
    generator = torch.Generator().manual_seed(0)
    exact = torch.randn(2, length, 3 * 4 * 8, generator=generator).to(dtype).float().requires_grad_()
    toward = torch.randn(2, length, 4 * 8, generator=generator).to(dtype)
    ours = exact.detach().to(dtype).requires_grad_()
    theirs_out, ours_out = plain(exact, 4), attention.causal_attention(ours, n_head=4)
    (theirs_grad,) = torch.autograd.grad(theirs_out, exact, toward.float())
    (ours_grad,) = torch.autograd.grad(ours_out, ours, toward)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    for mine, right in ((ours_out, theirs_out), (ours_grad, theirs_grad)):
        assert (mine.float() - right).norm() <= tolerance * right.norm()


def test_it_serves_training_in_bf16_only(monkeypatch):
    calls = []
    whole = attention.causal_attention
    monkeypatch.setattr("evalkit.model.gpt.causal_attention", lambda *a, **k: calls.append(1) or whole(*a, **k))
    model = GPT(GPTConfig(n_layer=2, d_model=16, n_head=2, context=600, vocab_size=20))
    model.initialize(torch.Generator().manual_seed(0))
    tokens = torch.arange(20)[None]
    expected = model.hidden(tokens)
    assert calls == []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trained = model.hidden(tokens)
        assert len(calls) == 2
        model.hidden(torch.zeros(1, 600, dtype=torch.long))  # too long
        with torch.no_grad():
            model.hidden(tokens)
    assert len(calls) == 2
    assert (trained - expected).norm() < 0.02 * expected.norm()
