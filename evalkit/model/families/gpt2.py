"""GPT-2 (Radford et al. 2019): learned positions, layer norms, matrices stored transposed.

Many others are stored in this layout: DistilGPT-2, Cerebras-GPT, Stanford's models with attention scaled by layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.model.config import GPTConfig
from evalkit.model.family import Family
from evalkit.model.pieces import Names, transposed
from evalkit.model.settings import Settings

BLOCKS: Names = {
    "blocks.N.norm_1": "transformer.h.N.ln_1",
    "blocks.N.attention.qkv": transposed("transformer.h.N.attn.c_attn"),
    "blocks.N.attention.out": transposed("transformer.h.N.attn.c_proj"),
    "blocks.N.norm_2": "transformer.h.N.ln_2",
    "blocks.N.up": transposed("transformer.h.N.mlp.c_fc"),
    "blocks.N.down": transposed("transformer.h.N.mlp.c_proj"),
}
SIZES = {"n_layer": "n_layer", "d_model": "n_embd", "n_head": "n_head", "context": "n_positions"}
SIZES |= {"vocab_size": "vocab_size"}
# Masks, which old versions stored.
BUFFERS = (".attn.bias", ".attn.masked_bias")


def dropouts(config: GPTConfig) -> dict[str, Any]:
    """Return the settings that matter in training only."""
    return dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), config.dropout)


def read(settings: Settings) -> Mapping[str, Any]:
    """Read the attention's scale."""
    settings.refuse("our GPT is a decoder", "add_cross_attention")
    return {
        "attention_scale": None if settings.flag("scale_attn_weights") else 1.0,
        "scale_by_layer": settings.flag("scale_attn_by_inverse_layer_idx"),
    }


def write(config: GPTConfig) -> Mapping[str, Any]:
    """Write the attention's scale."""
    return {
        "n_ctx": config.context,
        "scale_attn_weights": config.attention_scale is None,
        "scale_attn_by_inverse_layer_idx": config.scale_by_layer,
        **dropouts(config),
    }


FAMILY = Family(
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    known="GPT-2, DistilGPT-2, Cerebras-GPT",
    sizes={**SIZES, "d_ff": "n_inner"},
    epsilon="layer_norm_epsilon",
    activation="activation_function",
    defaults={
        "n_inner": None,
        "layer_norm_epsilon": 1e-5,
        "activation_function": "gelu_new",
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
    },
    read=read,
    write=write,
    tensors={
        "tokens": "transformer.wte",
        "positions": "transformer.wpe",
        **BLOCKS,
        "norm": "transformer.ln_f",
        "output": "lm_head",
    },
    prefix="transformer.",
    buffers=BUFFERS,
)
