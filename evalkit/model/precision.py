"""The default number format in which a model is evaluated."""

from __future__ import annotations

from pathlib import Path

from evalkit.model.config import GPTConfig

# From this width on bf16 is worthwhile. On two cores with AVX-512 BF16, scoring gains 5% at a width of 64, 23% at 192,
# 36% at 256 and 75% at 768; its error, about 0.01 nats per token up or down, is the same at all widths.
_WIDE = 512
# The CPU flags of bf16 products: x86's two kinds, and Arm's.
_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def default_dtype(config: GPTConfig, device: str) -> str:
    """Return "bf16" for wide models on hardware that multiplies it faster, else "fp32"."""
    return "bf16" if config.d_model >= _WIDE and _is_fast(device) else "fp32"


def _is_fast(device: str) -> bool:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        # Not through torch, which takes a second to import: a run whose answers are all cached needs no torch.
        return not _FLAGS.isdisjoint(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:  # not Linux
        return False
