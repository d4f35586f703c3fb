"""Matrices laid out for oneDNN give the same network."""

from __future__ import annotations

import copy
import os
from dataclasses import replace

import pytest
import torch
from torch import nn

from evalkit.engine.gpt import GPTEngine
from evalkit.model import onednn
from evalkit.model.config import SIZES, GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request
from tests.model.shapes import shapes

CONFIG = {"n_layer": 2, "d_model": 32, "n_head": 2, "context": 48, "vocab_size": 280}

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")


def random_model(**more):
    model = GPT(GPTConfig(**CONFIG, **more))
    model.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)) * 0.15)
    return model.eval().requires_grad_(False)


@needs_onednn
@pytest.mark.parametrize("shape", shapes(band=4))
def test_logits_are_the_same(shape):
    model = random_model(**shapes(band=4)[shape])
    tokens = torch.randint(280, (3, 40), generator=torch.Generator().manual_seed(0))
    expected = model(tokens)
    assert onednn.suits(model)
    torch.testing.assert_close(onednn.packed(model)(tokens), expected, atol=1e-5, rtol=1e-5)
    assert len(model.blocks) == 0  # taken apart: nothing is held twice


@needs_onednn
def test_bf16_differs_by_its_rounding_alone():
    model = random_model().bfloat16()
    if not onednn.suits(model):
        pytest.skip("this processor does not multiply bf16 with oneDNN")
    tokens = torch.randint(280, (3, 40), generator=torch.Generator().manual_seed(0))
    expected = model(tokens)
    torch.testing.assert_close(onednn.packed(model)(tokens), expected, atol=0.1, rtol=0.05)


def test_other_dtypes_and_devices_do_not_suit():
    assert not onednn.suits(random_model().half())
    assert not onednn.suits(GPT(GPTConfig(**CONFIG)).to("meta"))


@needs_onednn
def test_an_engine_answers_the_same():
    tokenizer = Tokenizer.train(["the cat sat on a mat and the dog ran home " * 4], vocab_size=280)
    plain = random_model()
    asked = [
        Request(
            kind="generate_until", task="t", doc_id=str(i), context_ids=(5, 6, 7 + i), continuation_ids=(9, 8 + i),
            decoding=Decoding(until=(), max_tokens=8),
        )
        for i in range(5)
    ]  # fmt: skip
    both = []
    for model in (copy.deepcopy(plain), onednn.packed(plain)):
        engine = GPTEngine(model, tokenizer, name="x", content_hash="0")
        both.append((dict(engine.generate_until(asked)), dict(engine.loglikelihood(asked))))
    for i in range(5):
        assert both[0][0][i].text == both[1][0][i].text
        assert both[0][1][i].loglikelihood == pytest.approx(both[1][1][i].loglikelihood, abs=1e-4)


@needs_onednn
def test_few_numbers_of_rows_reach_the_products(monkeypatch):
    """A kernel is compiled for each."""
    rows = set()
    multiply = onednn._PackedLinear._product

    def recorded(layer, x, *options):
        rows.add(len(x))
        return multiply(layer, x, *options)

    monkeypatch.setattr(onednn._PackedLinear, "_product", recorded)
    tokenizer = Tokenizer.train(["the cat sat on a mat and the dog ran home " * 4], vocab_size=280)
    engine = GPTEngine(onednn.packed(random_model()), tokenizer, name="x", content_hash="0")
    for length in range(3, 40):
        request = Request(
            kind="generate_until", task="t", doc_id="0", context_ids=tuple(range(length)), continuation_ids=(1, 2),
            decoding=Decoding(until=(), max_tokens=2),
        )  # fmt: skip
        assert dict(engine.generate_until([request]))[0].tokens
        assert dict(engine.loglikelihood([request]))[0].tokens == 2
    assert rows == {64}


@needs_onednn
@pytest.mark.parametrize("name", ["117M", "nano", "mini"])
def test_rows_are_added_where_they_cost_less_than_a_kernel(name):
    with torch.device("meta"):
        model = GPT(replace(SIZES[name], context=8, vocab_size=8))
    network = onednn._PackedGPT(model, lambda linear: linear)
    totals = [rows + network.padding(rows) for rows in range(1, 20_000)]
    assert all(rows <= total for rows, total in enumerate(totals, 1))
    assert totals == sorted(totals)
    if name == "117M":
        assert totals == list(range(1, 20_000))
    else:
        assert all(total <= rows + max(63, rows // 4) for rows, total in enumerate(totals, 1))
        assert len(set(totals)) < (100 if name == "nano" else 1500)


@needs_onednn
@pytest.mark.parametrize("chosen", [None, "", "200"])
def test_kernels_that_are_kept_are_few_unless_the_user_says_otherwise(monkeypatch, chosen):
    for name in onednn._KEPT:
        monkeypatch.setenv(name, chosen or "")
        if chosen is None:
            monkeypatch.delenv(name)
    onednn.packed(random_model())
    assert {int(os.environ[name]) for name in onednn._KEPT} == {int(chosen or 64)}


@needs_onednn
def test_another_networks_layers_give_the_same_products():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Embedding(9, 8), nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8), nn.Linear(8, 9, bias=False)
    )
    network[4].weight = network[0].weight
    tokens = torch.tensor([[1, 2, 3], [4, 5, 6]])
    expected, parameters = network(tokens), list(network.parameters())
    onednn.replace_products(network)
    assert [type(part) is nn.Linear for part in network] == [False] * 5
    torch.testing.assert_close(network(tokens), expected, atol=1e-6, rtol=1e-6)
    assert all(a is b for a, b in zip(network.parameters(), parameters, strict=True))
    network.half()
    torch.testing.assert_close(network(tokens).float(), expected, atol=1e-2, rtol=1e-2)
