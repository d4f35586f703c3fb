"""Matrices laid out for oneDNN give the same network."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from evalkit.engine.gpt import GPTEngine
from evalkit.model import onednn
from evalkit.model.config import GPTConfig
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
