"""GPT-NeoX and Pythia (Black et al. 2022; Biderman et al. 2023): parallel branches, a quarter of each head rotated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.model.config import BIASES, GPTConfig
from evalkit.model.family import COMMON_SIZES, Family
from evalkit.model.pieces import by_group
from evalkit.model.positions import read_rotary, write_rotary
from evalkit.model.settings import Settings

_BLOCK = "gpt_neox.layers.N."
_ROTARY = {"base": "rotary_emb_base", "share": "rotary_pct"}


def _read(settings: Settings) -> Mapping[str, Any]:
    return {
        "parallel": settings.flag("use_parallel_residual"),
        "biases": BIASES if settings.flag("attention_bias") else ("mlp", "norm"),
        "rotary": read_rotary(settings, **_ROTARY),
    }


def _write(config: GPTConfig) -> Mapping[str, Any]:
    return {
        "use_parallel_residual": config.parallel,
        "attention_bias": "qkv" in config.biases,
        **write_rotary(config, **_ROTARY),
        "attention_dropout": config.dropout,
        "hidden_dropout": config.dropout,
    }


FAMILY = Family(
    model_type="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    known="GPT-NeoX, Pythia",
    sizes=COMMON_SIZES,
    epsilon="layer_norm_eps",
    activation="hidden_act",
    defaults={
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "use_parallel_residual": True,
        "attention_bias": True,
        "rotary_emb_base": 10_000.0,
        "rotary_pct": 0.25,
        "tie_word_embeddings": False,
    },
    read=_read,
    write=_write,
    tensors={
        "tokens": "gpt_neox.embed_in",
        "blocks.N.norm_1": f"{_BLOCK}input_layernorm",
        "blocks.N.attention.qkv": by_group(f"{_BLOCK}attention.query_key_value"),
        "blocks.N.attention.out": f"{_BLOCK}attention.dense",
        "blocks.N.norm_2": f"{_BLOCK}post_attention_layernorm",
        "blocks.N.up": f"{_BLOCK}mlp.dense_h_to_4h",
        "blocks.N.down": f"{_BLOCK}mlp.dense_4h_to_h",
        "norm": "gpt_neox.final_layer_norm",
        "output": "embed_out",
    },
    prefix="gpt_neox.",
    renamed={"lm_head.weight": "embed_out.weight"},
    buffers=(".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"),
)
