"""Shapes of decoders that differ in everything a GPTConfig can hold, for tests of each pass of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.model.config import Llama3Scaling, Rotary

MODERN = {"norm_kind": "rms", "biases": (), "activation": "silu", "gated": True, "rotary": Rotary()}


def shapes(band: int) -> Mapping[str, Mapping[str, Any]]:
    """Return fields of a config by name; the sizes (n_layer, d_model 32, n_head 2, ...) are the caller's."""
    stretched = Rotary(base=500.0, scaling=Llama3Scaling(factor=4.0, low=1.0, high=4.0, context=16))
    return {
        "gpt1": {"norm": "post"},
        "gpt2": {},
        "gpt3": {"band": band},
        "llama": MODERN | {"n_kv_head": 1, "d_ff": 40, "rotary": stretched},
        "mistral": MODERN | {"band": band, "banded": (0, 1), "d_head": 8, "n_kv_head": 1, "untied": True},
        "qwen3": MODERN | {"qk_norm": "head", "d_head": 24, "n_kv_head": 1},
        "olmo2": MODERN | {"norm": "output", "qk_norm": "all", "biases": ("qkv",)},
        "neox": {"parallel": True, "rotary": Rotary(share=0.25, scaling=2.0), "activation": "gelu", "untied": True},
        "gpt_neo": {"attention_scale": 1.0, "biases": ("out", "mlp", "norm"), "band": band, "scale_by_layer": True},
        "opt": {"activation": "relu", "biases": ()} | {"norm_kind": "rms", "embedding_norm": True},
        "gemma2": MODERN
        | {"norm": "both", "activation": "gelu_tanh", "embedding_scale": 32**0.5, "logit_cap": 3.0, "band": band},
        "nanochat": MODERN | {"activation": "relu2", "gated": False, "qk_norm": "head", "n_kv_head": 2},
    }
