"""Mistral (Jiang et al. 2023): Llama with a sliding window in every layer, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evalkit.model.config import GPTConfig
from evalkit.model.families import llama
from evalkit.model.positions import read_rotary, write_rotary
from evalkit.model.settings import Settings


def _read(settings: Settings) -> Mapping[str, Any]:
    settings.refuse("our GPT's Mistral has one kind of layer", "layer_types")
    window = settings.whole_or_none("sliding_window")
    layers = tuple(range(settings.whole("num_hidden_layers")))
    return {
        "rotary": read_rotary(settings),
        "biases": (),
        "band": window,
        "banded": None if window is None else layers,
    }


def _write(config: GPTConfig) -> Mapping[str, Any]:
    return {**write_rotary(config), "sliding_window": config.band, "attention_dropout": config.dropout}


FAMILY = replace(
    llama.FAMILY,
    model_type="mistral",
    architecture="MistralForCausalLM",
    known="Mistral 7B",
    defaults={**llama.DEFAULTS, "head_dim": None, "num_key_value_heads": 8, "sliding_window": 4096},
    read=_read,
    write=_write,
)
