"""Our GPT is transformers' GPT-2: same logits from the same folder, written by either."""

from __future__ import annotations

import pytest
import torch
import transformers

from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer

CONFIG = GPTConfig(n_layer=3, d_model=48, n_head=4, context=64, vocab_size=300)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["a small text for a small tokenizer, read twice " * 3], vocab_size=300)


@pytest.fixture(scope="module")
def model():
    """A GPT whose weights are far from their small initial values, so that differences show."""
    model = GPT(CONFIG)
    model.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.05)
    return model.eval()


@pytest.fixture(scope="module")
def folder(model, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    weights.save(model, tokenizer, folder, record={"note": "a test"})
    return folder


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(0, CONFIG.vocab_size, (3, CONFIG.context), generator=torch.Generator().manual_seed(2))


def test_transformers_reads_our_folder_and_gives_the_same_logits(model, folder, tokens):
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


def test_we_read_their_folder_and_give_the_same_logits(tokenizer, tokens, tmp_path):
    shape = transformers.GPT2Config(
        n_layer=2,
        n_embd=32,
        n_head=2,
        n_positions=64,
        vocab_size=300,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=0,
    )
    theirs = transformers.GPT2LMHeadModel(shape).eval()
    theirs.save_pretrained(tmp_path)
    tokenizer.save(tmp_path, context=64)
    ours, _ = weights.load(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


def test_the_tokenizer_is_the_same_in_transformers(folder, tokenizer):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for text in ("a small text", " twice\n\nü — 漢字 🙂", "  leading and trailing  "):
        assert theirs(text)["input_ids"] == tokenizer.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_round_trip_keeps_every_bit(model, folder):
    again, _ = weights.load(folder)
    for (name, ours), (other, theirs) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert name == other
        assert torch.equal(ours, theirs)


def test_a_copy_in_half_precision_is_half_as_large_and_nearly_the_same(model, folder, tokens, tmp_path):
    weights.copy(folder, tmp_path / "half")
    assert (tmp_path / "half" / "model.safetensors").stat().st_size < 0.55 * (
        folder / "model.safetensors"
    ).stat().st_size
    half, _ = weights.load(tmp_path / "half")
    with torch.no_grad():
        torch.testing.assert_close(half(tokens), model(tokens), atol=2e-2, rtol=0)


def test_parameters_are_counted_as_they_are(model):
    assert CONFIG.parameters == sum(p.numel() for p in model.parameters())
    embeddings = model.tokens.weight.numel() + model.positions.weight.numel()
    assert CONFIG.block_parameters == CONFIG.parameters - embeddings


def test_initial_weights_follow_gpt2():
    shape = GPTConfig(n_layer=8, d_model=128, n_head=4, context=64, vocab_size=1000)
    model = GPT(shape)
    model.initialize(torch.Generator().manual_seed(0))
    spread = {name: float(p.detach().std()) for name, p in model.named_parameters() if p.ndim == 2}
    assert spread["tokens.weight"] == pytest.approx(0.02, rel=0.05)
    assert spread["blocks.0.up.weight"] == pytest.approx(0.02, rel=0.05)
    assert spread["blocks.0.down.weight"] == pytest.approx(0.02 / 4, rel=0.05)  # 16 residual layers
    assert spread["blocks.7.attention.out.weight"] == pytest.approx(0.02 / 4, rel=0.05)
