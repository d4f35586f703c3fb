"""Attention in blocks is attention: outputs and gradients agree with the library's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from evalkit.model import attention
from evalkit.model.config import GPTConfig
from evalkit.model.dropout import keep
from evalkit.model.gpt import GPT


def heads(qkv):
    return qkv.unflatten(2, (3, 4, 8)).unbind(2)


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
    theirs_out, ours_out = plain(exact, 4), attention.causal_attention(*heads(ours))
    (theirs_grad,) = torch.autograd.grad(theirs_out, exact, toward.float())
    (ours_grad,) = torch.autograd.grad(ours_out, ours, toward)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    for mine, right in ((ours_out, theirs_out), (ours_grad, theirs_grad)):
        assert (mine.float() - right).norm() <= tolerance * right.norm()


@pytest.mark.parametrize("length", [100, 300])
def test_dropout_is_of_the_weights(length):
    """Beside autograd's gradients of the formula, with the same elements dropped."""
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(2, length, 3 * 4 * 8, generator=generator).requires_grad_()
    toward = torch.randn(2, length, 4 * 8, generator=generator)
    torch.manual_seed(1)
    out = attention.causal_attention(*heads(ours), dropout=0.3)
    theirs = ours.detach().requires_grad_()
    q, k, v = map(attention._split, heads(theirs))
    hidden = torch.full((length, length), -torch.inf).triu(1)
    weights = (q @ k.transpose(1, 2) / 8**0.5 + hidden).softmax(2)
    torch.manual_seed(1)
    mask = torch.zeros_like(weights)
    for rows, seen in attention._blocks(length):
        mask[:, rows, seen] = keep((8, rows.stop - rows.start, seen.stop), 0.3, dtype=torch.float32)
    expected = attention._join((weights * mask) @ v, 4).flatten(2)
    torch.testing.assert_close(out, expected)
    grads = [torch.autograd.grad(y, x, toward)[0] for y, x in ((out, ours), (expected, theirs))]
    torch.testing.assert_close(*grads, atol=1e-5, rtol=1e-5)


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
