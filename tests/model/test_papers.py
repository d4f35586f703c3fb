"""GPT-1, GPT-2 and GPT-3 at their true contexts: transformers' numbers, and banded attention written out."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest
import torch
import transformers
from torch.nn import functional as F

from evalkit.errors import UsageError
from evalkit.model import weights
from evalkit.model.config import GPT1, GPT2, GPT3, GPTConfig
from evalkit.model.decoding import DecodingCache, Entry, read
from evalkit.model.families import read_config
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from tests.model.shapes import shapes

SMALL = {"n_layer": 4, "d_model": 64, "n_head": 4, "vocab_size": 300}
GPT1_SMALL = GPTConfig(**SMALL, context=512, norm="post")
GPT2_SMALL = GPTConfig(**SMALL, context=1024)
GPT3_SMALL = GPTConfig(**SMALL, context=96, band=20)


def random_model(config):
    """A GPT whose weights are far from their small initial values, so that differences show."""
    model, generator = GPT(config), torch.Generator().manual_seed(0)
    model.initialize(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model.eval().requires_grad_(False)


def random_tokens(config, rows=1):
    return torch.randint(0, config.vocab_size, (rows, config.context), generator=torch.Generator().manual_seed(2))


def decoded(model, tokens, first):
    """Logits behind a prompt of `first` tokens and behind each token that follows (one sequence)."""
    [ids] = tokens.tolist()
    cache = DecodingCache(model, shared=0, longest=first, slots=1, positions=len(ids))
    states = [read(model, cache, tokens=[], entries=[Entry(slot=0, start=0, tokens=ids[:first])])]
    states += [read(model, cache, tokens=[token], entries=[]) for token in ids[first:]]
    return model.unembed(torch.cat(states))


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["a small text for a small tokenizer, read twice " * 3], vocab_size=300)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        GPT1_SMALL,
        GPT2_SMALL,
        replace(GPT1["gpt1"], vocab_size=5000),
        replace(GPT2["117M"], vocab_size=5000),
    ],
    ids=["gpt1-small", "gpt2-small", "gpt1-12x768", "gpt2-12x768"],
)
def test_logits_are_those_of_transformers_at_full_context(config, tokenizer, tmp_path):
    """With pytest -s it prints the largest differences."""
    model, tokens = random_model(config), random_tokens(config)
    weights.save(model, tokenizer, tmp_path, record=None)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert theirs.config.model_type == ("openai-gpt" if config.norm == "post" else "gpt2")
    with torch.no_grad():
        expected = theirs(tokens).logits
    whole = float((model(tokens) - expected).abs().max())
    first = config.context - 3  # a long prompt, then single tokens
    pieces = float((decoded(model, tokens, first) - expected[0, first - 1 :]).abs().max())
    print(
        f"{theirs.config.model_type} {config.n_layer} x {config.d_model}, {config.context} positions, logits up to "
        f"{float(expected.abs().max()):.1f}: largest difference {whole:.1e}, with cache {pieces:.1e}"
    )
    assert max(whole, pieces) <= 1e-4


def test_we_read_transformers_own_gpt1(tokenizer, tmp_path):
    shape = transformers.OpenAIGPTConfig(
        n_layer=2, n_embd=32, n_head=2, n_positions=64, vocab_size=300, initializer_range=0.2
    )
    theirs = transformers.OpenAIGPTLMHeadModel(shape).eval()
    theirs.save_pretrained(tmp_path)
    tokenizer.save(tmp_path, context=64)
    ours, _ = weights.load(tmp_path)
    tokens = random_tokens(ours.config, rows=3)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("config", [GPT1_SMALL, GPT2_SMALL, GPT3_SMALL], ids=["gpt1", "gpt2", "gpt3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_round_trip_keeps_every_bit_and_the_shape(config, dtype, tokenizer, tmp_path):
    model = random_model(config).to(dtype)
    weights.save(model, tokenizer, tmp_path, record=None, dtype=dtype)
    again, _ = weights.load(tmp_path, dtype=dtype)
    assert again.config == config
    for (name, ours), (other, theirs) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert (name, ours.dtype) == (other, theirs.dtype)
        assert torch.equal(ours, theirs)


def test_transformers_refuses_a_gpt3_rather_than_attending_densely(tokenizer, tmp_path):
    weights.save(random_model(GPT3_SMALL), tokenizer, tmp_path, record=None)
    with pytest.raises((ValueError, KeyError), match="evalkit-gpt3"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    with pytest.raises(UsageError, match="banded attention"):
        weights.export(tmp_path, tmp_path / "out")


def naive_logits(model, tokens):
    """One sequence, one head, one query at a time, over the very positions that it may see."""
    config, length = model.config, len(tokens)
    x_TD = model.tokens.weight[tokens] + model.positions.weight[:length]
    for layer, block in enumerate(model.blocks):
        q, k, v = block.attention.qkv(block.norm_1(x_TD)).split(config.d_model, dim=1)
        rows = []
        for t in range(length):
            start = max(0, t - config.band + 1) if layer in (1, 3) else 0
            heads = []
            for h in range(config.n_head):
                part = slice(h * 16, (h + 1) * 16)
                weight_S = (k[start : t + 1, part] @ q[t, part] / math.sqrt(16)).softmax(0)
                heads.append(weight_S @ v[start : t + 1, part])
            rows.append(torch.cat(heads))
        x_TD = x_TD + block.attention.out(torch.stack(rows))
        x_TD = x_TD + block.down(F.gelu(block.up(block.norm_2(x_TD)), approximate="tanh"))
    return model.norm(x_TD) @ model.tokens.weight.T


@pytest.mark.parametrize("first", [1, 13, 95])
def test_gpt3_bands_every_second_layer(first):
    model, tokens = random_model(GPT3_SMALL), random_tokens(GPT3_SMALL)
    ours, naive = model(tokens), naive_logits(model, tokens[0])
    torch.testing.assert_close(ours[0], naive, atol=1e-4, rtol=0)
    torch.testing.assert_close(decoded(model, tokens, first), naive[first - 1 :], atol=1e-4, rtol=0)
    dense = GPT(replace(GPT3_SMALL, band=None)).eval()
    dense.load_state_dict(model.state_dict())
    with torch.no_grad():
        different = (dense(tokens) - ours).abs().amax(dim=2)[0]
    assert different[:20].max() < 1e-4 and different[20:].min() > 1e-3


# Millions of parameters: Brown et al. 2020, Table D.1; the released GPT-1 and GPT-2 (biases and norms included).
MILLIONS = {
    "gpt1": 116.5, "117M": 124.4, "345M": 354.8, "762M": 774.0, "1542M": 1557.6,
    "gpt3-125M": 125, "gpt3-350M": 356, "gpt3-760M": 760, "gpt3-1.3B": 1320, "gpt3-2.7B": 2650, "gpt3-6.7B": 6660,
    "gpt3-13B": 12850, "gpt3-175B": 174600,
}  # fmt: skip


@pytest.mark.parametrize("name", MILLIONS)
def test_named_sizes_have_the_parameters_of_the_papers(name):
    shape = {**GPT1, **GPT2, **GPT3}[name]
    assert shape.parameters / 1e6 == pytest.approx(MILLIONS[name], rel=4e-3)


@pytest.mark.parametrize("shape", shapes(band=4))
def test_parameters_are_counted_as_they_are(shape):
    config = GPTConfig(**SMALL, context=8, **shapes(band=4)[shape])
    model = weights.empty(config)
    assert config.parameters == sum(p.numel() for p in model.parameters())
    blocks = [p for part in (model.blocks, model.norm) for p in part.parameters()]
    assert config.block_parameters == sum(p.numel() for p in blocks)
    assert GPTConfig.of(json.loads(json.dumps(asdict(config)))) == config


def test_flops_count_what_a_band_leaves_out():
    banded = GPT3["gpt3-125M"]
    dense = replace(banded, band=None)
    pairs = sum(t + 1 - min(t + 1, 256) for t in range(2048))  # of a query and a key, in each of six banded layers
    saved = 6 * 12 * banded.d_model * pairs / 2048  # 12 FLOPs per unit of width and pair, backward included
    assert dense.flops_per_token - banded.flops_per_token == pytest.approx(saved, rel=0.002)
    for band in (2048, 5000):
        assert replace(banded, band=band).flops_per_token == dense.flops_per_token


def test_impossible_shapes_are_named():
    for changes, message in (
        ({"band": 0}, "band 0: must be at least 1"),
        ({"band": 4, "norm": "post"}, "needs norm 'pre'"),
        ({"norm": "rms"}, "norm must be one of 'pre', 'post', 'output', 'both', not 'rms'"),
    ):
        with pytest.raises(UsageError, match=message):
            GPTConfig(**SMALL, context=8, **changes)


def test_config_json_is_read_back(tokenizer, tmp_path):
    weights.save(random_model(GPT3_SMALL), tokenizer, tmp_path, record=None)
    raw = json.loads((tmp_path / "config.json").read_text())
    assert (raw["model_type"], raw["band"]) == ("evalkit-gpt3", 20)
    assert read_config(tmp_path) == GPT3_SMALL
