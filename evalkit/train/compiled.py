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

# Compiling takes half a minute, more on a busy machine, and saves a few per cent of a step at best, so it is reserved
# for trainings of about a day on one core, which certainly repay it.
_AUTO_FLOPS = 1e16


def hidden_of(model: GPT, mode: Compile, *, tokens: int) -> tuple[Callable[[Tensor], Tensor], bool]:
    """Return the model's `hidden` for training and whether it is compiled.

    Mode "auto" compiles when a budget of `tokens` is large enough to repay it. Without a C++ compiler the model runs
    uncompiled; "on" then prints a note on standard error.
    """
    worthwhile = mode == "on" or (mode == "auto" and tokens * model.config.flops_per_token >= _AUTO_FLOPS)
    if not worthwhile:
        return model.hidden, False
    if model.tokens.weight.device.type == "cpu" and not compiler():
        if mode == "on":
            print("no C++ compiler found (set CXX, or install g++): the model runs uncompiled", file=sys.stderr)
        return model.hidden, False
    return torch.compile(model.hidden, dynamic=False), True


def compiler() -> str | None:
    """Return the C++ compiler that torch would use; None if there is none."""
    configured = os.environ.get("CXX")
    return shutil.which(configured) if configured else shutil.which("g++") or shutil.which("clang++")
