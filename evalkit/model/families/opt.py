"""OPT (Zhang et al. 2022): ReLU, and positions stored behind two rows that are never read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.model.config import BIASES, GPTConfig
from evalkit.model.family import COMMON_SIZES, Family
from evalkit.model.pieces import behind, separate
from evalkit.model.settings import Settings

_BLOCK = "model.decoder.layers.N."
_ATTENTION = f"{_BLOCK}self_attn."


def _read(settings: Settings) -> Mapping[str, Any]:
    if settings.has("word_embed_proj_dim") and settings.whole("word_embed_proj_dim") != settings.whole("hidden_size"):
        raise settings.refused("word_embed_proj_dim", "our GPT's embeddings are as wide as its blocks")
    if not settings.flag("layer_norm_elementwise_affine"):
        raise settings.refused("layer_norm_elementwise_affine", "our GPT's norms have weights")
    settings.refuse("our GPT has a final norm", "_remove_final_layer_norm")
    return {
        "norm": "pre" if settings.flag("do_layer_norm_before") else "post",
        "biases": BIASES if settings.flag("enable_bias") else ("norm",),
    }


def _write(config: GPTConfig) -> Mapping[str, Any]:
    return {
        "word_embed_proj_dim": config.d_model,
        "do_layer_norm_before": config.norm == "pre",
        "enable_bias": "mlp" in config.biases,
        "dropout": config.dropout,
        "attention_dropout": config.dropout,
    }


FAMILY = Family(
    model_type="opt",
    architecture="OPTForCausalLM",
    known="OPT (but 350M)",
    sizes={**COMMON_SIZES, "d_ff": "ffn_dim"},
    epsilon=None,
    activation="activation_function",
    defaults={
        "activation_function": "relu",
        "do_layer_norm_before": True,
        "enable_bias": True,
        "layer_norm_elementwise_affine": True,
    },
    fixed={"epsilon": 1e-5},
    read=_read,
    write=_write,
    tensors={
        "tokens": "model.decoder.embed_tokens",
        "positions": behind(2, "model.decoder.embed_positions"),
        "blocks.N.norm_1": f"{_BLOCK}self_attn_layer_norm",
        "blocks.N.attention.qkv": separate(*(f"{_ATTENTION}{name}_proj" for name in "qkv")),
        "blocks.N.attention.out": f"{_ATTENTION}out_proj",
        "blocks.N.norm_2": f"{_BLOCK}final_layer_norm",
        "blocks.N.up": f"{_BLOCK}fc1",
        "blocks.N.down": f"{_BLOCK}fc2",
        "norm": "model.decoder.final_layer_norm",
        "output": "lm_head",
    },
    prefix="model.",
    buffers=("decoder.version",),
)
