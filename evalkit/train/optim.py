"""Optimizers; their learning rates follow the schedule of schedule.py.

The block matrices are trained with Muon (muon.py), everything else with AdamW; with `muon_lr` 0, AdamW trains
everything. Weight decay applies to matrices only, as in GPT-1 (Radford et al. 2018, section 4.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from evalkit.errors import UsageError
from evalkit.model.gpt import GPT
from evalkit.train.muon import Muon
from evalkit.train.schedule import Schedule, Shape
from evalkit.train.shards import split_like


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """muon_lr, adam_lr: peak learning rates. warmup, cooldown: shares of all steps.

    schedule, after the warm-up: "cosine" falls to a tenth of the peak, "linear" to zero, "constant" stays, "trapezoid"
    is flat and falls to zero over the last `cooldown` share. clip: largest gradient norm.

    Raises UsageError for values that are not allowed.
    """

    muon_lr: float = 0.01
    adam_lr: float = 5e-3
    weight_decay: float = 0.1
    beta2: float = 0.95
    warmup: float = 0.02
    cooldown: float = 0.5
    schedule: Shape = "linear"
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name in ("adam_lr", "clip", "cooldown"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be a positive number, not {getattr(self, name)}")
        for name in ("muon_lr", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be zero or a positive number, not {getattr(self, name)}")
        for name in ("warmup", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")

    def over(self, *budgets: tuple[int, int]) -> Schedule:
        """Return the schedule over these budgets: (first step, last step) of each."""
        return Schedule(shape=self.schedule, warmup=self.warmup, cooldown=self.cooldown, budgets=budgets)


class Optimizers:
    """The optimizers of one model, stepped together; learning rates follow the schedule, which can be set."""

    def __init__(self, model: GPT, config: OptimConfig, *, schedule: Schedule):
        self.schedule = schedule
        shape = model.config
        keys = shape.n_kv_head * shape.d_head
        self._rows = [shape.n_head * shape.d_head, keys, keys]
        matrices: list[torch.Tensor] = []
        tables: list[torch.Tensor] = []
        vectors: list[torch.Tensor] = []
        self._fused: list[tuple[nn.Parameter, list[nn.Parameter]]] = []
        for name, parameter in model.named_parameters():
            if name.endswith("qkv.weight") and config.muon_lr:
                # Muon gives every direction of a matrix the same step. Query, key and value are three matrices in one
                # tensor; treated as one, the value's large early gradient would leave almost nothing for the others.
                parts = [nn.Parameter(part) for part in parameter.data.split(self._rows)]  # views: they share memory
                self._fused.append((parameter, parts))
                matrices += parts
                continue
            kind = vectors if parameter.ndim < 2 else matrices if name.startswith("blocks.") else tables
            kind.append(parameter)
        adam_groups: list[dict[str, Any]] = [
            {"params": tables, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self._members: list[tuple[torch.optim.Optimizer, float]] = []
        if config.muon_lr:
            # lr is scaled so that updates have the same size for any matrix shape (Jordan et al. 2024).
            muon = Muon(matrices, lr=config.muon_lr, weight_decay=config.weight_decay, adjust_lr_fn="original")
            self._members.append((muon, config.muon_lr))
        else:
            adam_groups[0]["params"] = matrices + tables
        adam = torch.optim.AdamW(adam_groups, lr=config.adam_lr, betas=(0.9, config.beta2), fused=True)
        self._members.append((adam, config.adam_lr))

    def step(self, step: int) -> None:
        """Apply the gradients and clear them."""
        for fused, parts in self._fused:
            assert fused.grad is not None
            for part, grad in zip(parts, fused.grad.split(self._rows), strict=True):
                part.grad = grad
            fused.grad = None
        for optimizer, peak in self._members:
            for group in optimizer.param_groups:
                group["lr"] = peak * self.schedule.rate(step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """Return what a checkpoint needs to resume."""
        return [optimizer.state_dict() for optimizer, _ in self._members]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Continue from a checkpoint's state."""
        for (optimizer, _), saved in zip(self._members, state, strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            split = {
                i: {name: split_like(value, parameters[i]) for name, value in values.items()}
                for i, values in saved["state"].items()
            }
            optimizer.load_state_dict({**saved, "state": split})
