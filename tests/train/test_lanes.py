"""Lanes: the gradients of one pass, whatever the number of threads, and the same bits for the same number."""

from __future__ import annotations

import pytest
import torch

from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.train.lanes import Lanes
from evalkit.train.loss import linear_cross_entropy

SHAPE = GPTConfig(n_layer=2, d_model=32, n_head=2, context=16, vocab_size=50)


def gradients(*, count, passes=1, rounded=False, autocast=False):
    model = GPT(SHAPE)
    model.initialize(torch.Generator().manual_seed(0))
    tokens = torch.randint(50, (5, 17), generator=torch.Generator().manual_seed(1))

    def loss_of(inputs, targets):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            states = model.hidden(inputs).flatten(0, 1)
        return linear_cross_entropy(states, model.tokens.weight, targets.flatten(), dtype=torch.float32)

    weights = list(model.parameters())
    lanes = Lanes(model, count=count, dtype=torch.bfloat16 if rounded else torch.float32)
    for _ in range(passes):
        loss = lanes.backward(loss_of, tokens[:, :-1], tokens[:, 1:])
    assert all(weight is parameter for weight, parameter in zip(weights, model.parameters(), strict=True))
    return loss, [parameter.grad for parameter in weights]


@pytest.mark.parametrize("count", [2, 3])
def test_the_gradients_are_those_of_one_pass(count):
    threads = torch.get_num_threads()
    expected_loss, expected = gradients(count=1)
    loss, found = gradients(count=count)
    assert torch.get_num_threads() == threads
    torch.testing.assert_close(loss, expected_loss)
    assert not loss.requires_grad
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_the_same_number_gives_the_same_bits_and_gradients_add_up():
    _, once = gradients(count=3)
    _, again = gradients(count=3)
    _, twice = gradients(count=3, passes=2)
    for first, second, doubled in zip(once, again, twice, strict=True):
        assert torch.equal(first, second)
        assert torch.equal(2 * first, doubled)


def test_matrices_that_are_rounded_once_give_the_bits_of_autocast():
    expected_loss, expected = gradients(count=2, autocast=True)
    loss, found = gradients(count=2, autocast=True, rounded=True)
    assert torch.equal(loss, expected_loss)
    assert all(grad.dtype == torch.float32 for grad in found)
    assert all(map(torch.equal, found, expected))


def test_the_matrices_come_back_when_a_loss_fails():
    model = GPT(SHAPE)
    weights = list(model.parameters())

    def loss_of(inputs, targets):
        raise ValueError("no loss")

    tokens = torch.zeros(4, 8, dtype=torch.int64)
    with pytest.raises(ValueError, match="no loss"):
        Lanes(model, count=2, dtype=torch.bfloat16).backward(loss_of, tokens, tokens)
    assert all(weight is parameter for weight, parameter in zip(weights, model.parameters(), strict=True))
