"""The config.json of released models, as their authors wrote it, is read with the parameters that they published."""

from __future__ import annotations

import json

import pytest

from evalkit.model import families

LLAMA = {"model_type": "llama", "hidden_act": "silu", "attention_bias": False, "rms_norm_eps": 1e-05,
         "tie_word_embeddings": False, "rope_scaling": None, "rope_theta": 10000.0}  # fmt: skip
LLAMA3 = {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192}
QWEN = {"hidden_act": "silu", "max_window_layers": 28, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "use_sliding_window": False, "tie_word_embeddings": True, "attention_dropout": 0.0}  # fmt: skip
MISTRAL = {"model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
           "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32,
           "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "tie_word_embeddings": False}  # fmt: skip


def shape(layers, width, inner, heads, keys, context, vocabulary):
    return {
        "num_hidden_layers": layers, "hidden_size": width, "intermediate_size": inner, "num_attention_heads": heads,
        "max_position_embeddings": context, "vocab_size": vocabulary,
    } | ({} if keys is None else {"num_key_value_heads": keys})  # fmt: skip


# Name -> the settings, and the parameters that its page or transformers' model counts.
RELEASED = {
    "distilgpt2": ({"model_type": "gpt2", "activation_function": "gelu_new", "n_ctx": 1024, "n_embd": 768, "n_head": 12,
                    "n_layer": 6, "n_positions": 1024, "vocab_size": 50257, "layer_norm_epsilon": 1e-05}, 81_912_576),
    "Cerebras-GPT-111M": ({"model_type": "gpt2", "activation_function": "gelu", "n_embd": 768, "n_head": 12,
                           "n_inner": 3072, "n_layer": 10, "n_positions": 2048, "scale_attn_weights": True,
                           "scale_attn_by_inverse_layer_idx": False, "vocab_size": 50257}, 111_050_496),
    "gpt-neo-125m": ({"model_type": "gpt_neo", "activation_function": "gelu_new", "hidden_size": 768, "num_heads": 12,
                      "attention_layers": ["global", "local"] * 6, "attention_types": [[["global", "local"], 6]],
                      "intermediate_size": None, "layer_norm_epsilon": 1e-05, "max_position_embeddings": 2048,
                      "num_layers": 12, "vocab_size": 50257, "window_size": 256}, 125_198_592),
    "pythia-160m": ({"model_type": "gpt_neox", **shape(12, 768, 3072, 12, None, 2048, 50304), "hidden_act": "gelu",
                     "layer_norm_eps": 1e-05, "rotary_emb_base": 10000, "rotary_pct": 0.25,
                     "tie_word_embeddings": False, "use_parallel_residual": True}, 162_322_944),
    "opt-125m": ({"model_type": "opt", "activation_function": "relu", "do_layer_norm_before": True, "ffn_dim": 3072,
                  "hidden_size": 768, "max_position_embeddings": 2048, "num_attention_heads": 12,
                  "_remove_final_layer_norm": False, "num_hidden_layers": 12, "vocab_size": 50272,
                  "word_embed_proj_dim": 768}, 125_239_296 - 2 * 768),  # without the rows that are never read
    "Llama-2-7b-hf": (LLAMA | shape(32, 4096, 11008, 32, 32, 4096, 32000), 6_738_415_616),
    "TinyLlama-1.1B": (LLAMA | shape(22, 2048, 5632, 32, 4, 2048, 32000), 1_100_048_384),
    "Llama-3.2-1B": (LLAMA | shape(16, 2048, 8192, 32, 8, 131072, 128256)
                     | {"head_dim": 64, "tie_word_embeddings": True, "rope_theta": 500000.0, "mlp_bias": False,
                        "rope_scaling": {"rope_type": "llama3", **LLAMA3}}, 1_235_814_400),
    "SmolLM2-135M": (LLAMA | shape(30, 576, 1536, 9, 3, 8192, 49152)
                     | {"tie_word_embeddings": True, "rope_theta": 100000, "rope_interleaved": False}, 134_515_008),
    "Mistral-7B-v0.1": (MISTRAL | {"sliding_window": 4096, "rope_theta": 10000.0, "vocab_size": 32000}, 7_241_732_096),
    "Mistral-7B-v0.3": (MISTRAL | {"sliding_window": None, "rope_theta": 1e6, "vocab_size": 32768}, 7_248_023_552),
    "Qwen2.5-0.5B": (QWEN | shape(24, 896, 4864, 14, 2, 32768, 151936)
                     | {"model_type": "qwen2", "sliding_window": 32768, "max_window_layers": 24}, 494_032_768),
    "Qwen3-0.6B": (QWEN | shape(28, 1024, 3072, 16, 8, 40960, 151936)
                   | {"model_type": "qwen3", "attention_bias": False, "head_dim": 128, "sliding_window": None},
                   596_049_920),
    "OLMo-2-0425-1B": ({"model_type": "olmo2", **shape(16, 2048, 8192, 16, 16, 4096, 100352), "attention_bias": False,
                        "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 500000,
                        "tie_word_embeddings": False}, 1_484_916_736),
}  # fmt: skip


@pytest.mark.parametrize("name", RELEASED)
def test_released_models_are_native_with_their_parameters(name, tmp_path):
    settings, parameters = RELEASED[name]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    family, config = families.read(tmp_path)
    assert (family.model_type, config.parameters) == (settings["model_type"], parameters)


# Of the same makers, but with what our network does not have.
FOREIGN = {
    "opt-350m": ({"model_type": "opt", "activation_function": "relu", "do_layer_norm_before": False, "ffn_dim": 4096,
                  "hidden_size": 1024, "max_position_embeddings": 2048, "num_attention_heads": 16,
                  "num_hidden_layers": 24, "vocab_size": 50272, "word_embed_proj_dim": 512}, "word_embed_proj_dim 512"),
    "Mixtral": (MISTRAL | {"model_type": "mixtral", "num_local_experts": 8, "vocab_size": 32000}, '"mixtral"'),
    "a long-context Qwen": (QWEN | shape(24, 896, 4864, 14, 2, 32768, 151936)
                            | {"model_type": "qwen2", "rope_scaling": {"type": "yarn", "factor": 4.0}},
                            'rope_scaling.type "yarn"'),
    "Llama in four bits": (LLAMA | shape(32, 4096, 11008, 32, 32, 4096, 32000)
                           | {"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantization_config"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_native_is_said(name, tmp_path):
    settings, reason = FOREIGN[name]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert reason in families.foreign(tmp_path)
