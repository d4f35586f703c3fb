"""Qwen 2 and 2.5 (Yang et al. 2024): Llama with biases of queries, keys and values, and windows in the upper layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evalkit.model.config import GPTConfig
from evalkit.model.families import llama
from evalkit.model.positions import read_rotary, read_windows, write_rotary, write_windows
from evalkit.model.settings import Settings

# transformers' values for keys that a file may leave out.
WINDOWS = {"use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 28}


def _read(settings: Settings) -> Mapping[str, Any]:
    return {"rotary": read_rotary(settings), "biases": ("qkv",), **read_windows(settings)}


def _write(config: GPTConfig) -> Mapping[str, Any]:
    return {**write_rotary(config), **write_windows(config), "attention_dropout": config.dropout}


FAMILY = replace(
    llama.FAMILY,
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    known="Qwen 2, Qwen 2.5",
    sizes=llama.SIZES,
    defaults={**llama.DEFAULTS, **WINDOWS, "num_key_value_heads": 32},
    read=_read,
    write=_write,
)
