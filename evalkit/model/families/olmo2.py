"""OLMo 2 (Walsh et al. 2024): Llama with norms of the branches' outputs, and of all queries and all keys at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evalkit.model.config import GPTConfig
from evalkit.model.families import llama
from evalkit.model.positions import read_rotary, write_rotary
from evalkit.model.settings import Settings


def _read(settings: Settings) -> Mapping[str, Any]:
    return {"rotary": read_rotary(settings), "biases": llama.biases(settings)}


def _write(config: GPTConfig) -> Mapping[str, Any]:
    return {
        **write_rotary(config),
        "attention_bias": "qkv" in config.biases,
        "attention_dropout": config.dropout,
    }


FAMILY = replace(
    llama.FAMILY,
    model_type="olmo2",
    architecture="Olmo2ForCausalLM",
    known="OLMo 2",
    sizes=llama.SIZES,
    defaults={**llama.DEFAULTS, "rms_norm_eps": 1e-5},
    fixed={**llama.FIXED, "norm": "output", "qk_norm": "all"},
    read=_read,
    write=_write,
    tensors={
        **llama.TENSORS,
        "blocks.N.norm_1": "model.layers.N.post_attention_layernorm",
        "blocks.N.norm_2": "model.layers.N.post_feedforward_layernorm",
        "blocks.N.attention.norm_q": "model.layers.N.self_attn.q_norm",
        "blocks.N.attention.norm_k": "model.layers.N.self_attn.k_norm",
    },
)
