"""Qwen 3 (Yang et al. 2025): Llama with heads of any width, whose queries and keys are normalised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evalkit.model.config import GPTConfig
from evalkit.model.families import llama, qwen2
from evalkit.model.positions import read_windows, write_windows
from evalkit.model.settings import Settings


def _read(settings: Settings) -> Mapping[str, Any]:
    return {**llama.read(settings), **read_windows(settings)}


def _write(config: GPTConfig) -> Mapping[str, Any]:
    return {**llama.write(config), **write_windows(config)}


FAMILY = replace(
    llama.FAMILY,
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    known="Qwen 3 (dense)",
    defaults={**llama.DEFAULTS, **qwen2.WINDOWS, "num_key_value_heads": 32, "head_dim": 128},
    fixed={**llama.FIXED, "qk_norm": "head"},
    read=_read,
    write=_write,
    tensors={**llama.TENSORS, **llama.QK_NORMS},
)
