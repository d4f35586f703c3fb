"""config.json of every family: what our network cannot be goes to transformers, broken ones are refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import transformers

from evalkit.cli import main
from evalkit.engine.gpt import GPTEngine
from evalkit.engine.open import load_engine
from evalkit.errors import CheckpointError, UsageError
from evalkit.model import families, weights
from evalkit.model.config import GPTConfig, Llama3Scaling, Rotary
from evalkit.model.gpt import GPT
from evalkit.model.settings import NotNativeError
from evalkit.tokenizer import Tokenizer

SMALL = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48,
         "max_position_embeddings": 32, "vocab_size": 300}  # fmt: skip
OPT = {**{key: value for key, value in SMALL.items() if key != "intermediate_size"}, "ffn_dim": 48}
NEO = {"num_layers": 2, "hidden_size": 32, "num_heads": 2, "max_position_embeddings": 32, "vocab_size": 300}
GPT2 = {"n_layer": 2, "n_embd": 32, "n_head": 2, "n_positions": 32, "vocab_size": 300}
LEAST = {
    "gpt2": GPT2, "openai-gpt": GPT2, "evalkit-gpt3": {**GPT2, "band": 8}, "opt": OPT,
    "gpt_neo": {**NEO, "attention_types": [[["global", "local"], 1]]},
    "gpt_neox": SMALL,
    **{kind: {**SMALL, "num_key_value_heads": 2} for kind in ("llama", "mistral", "qwen2", "qwen3", "olmo2")},
}  # fmt: skip


def read(folder, raw):
    (folder / "config.json").write_text(json.dumps(raw))
    return families.read_config(folder)


@pytest.mark.parametrize("kind", families.FAMILIES)
def test_settings_that_a_file_leaves_out_are_those_of_transformers(kind, tmp_path):
    least = {**LEAST[kind], "model_type": kind}
    config = read(tmp_path, least)
    if kind != "evalkit-gpt3":
        full = transformers.AutoConfig.for_model(**least).to_dict()
        assert read(tmp_path, {key: value for key, value in full.items() if key != "rope_theta"}) == config
    assert read(tmp_path, families.FAMILIES[kind].settings(config)) == config


def test_rotary_positions_are_read_in_both_places(tmp_path):
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    llama3 |= {"original_max_position_embeddings": 16}
    expected = Rotary(base=5e5, scaling=Llama3Scaling(factor=8.0, low=1.0, high=4.0, context=16))
    base = {**LEAST["llama"], "model_type": "llama"}
    for how in ({"rope_theta": 5e5, "rope_scaling": llama3}, {"rope_parameters": {"rope_theta": 5e5, **llama3}}):
        assert read(tmp_path, {**base, **how}).rotary == expected
    linear = {"type": "linear", "factor": 2}
    assert read(tmp_path, {**base, "rope_scaling": linear, "rope_theta": 100}).rotary == Rotary(base=100, scaling=2)
    neox = {**LEAST["gpt_neox"], "model_type": "gpt_neox", "rotary_pct": 0.5, "rotary_emb_base": 300}
    assert read(tmp_path, neox).rotary == Rotary(base=300, share=0.5)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
FOREIGN = {
    "another architecture": ({"model_type": "mixtral"}, 'model_type "mixtral": our GPT has .*qwen3'),
    "quantised": ({"quantization_config": {"bits": 4}}, 'quantization_config .*"bits": 4.*not read'),
    "another activation": ({"hidden_act": "mish"}, 'hidden_act "mish": our GPT has gelu_new'),
    "another rope": ({"rope_scaling": YARN}, 'rope_scaling.rope_type "yarn": our GPT has default, linear, llama3'),
    "another rope, new": ({"rope_parameters": YARN}, 'rope_parameters.rope_type "yarn"'),
    "part of the heads": ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
    "other layers": (
        {"model_type": "qwen3", "use_sliding_window": True, "layer_types": ["full_attention", "linear_attention"]},
        "layer_types .*linear_attention",
    ),
    "narrow embeddings": ({**OPT, "model_type": "opt", "word_embed_proj_dim": 16}, "word_embed_proj_dim 16"),
    "cross attention": ({**GPT2, "model_type": "gpt2", "add_cross_attention": True}, "add_cross_attention true"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_our_network_cannot_be_is_named(name, tmp_path):
    changes, message = FOREIGN[name]
    with pytest.raises(NotNativeError, match=message):
        read(tmp_path, {**LEAST["llama"], "model_type": "llama", **changes})
    assert families.foreign(tmp_path)


BROKEN = {
    "a text for a number": ({"hidden_size": "32"}, 'hidden_size is "32"; it must be a whole number'),
    "true for a number": ({"hidden_size": True}, "hidden_size is true"),
    "a fraction": ({"hidden_size": 32.5}, "hidden_size is 32.5"),
    "a list": ({"rope_scaling": [1]}, r"rope_scaling is \[1\]; it must be an object"),
    "a huge number": ({"vocab_size": 10**400}, "vocab_size must be from 1 to"),
    "a huge fraction": ({"rms_norm_eps": 10**400}, "rms_norm_eps is a very large number; it must be a number"),
    "not a number": ({"rms_norm_eps": float("nan")}, "rms_norm_eps is NaN"),
    "a number for a flag": ({"attention_bias": 1}, "attention_bias is 1; it must be true or false"),
    "negative": ({"head_dim": -4}, "d_head must be from 1"),
    "uneven keys": ({"num_key_value_heads": 3}, "n_head 2 is not a multiple of n_kv_head 3"),
    "no scaling": ({"rope_scaling": {"rope_type": "linear"}}, "rope_scaling.factor is missing"),
    "a table of tables": ({"rope_scaling": {"rope_type": {"a": 1}}}, "rope_scaling.rope_type is"),
    "kinds of too few layers": (
        {**NEO, "model_type": "gpt_neo", "attention_types": [[["global"], 1]]},
        "attention_types .* here for 2 layers",
    ),
    "kinds of too many layers": (
        {**NEO, "model_type": "gpt_neo", "attention_types": [[["global"], 10**12]]}, "attention_types .* for 2 layers"
    ),
    "kinds that are none": ({**NEO, "model_type": "gpt_neo", "attention_types": {"a": 1}}, "attention_types .*a list"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_settings_are_named_and_go_nowhere_else(name, tmp_path):
    changes, message = BROKEN[name]
    with pytest.raises(CheckpointError, match=message) as caught:
        read(tmp_path, {**LEAST["llama"], "model_type": "llama", **changes})
    assert str(tmp_path / "config.json") in str(caught.value) and not isinstance(caught.value, NotNativeError)
    assert not families.foreign(tmp_path)


@pytest.fixture
def foreign(tmp_path):
    torch.manual_seed(0)
    config = transformers.BloomConfig(vocab_size=300, hidden_size=32, n_head=2, n_layer=2, seq_length=64)
    transformers.BloomForCausalLM(config).save_pretrained(tmp_path / "bloom")
    Tokenizer.train(["words and words"], vocab_size=270).save(tmp_path / "bloom", context=64)
    return tmp_path / "bloom"


def test_a_folder_that_is_not_native_goes_to_transformers_and_says_so(foreign, tmp_path, capsys):
    command = ["run", "--tasks", "world_lm", "--limit", "2", "--no-cache", "--out", str(tmp_path / "run")]
    assert main([*command, "--model", str(foreign)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "transformers runs it" in line]
    assert len(said) == 1 and 'model_type "bloom"' in said[0]
    assert json.loads((tmp_path / "run" / "results.json").read_text())


def stored(shape, folder):
    tokenizer = Tokenizer.train(["words and words"], vocab_size=270)
    weights.save(weights.empty(shape).to_empty(device="cpu"), tokenizer, folder, record=None)
    return str(folder)


def test_models_says_what_a_folder_is_and_what_would_run_it(foreign, tmp_path, capsys):
    assert main(["models", str(foreign)]) == 0
    assert "transformers, because of" in capsys.readouterr().out
    shape = GPTConfig(**SHAPE, **ROTARY, n_kv_head=1, qk_norm="head", band=8, untied=True)
    assert main(["models", stored(shape, tmp_path / "native")]) == 0
    words = ["qwen3", "2 heads of 16 (1 of keys and values)", "rotary positions (base 500)", "biases: none"]
    words += ["a window of 8 tokens in 1 of the layers", "an output matrix of its own", f"{shape.parameters:,}"]
    printed = capsys.readouterr().out
    assert [word for word in words if word not in printed] == []
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert [kind for kind in (*families.FAMILIES, "any other") if kind not in printed] == []


def test_hf_still_forces_transformers(tmp_path):
    folder = stored(GPTConfig(**SHAPE), tmp_path)
    assert isinstance(load_engine(folder), GPTEngine)
    assert not isinstance(load_engine(f"hf:{folder}"), GPTEngine)


ROTARY = {"rotary": Rotary(base=500.0), "norm_kind": "rms", "biases": (), "activation": "silu", "gated": True}
SHAPE = {"n_layer": 2, "d_model": 32, "n_head": 2, "context": 32, "vocab_size": 300}


@pytest.mark.parametrize(
    ("changes", "family"),
    [
        ({}, "gpt2"),
        ({"band": 8}, "evalkit-gpt3"),
        ({"norm": "post"}, "openai-gpt"),
        ({"activation": "relu2", "d_ff": 80}, "gpt2"),
        (ROTARY, "llama"),
        ({**ROTARY, "n_head": 3, "d_head": 8}, "mistral"),  # transformers' llama refuses it
        ({**ROTARY, "activation": "relu2", "n_kv_head": 1, "d_ff": 80}, "llama"),
        ({**ROTARY, "band": 8, "banded": (0, 1)}, "mistral"),
        ({**ROTARY, "biases": ("qkv",)}, "qwen2"),
        ({**ROTARY, "qk_norm": "head", "untied": True}, "qwen3"),
        ({**ROTARY, "qk_norm": "head", "band": 8}, "qwen3"),
        ({**ROTARY, "qk_norm": "all", "norm": "output"}, "olmo2"),
        ({"rotary": Rotary(share=0.25), "parallel": True}, "gpt_neox"),
        ({"biases": ("out", "mlp", "norm"), "attention_scale": 1.0, "band": 8, "banded": (0,)}, "gpt_neo"),
    ],
)
def test_a_shape_is_stored_in_a_family_in_which_transformers_computes_the_same(changes, family, tmp_path):
    shape = GPTConfig(**{**SHAPE, **changes})
    assert families.family_for(shape).model_type == family
    torch.manual_seed(0)
    model = GPT(shape).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(torch.randn(parameter.shape) * 0.2)
    weights.save(model, Tokenizer.train(["words and words"], vocab_size=270), tmp_path, record=None)
    tokens = torch.randint(0, 300, (2, 32))
    assert torch.equal(weights.load(tmp_path)[0](tokens), model(tokens))
    if family != "evalkit-gpt3":
        theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval().requires_grad_(False)
        torch.testing.assert_close(theirs(tokens).logits, model(tokens), atol=1e-4, rtol=0)


def test_a_family_of_ones_own_is_read_like_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(families.FAMILIES, "_added", {})
    families.FAMILIES.add("mine", replace(families.FAMILIES["llama"], model_type="mine"))
    assert read(tmp_path, {**LEAST["llama"], "model_type": "mine"}).rotary == Rotary()
    with pytest.raises(UsageError, match="that name is evalkit's own"):
        families.FAMILIES.add("llama", families.FAMILIES["mine"])


def test_a_shape_that_no_family_holds_is_refused():
    shape = GPTConfig(**SHAPE, **{**ROTARY, "gated": False, "qk_norm": "head"})
    with pytest.raises(UsageError, match="no layout of transformers holds this GPT; the nearest, qwen3, has no gated"):
        families.family_for(shape)
