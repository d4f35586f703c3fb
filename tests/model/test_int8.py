"""Products of 8 bits: the arithmetic of whole numbers, and networks that use it."""

from __future__ import annotations

import copy
import random

import pytest
import torch

from evalkit.engine.open import open_model
from evalkit.errors import UsageError
from evalkit.model import int8, precision, resolve
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import Block, Linear
from evalkit.model.int8 import Int8Linear, hadamard, rounded
from tests.engine.test_scoring import SHAPES, VOCABULARY, answers, asking, engine, make, naive


def test_a_row_is_scaled_by_its_largest_number():
    x = torch.tensor([[0.5, -1.0, 0.26], [0.0, 0.0, 0.0], [300.0, 127.0, -1.0]])
    numbers, scales = rounded(x)
    assert numbers.tolist() == [[64, -127, 33], [0, 0, 0], [127, 54, 0]]  # 63.5 to the even neighbour
    assert scales[:, 0].tolist() == pytest.approx([1 / 127, 0, 300 / 127])


@pytest.mark.parametrize("size", [1, 2, 64])
def test_a_rotation_is_its_own_inverse_and_spreads_a_number_evenly(size):
    matrix = hadamard(size)
    torch.testing.assert_close(matrix @ matrix, torch.eye(size))
    torch.testing.assert_close(matrix.abs(), torch.full((size, size), size**-0.5))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(1,), (5,), (2, 40)])
@pytest.mark.parametrize(("width", "block"), [(33, 1), (36, 4), (192, 64)])
def test_products_are_those_of_the_rounded_numbers(rows, bias, width, block):
    torch.manual_seed(0)
    linear = Linear(width, 17, bias=bias)
    x = torch.randn(*rows, width)
    rotation = torch.block_diag(*[hadamard(block)] * (width // block))
    (matrix, outputs), (numbers, scales) = (
        rounded(part @ rotation) for part in (linear.weight.detach(), x.flatten(0, -2))
    )
    exact = (numbers.long() @ matrix.T.long()).double() * scales.double() * outputs[:, 0].double()
    exact = exact + linear.bias.double() if bias else exact
    got = Int8Linear(linear)(x)
    # A sum in another order rounds a number that is nearly halfway to its other neighbour.
    assert (got.double().flatten(0, -2) - exact).abs().median() < 1e-6
    assert 0 < (got - linear(x)).abs().max() < 0.03


def test_large_numbers_in_a_row_leave_the_others_precise():
    torch.manual_seed(0)
    linear, x = Linear(576, 64, bias=False), torch.randn(20, 576)
    x[:, 100] = 60
    exact = linear(x)
    matrix, numbers = (numbers * scales for numbers, scales in (rounded(linear.weight.detach()), rounded(x)))
    error = (Int8Linear(linear)(x) - exact).norm()
    assert 0 < error < 0.5 * (numbers @ matrix.T - exact).norm()


def test_rows_are_rounded_once_for_layers_with_the_same_input(monkeypatch):
    torch.manual_seed(0)
    block = Block(GPTConfig(n_layer=1, d_model=64, n_head=1, context=8, vocab_size=8, gated=True, activation="silu"), 0)
    x, layers = torch.randn(2, 3, 64), {name: Int8Linear(getattr(block, name)) for name in ("gate", "up", "down")}
    separate = layers["down"](torch.nn.functional.silu(layers["gate"](x)) * layers["up"](x))
    for name, layer in layers.items():
        setattr(block, name, layer)
    counts = []
    monkeypatch.setattr(int8, "rounded", lambda x: counts.append(len(x)) or rounded(x))
    assert torch.equal(block.perceptron(x), separate)
    assert counts == [6, 6]  # for both, and for `down`


def test_a_number_that_is_not_finite_stays_so():
    linear = Int8Linear(Linear(4, 3, bias=False))
    for broken in (torch.inf, torch.nan):
        out = linear(torch.tensor([[1.0, broken, 0.0, 2.0], [1.0, 2.0, 0.0, 2.0]]))
        assert not out[0].isfinite().any() and out[1].isfinite().all()


@pytest.mark.parametrize("shape", SHAPES)
def test_scores_stay_near_and_do_not_depend_on_the_batch(shape):
    model, rng = make(shape), random.Random(4)
    shots = rng.choices(range(VOCABULARY), k=40)
    pairs = [(shots + rng.choices(range(VOCABULARY), k=20), rng.choices(range(VOCABULARY), k=8)) for _ in range(12)]
    scoring = engine(int8.packed(copy.deepcopy(model)))
    together = answers(scoring.loglikelihood([asking(*pair) for pair in pairs]), len(pairs))
    assert scoring.signature()["dtype"] == "int8"
    off = [abs(response.loglikelihood - naive(model, *pair)[0]) for response, pair in zip(together, pairs, strict=True)]
    assert 0 < max(off) < 1.0
    for pair, response in zip(pairs, together, strict=True):
        [alone] = answers(scoring.loglikelihood([asking(*pair)]), 1)
        assert alone.loglikelihood == pytest.approx(response.loglikelihood, abs=0.05)


def test_int8_is_an_option_for_evalkits_own_engine_only(monkeypatch):
    monkeypatch.setattr(precision, "_has_one_of", lambda flags: True)
    model = open_model("nano", dtype="int8").engine(None)
    assert model.signature()["dtype"] == "int8"
    [(_, response)] = model.loglikelihood([asking([5, 6, 7], [8, 9])])
    [(_, plain)] = open_model("nano", dtype="fp32").engine(None).loglikelihood([asking([5, 6, 7], [8, 9])])
    assert 0 < abs(response.loglikelihood - plain.loglikelihood) < 0.5
    with pytest.raises(UsageError, match="transformers runs this model"):
        open_model(f"hf:{resolve.path_of('nano')}", dtype="int8").engine(None)
