"""Each family of models, made by transformers' own classes: our network, read from the folder, gives its numbers.

A new family is one file in evalkit/model/families/ and a line in MODELS.
"""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path

import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file, save_model

from evalkit.engine import hf
from evalkit.engine.gpt import GPTEngine
from evalkit.engine.open import load_engine
from evalkit.errors import CheckpointError
from evalkit.model import families, tensors, weights
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request
from tests.engine.responses import same_texts

CONTEXT, VOCABULARY = 48, 300
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 16}
GPT2 = {"n_layer": 3, "n_embd": 48, "n_head": 3, "n_positions": CONTEXT, "vocab_size": VOCABULARY}
WIDE = {"num_hidden_layers": 3, "hidden_size": 48, "max_position_embeddings": CONTEXT, "vocab_size": VOCABULARY}
ROTARY = {**WIDE, "num_attention_heads": 6, "num_key_value_heads": 2, "intermediate_size": 56}
WINDOWS = {"use_sliding_window": True, "sliding_window": 7}
# A name of the kind FAMILY or FAMILY-VARIANT -> settings of transformers' class.
MODELS = {
    "gpt2": GPT2,
    "gpt2-exact-untied": {**GPT2, "activation_function": "gelu", "n_inner": 80, "tie_word_embeddings": False},
    "gpt2-unscaled": {**GPT2, "activation_function": "relu", "scale_attn_weights": False},
    "gpt2-by-layer": {**GPT2, "activation_function": "silu", "scale_attn_by_inverse_layer_idx": True},
    "openai-gpt": GPT2,
    "openai-gpt-relu": {**GPT2, "afn": "relu"},
    "gpt_neo": {"num_layers": 3, "num_heads": 3, "hidden_size": 48, "max_position_embeddings": CONTEXT,
                "vocab_size": VOCABULARY, "attention_types": [[["global", "local"], 1], [["local"], 1]],
                "window_size": 7},
    "opt": {**WIDE, "num_attention_heads": 3, "ffn_dim": 80},
    "opt-post-unbiased": {**WIDE, "num_attention_heads": 3, "ffn_dim": 80, "do_layer_norm_before": False,
                          "enable_bias": False, "activation_function": "gelu"},
    "gpt_neox": {**WIDE, "num_attention_heads": 3, "intermediate_size": 80, "rotary_pct": 0.25},
    "gpt_neox-serial": {**WIDE, "num_attention_heads": 2, "intermediate_size": 80, "use_parallel_residual": False,
                        "attention_bias": False, "rotary_pct": 0.5, "rotary_emb_base": 300,
                        "tie_word_embeddings": True},
    "llama": ROTARY,
    "llama-tied": {**ROTARY, "num_attention_heads": 3, "num_key_value_heads": 1, "tie_word_embeddings": True},
    "llama-biases": {**ROTARY, "attention_bias": True, "mlp_bias": True, "head_dim": 12, "rope_parameters": LLAMA3},
    "llama-linear": {**ROTARY, "rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0}},
    "mistral": {**ROTARY, "sliding_window": 7, "head_dim": 6},
    "mistral-dense": {**ROTARY, "sliding_window": None},
    "qwen2": {**ROTARY, "tie_word_embeddings": True},
    "qwen2-windows": {**ROTARY, **WINDOWS, "max_window_layers": 1},
    "qwen3": {**ROTARY, "head_dim": 12, "tie_word_embeddings": True},
    "qwen3-windows": {**ROTARY, **WINDOWS, "head_dim": 10, "attention_bias": True,
                      "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "olmo2": {**ROTARY, "num_attention_heads": 3, "num_key_value_heads": 3},
    "olmo2-grouped": {**ROTARY, "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}},
}  # fmt: skip


@lru_cache(maxsize=1)
def small_tokenizer():
    return Tokenizer.train(["the cat sat on a mat and the dog ran home " * 4], vocab_size=280)


def family_of(name):
    return max((kind for kind in families.FAMILIES if name.startswith(kind)), key=len)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return a function that has transformers save a small random model, once, and gives its folder."""
    made = {}

    def folder_of(name) -> Path:
        if name not in made:
            made[name] = folder = tmp_path_factory.mktemp(name)
            tokenizer = small_tokenizer()
            kind = type(transformers.AutoConfig.for_model(family_of(name)))
            ids = dict.fromkeys(("bos_token_id", "eos_token_id"), tokenizer.end_of_text)
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(kind(**MODELS[name], **ids, pad_token_id=1))
            with torch.no_grad():  # far from the small initial values, so that differences show
                for parameter in model.parameters():
                    parameter.add_(torch.randn(parameter.shape) * 0.2)
            model.save_pretrained(folder)
            tokenizer.save(folder, context=CONTEXT)
        return made[name]

    return folder_of


def tokens(rows=3):
    return torch.randint(2, VOCABULARY, (rows, CONTEXT), generator=torch.Generator().manual_seed(2))


def theirs(folder):
    return (
        transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
        .eval()
        .requires_grad_(False)
    )


def same_logits(ours, theirs, *, name=""):
    """With a name and pytest -s, print the largest difference."""
    found, expected = ours(tokens()), theirs(tokens()).logits
    if name:
        largest, most = float((found - expected).abs().max()), float(expected.abs().max())
        print(f"{name}: logits up to {most:.1f}, largest difference {largest:.1e}")
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_transformers_at_every_position(name, folders):
    model, _ = weights.load(folders(name))
    reference = theirs(folders(name))
    assert float(reference(tokens()).logits.std()) > 0.5  # not all alike
    same_logits(model, reference, name=name)
    assert model.config.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("path", sorted(Path(families.__file__).parent.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_family_is_a_short_file(path):
    assert len(path.read_text().splitlines()) < 80


def test_every_family_of_transformers_is_tested():
    assert {family_of(name) for name in MODELS} == {*families.FAMILIES} - {"evalkit-gpt3"}


@pytest.mark.parametrize("name", MODELS)
def test_stored_again_it_is_the_same_for_transformers_and_for_us(name, folders, tmp_path):
    model, tokenizer = weights.load(folders(name))
    weights.export(folders(name), tmp_path / "same")
    reference = theirs(tmp_path / "same")
    assert reference.config.model_type == family_of(name)
    same_logits(model, reference)
    again, _ = weights.load(tmp_path / "same")
    assert again.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    stored = load_file(tmp_path / "same" / "model.safetensors")
    for key, tensor in load_file(folders(name) / "model.safetensors").items():
        unread = 2 if "embed_positions" in key else 0
        assert torch.equal(stored[key][unread:], tensor[unread:]), key
    weights.save(model, tokenizer, tmp_path / "any", record=None)  # in the first family that holds the shape
    same_logits(model, theirs(tmp_path / "any"))


def pickle_shards(folder):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"pytorch_model-{i % 3}.bin" for i, name in enumerate(state)}
    for file in set(places.values()):
        torch.save({name: state[name] for name in state if places[name] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))


def without_prefix(folder):
    """As the base model alone is stored."""
    state, prefix = load_file(folder / "model.safetensors"), families.read(folder)[0].prefix
    save_file({name.removeprefix(prefix): tensor for name, tensor in state.items()}, folder / "model.safetensors")


def by_save_model(folder):
    """As safetensors' save_model stores a tied matrix: once, under either of its names; the other is noted."""
    model = theirs(folder)
    (folder / "model.safetensors").unlink()
    save_model(model, str(folder / "model.safetensors"))
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert {*file.metadata()} - {"format"}


STORED = {"shards of pickles": pickle_shards, "without the prefix": without_prefix, "save_model": by_save_model}


@pytest.mark.parametrize("name", ["gpt2", "gpt_neo", "opt", "gpt_neox-serial", "llama-tied", "qwen3"])
@pytest.mark.parametrize("how", STORED)
def test_other_ways_of_storing_give_the_same_bits(name, how, folders, tmp_path):
    folder = shutil.copytree(folders(name), tmp_path / "copy")
    STORED[how](folder)
    expected, found = weights.load(folders(name))[0], weights.load(folder)[0]
    assert expected.config == found.config
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), found.parameters(), strict=True))


def test_a_name_that_save_model_noted_stands_for_its_tensor(folders, tmp_path):
    folder = shutil.copytree(folders("llama-tied"), tmp_path / "copy")
    by_save_model(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": False}))
    model, _ = weights.load(folder)
    assert model.config.untied and torch.equal(model.output.weight, model.tokens.weight)
    same_logits(model, theirs(folders("llama-tied")))


def edit(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


ATTENTION = "model.layers.1.self_attn"
WRONG = {
    "missing": (lambda s: s.pop(f"{ATTENTION}.k_proj.weight"), f"tensor '{ATTENTION}.k_proj.weight' is missing"),
    "unexpected": (lambda s: s.update({f"{ATTENTION}.k_proj.bias": torch.ones(16)}), "unexpected tensor .*k_proj.bias"),
    "of a layer too many": (lambda s: s.update({"model.layers.3.input_layernorm.weight": torch.ones(48)}), "layers.3"),
    "of ungrouped keys": (
        lambda s: s.update({f"{ATTENTION}.v_proj.weight": torch.ones(48, 48)}),
        r"v_proj.weight' has shape \(48, 48\), config.json requires \(16, 48\)",
    ),
    "under both names": (lambda s: s.update({"norm.weight": torch.ones(48)}), "unexpected tensor 'norm.weight'"),
    "no matrix of its own": (lambda s: s.pop("lm_head.weight"), "tensor 'lm_head.weight' is missing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_tensor_is_named_before_any_is_read(name, folders, tmp_path, monkeypatch):
    folder = shutil.copytree(folders("llama"), tmp_path / "copy")
    edit(folder, WRONG[name][0])
    monkeypatch.setattr(tensors.Folder, "read", lambda *_: pytest.fail("a tensor was read"))
    with pytest.raises(CheckpointError, match=WRONG[name][1]) as caught:
        weights.load(folder)
    assert str(folder / "model.safetensors") in str(caught.value)


def answers(iterator):
    return [response for _, response in sorted(iterator, key=lambda pair: pair[0])]


def requests(kind, **changes):
    decoding = Decoding(**{"until": (), "max_tokens": 9} | changes.pop("decoding", {}))
    rows = tokens(rows=6).tolist()
    shared = rows[0][:20]
    asked = [(shared + row[:n], row[n : n + 5]) for row, n in zip(rows, (0, 3, 3, 9, 1, 20), strict=True)]
    asked += [(row[:n], row[n:]) for row, n in zip(rows, (1, 4, 11, 17, 23, 40), strict=True)]
    if kind == "generate_until":
        asked = [(context[:30], []) for context, _ in asked]
    if kind == "loglikelihood_rolling":
        asked = [([], context + continuation + context) for context, continuation in asked]
    return [
        Request(
            kind=kind, task="t", doc_id=str(i), context_ids=tuple(a), continuation_ids=tuple(b), decoding=decoding
        )
        for i, (a, b) in enumerate(asked)
    ]  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_transformers_alone(name, folders):
    """Trees of shared prefixes, windows of long documents: each request as if it were the only one, by transformers."""
    ours, reference = load_engine(str(folders(name)), dtype="fp32"), hf.load(folders(name), name="theirs")
    assert isinstance(ours, GPTEngine)
    for kind in ("loglikelihood", "loglikelihood_rolling"):
        found = dict(getattr(ours, kind)(requests(kind)))
        for i, request in enumerate(requests(kind)):
            [(_, expected)] = getattr(reference, kind)([request])
            assert found[i].loglikelihood == pytest.approx(expected.loglikelihood, abs=1e-3)
            assert found[i].is_greedy == expected.is_greedy


@pytest.mark.parametrize("name", sorted({*families.FAMILIES} - {"evalkit-gpt3"}))
def test_bf16_scores_are_nearly_those_of_fp32(name, folders):
    exact, short = (load_engine(str(folders(name)), dtype=dtype) for dtype in ("fp32", "bf16"))
    asked = requests("loglikelihood")
    for one, other in zip(answers(exact.loglikelihood(asked)), answers(short.loglikelihood(asked)), strict=True):
        assert 0 < abs(one.loglikelihood - other.loglikelihood) < 0.02 * abs(one.loglikelihood)
    texts = answers(short.generate_until(requests("generate_until")))
    assert any(text.text for text in texts) and not any(text.error for text in texts)


@pytest.mark.parametrize("name", MODELS)
def test_generated_texts_are_those_of_transformers(name, folders):
    ours, reference = load_engine(str(folders(name)), dtype="fp32"), hf.load(folders(name), name="theirs")
    for decoding in ({}, {"temperature": 0.9, "top_k": 20, "seed": 3}):
        asked = requests("generate_until", decoding=decoding)
        same_texts(answers(ours.generate_until(asked)), answers(reference.generate_until(asked)))
