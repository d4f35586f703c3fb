"""Llama 1 to 3 (Touvron et al. 2023; Grattafiori et al. 2024): rotary positions, RMS norms, SwiGLU, shared keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.model.config import GPTConfig
from evalkit.model.family import COMMON_SIZES, Family
from evalkit.model.pieces import Names, separate
from evalkit.model.positions import read_rotary, write_rotary
from evalkit.model.settings import Settings

SIZES = {**COMMON_SIZES, "n_kv_head": "num_key_value_heads"}
# transformers' values for keys that a file may leave out, in all families of this layout.
DEFAULTS = {
    "num_key_value_heads": None,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": False,
    "attention_bias": False,
}
FIXED = {"norm_kind": "rms", "gated": True}
_BLOCK = "model.layers.N."
TENSORS: Names = {
    "tokens": "model.embed_tokens",
    "blocks.N.norm_1": f"{_BLOCK}input_layernorm",
    "blocks.N.attention.qkv": separate(*(f"{_BLOCK}self_attn.{name}_proj" for name in "qkv")),
    "blocks.N.attention.out": f"{_BLOCK}self_attn.o_proj",
    "blocks.N.norm_2": f"{_BLOCK}post_attention_layernorm",
    **{f"blocks.N.{name}": f"{_BLOCK}mlp.{name}_proj" for name in ("gate", "up", "down")},
    "norm": "model.norm",
    "output": "lm_head",
}
# The norms of queries and keys, in the families that have them.
QK_NORMS: Names = {f"blocks.N.attention.norm_{name}": f"{_BLOCK}self_attn.{name}_norm" for name in "qk"}
# Wave lengths of rotary positions, which old versions stored.
BUFFERS = (".rotary_emb.inv_freq",)


def read(settings: Settings) -> dict[str, Any]:
    """Read the attention's positions and biases."""
    return {"rotary": read_rotary(settings), "biases": ("qkv", "out") if settings.flag("attention_bias") else ()}


def write(config: GPTConfig) -> dict[str, Any]:
    """Write what `read` reads, and the dropout."""
    bias = {"attention_bias": "qkv" in config.biases}
    return {**write_rotary(config), **bias, "attention_dropout": config.dropout}


def _read(settings: Settings) -> Mapping[str, Any]:
    if settings.whole("hidden_size") % max(1, settings.whole("num_attention_heads")):
        raise settings.wrong("hidden_size", "a multiple of num_attention_heads")  # also beside a head_dim
    attention = read(settings)
    return {**attention, "biases": attention["biases"] + ("mlp",) * settings.flag("mlp_bias")}


def _write(config: GPTConfig) -> Mapping[str, Any]:
    return {**write(config), "mlp_bias": "mlp" in config.biases}


FAMILY = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    known="Llama 1 to 3, SmolLM2, TinyLlama",
    sizes={**SIZES, "d_head": "head_dim"},
    epsilon="rms_norm_eps",
    activation="hidden_act",
    defaults={**DEFAULTS, "head_dim": None, "mlp_bias": False},
    fixed=FIXED,
    read=_read,
    write=_write,
    tensors=TENSORS,
    prefix="model.",
    buffers=BUFFERS,
)
