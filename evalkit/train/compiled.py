"""torch.compile where it pays off: never required, never an error."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from evalkit.model.gpt import GPT

Compile = Literal["auto", "on", "off"]

# Compiling takes about a minute. It pays on a GPU only, as the kernels of a processor are fused by hand, and there only
# for trainings that take longer than compiling does.
_AUTO_FLOPS = 1e16


def hidden_of(model: GPT, mode: Compile, *, tokens: int, device: str) -> tuple[Callable[[Tensor], Tensor], bool]:
    """Return the model's `hidden` for training on a device and whether it is compiled.

    Mode "auto" compiles on a GPU when a budget of `tokens` is large enough to repay it; on a processor never, as its
    kernels are fused already (docs/training.md). Without a C++ compiler a model on a processor runs uncompiled;
    "on" then prints a note on standard error.
    """
    on_cpu = device == "cpu"
    worthwhile = mode == "on" or (
        mode == "auto" and not on_cpu and tokens * model.config.flops_per_token >= _AUTO_FLOPS
    )
    if not worthwhile:
        return model.hidden, False
    if on_cpu and not compiler():
        print("no C++ compiler found (set CXX, or install g++): the model runs uncompiled", file=sys.stderr)
        return model.hidden, False
    return torch.compile(model.hidden, dynamic=False), True


def compiler() -> str | None:
    """Return the C++ compiler that torch would use; None if there is none."""
    configured = os.environ.get("CXX")
    return shutil.which(configured) if configured else shutil.which("g++") or shutil.which("clang++")
