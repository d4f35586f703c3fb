"""GPT-Neo (Black et al. 2021; also TinyStories): GPT-3's alternating windows, attention that is not scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.model.config import GPTConfig
from evalkit.model.family import COMMON_SIZES, Family
from evalkit.model.pieces import separate
from evalkit.model.positions import layers_of
from evalkit.model.settings import Settings

_BLOCK = "transformer.h.N."
_ATTENTION = f"{_BLOCK}attn.attention."
_KINDS = {"global": False, "local": True}
_EXAMPLE = 'a list such as [[["global", "local"], 12]], which stands for 24 layers'


def _read(settings: Settings) -> Mapping[str, Any]:
    local = layers_of(settings, "attention_types", _expanded(settings), _KINDS)
    return {"band": settings.whole("window_size"), "banded": local} if local else {}


def _expanded(settings: Settings) -> Sequence[Any]:
    """Return the kind of each layer."""
    kinds: list[Any] = []
    layers = settings.whole("num_layers")
    for item in settings.items("attention_types"):
        match item:
            case [list(names), int(times)] if 0 <= times * len(names) <= layers:
                kinds += names * times
    if len(kinds) != layers:
        raise settings.wrong("attention_types", f"{_EXAMPLE}; here for {layers} layers")
    return kinds


def _write(config: GPTConfig) -> Mapping[str, Any]:
    kinds = ["local" if config.is_banded(layer) else "global" for layer in range(config.n_layer)]
    dropouts = dict.fromkeys(("attention_dropout", "embed_dropout", "resid_dropout"), config.dropout)
    return {"attention_types": [[kinds, 1]], "window_size": config.band or 256, **dropouts}


FAMILY = Family(
    model_type="gpt_neo",
    architecture="GPTNeoForCausalLM",
    known="GPT-Neo, TinyStories",
    sizes={**COMMON_SIZES, "n_layer": "num_layers", "n_head": "num_heads"},
    epsilon="layer_norm_epsilon",
    activation="activation_function",
    defaults={
        "intermediate_size": None,
        "layer_norm_epsilon": 1e-5,
        "activation_function": "gelu_new",
        "attention_types": [[["global", "local"], 12]],
        "window_size": 256,
    },
    fixed={"biases": ("out", "mlp", "norm"), "attention_scale": 1.0},
    read=_read,
    write=_write,
    tensors={
        "tokens": "transformer.wte",
        "positions": "transformer.wpe",
        "blocks.N.norm_1": f"{_BLOCK}ln_1",
        "blocks.N.attention.qkv": separate(*(f"{_ATTENTION}{name}_proj" for name in "qkv")),
        "blocks.N.attention.out": f"{_ATTENTION}out_proj",
        "blocks.N.norm_2": f"{_BLOCK}ln_2",
        "blocks.N.up": f"{_BLOCK}mlp.c_fc",
        "blocks.N.down": f"{_BLOCK}mlp.c_proj",
        "norm": "transformer.ln_f",
        "output": "lm_head",
    },
    prefix="transformer.",
    buffers=(".attention.bias", ".attention.masked_bias"),
)
