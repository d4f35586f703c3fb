"""Dropout of our own: shares, independence, seeds, gradients, and the library's where that is the way."""

from __future__ import annotations

import pytest
import torch

from evalkit.model.dropout import Dropout, keep


@pytest.mark.parametrize("p", [0.0001, 0.1, 0.5, 0.9])
def test_elements_are_dropped_with_their_probability(p):
    torch.manual_seed(0)
    kept = keep((1001, 1003), p, dtype=torch.float32)
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / (1 - p)])
    error = (p * (1 - p) / kept.numel()) ** 0.5
    assert float((kept == 0).float().mean()) == pytest.approx(p, abs=5 * error + 1 / (1 << 17))


def test_elements_are_independent():
    torch.manual_seed(0)
    dropped = (keep((1 << 20,), 0.3, dtype=torch.float32) == 0).float() - 0.3
    for apart in (1, 2, 3, 4, 5, 8, 64, 4096):  # four come of one draw
        together = (dropped[apart:] * dropped[:-apart]).mean() / (0.3 * 0.7)
        assert abs(float(together)) < 5 / 2**10
    lanes = (dropped + 0.3).view(-1, 4).mean(0)
    assert float((lanes - 0.3).abs().max()) < 5 * (0.3 * 0.7 / 2**18) ** 0.5


def test_a_seed_gives_the_same_elements():
    drop, x = Dropout(0.2), torch.randn(7, 9)
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(drop(x))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_gradients_go_where_values_went():
    drop, x = Dropout(0.5), torch.ones(40, 40, requires_grad=True)
    y = drop(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_it_is_nothing_but_in_training():
    x = torch.randn(3, 4)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_trains_under_compile_too():
    """The library's, since a compiler cannot follow ours."""
    torch.manual_seed(0)
    whole = torch.compile(Dropout(0.5), backend="aot_eager")
    y = whole(torch.ones(100, 100))
    assert float((y == 0).float().mean()) == pytest.approx(0.5, abs=0.05)
