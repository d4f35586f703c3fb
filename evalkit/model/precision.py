"""Number formats: their names, and which one a model is evaluated and trained in by default."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from evalkit.errors import UsageError
from evalkit.model.config import GPTConfig

# Names on the command line -> torch's names.
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
# Products of whole numbers, for evaluation alone: no weights are stored so.
INT8 = "int8"
# How they are computed; another number where model/int8.py gives other results, so that none come from a cache.
INT8_ARITHMETIC = 2
_SHORT = {long: short for short, long in DTYPES.items()}

# From this width on bf16 is worthwhile. On two cores with AVX-512 BF16, scoring gains 5% at a width of 64, 23% at 192,
# 36% at 256 and 75% at 768; its error, about 0.01 nats per token up or down, is the same at all widths.
_WIDE = 512
# The CPU flags of bf16 products: x86's two kinds, and Arm's.
_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
# x86's flags of products of int8 that are summed in int32; older instructions sum pairs in int16, which overflows.
_INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8"}


def default_dtype(config: GPTConfig, device: str) -> str:
    """Return "bf16" for wide models on hardware that multiplies it faster, else "fp32"."""
    return "bf16" if config.d_model >= _WIDE and multiplies_bf16(device) else "fp32"


def training_dtype(device: str) -> Literal["bf16", "fp32"]:
    """Return "bf16" on hardware that multiplies it faster, else "fp32".

    Without such instructions torch's products of bf16 are several times slower than those of fp32.
    """
    return "bf16" if multiplies_bf16(device) else "fp32"


def short_dtype(name: str) -> str:
    """Return fp32 for float32 or torch.float32, and so on; any other name as it is.

    >>> short_dtype("torch.bfloat16"), short_dtype("fp16")
    ('bf16', 'fp16')
    """
    return _SHORT.get(name.removeprefix("torch."), name)


@cache
def multiplies_bf16(device: str) -> bool:
    """Whether the hardware has instructions for products of bf16."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return _has_one_of(_FLAGS)


def check_int8(device: str) -> None:
    """Raise UsageError where products of int8 are not computed: on a GPU, and on processors without VNNI or AMX."""
    if device.partition(":")[0] != "cpu":
        raise UsageError(f"--dtype int8 computes on processors; with --device {device} use bf16")
    if not _has_one_of(_INT8_FLAGS):
        raise UsageError("--dtype int8: this processor has no such products (AVX-VNNI, AVX-512 VNNI or AMX)")


def _has_one_of(flags: set[str]) -> bool:
    """Whether the processor has one of these features."""
    try:
        # Not through torch, which takes a second to import: a run whose answers are all cached needs no torch.
        return not flags.isdisjoint(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:  # not Linux
        return False
