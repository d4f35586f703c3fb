"""The model and its loss as one module, which is what DistributedDataParallel and FSDP2 wrap."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from evalkit.model.gpt import GPT
from evalkit.train.compiled import hidden_of
from evalkit.train.config import TrainConfig
from evalkit.train.loss import linear_cross_entropy


class Objective(nn.Module):
    """Mean cross-entropy of the next tokens, in nats. Weights are fp32; with bf16, matrix products are in bf16."""

    def __init__(self, model: GPT, config: TrainConfig):
        super().__init__()
        self.model = model
        self._config = config
        if config.recompute:
            for block in model.blocks:
                # The block remains the same module, so its weights keep their names.
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        mode = "off" if config.shard else config.compile
        self._hidden, self.compiled = hidden_of(model, mode, tokens=config.tokens, device=config.device)

    def forward(self, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Return the loss of a batch."""
        with precision(self._config):
            states_BTD = self._hidden(inputs_BT)
        weight, cap = self.model.output_matrix, self.model.config.logit_cap
        dtype = product_dtype(self._config)
        return linear_cross_entropy(states_BTD.flatten(0, 1), weight, targets_BT.flatten(), dtype=dtype, cap=cap)


def product_dtype(config: TrainConfig) -> torch.dtype:
    """Return the dtype of a training's matrix products."""
    return torch.bfloat16 if config.dtype == "bf16" else torch.float32


def precision(config: TrainConfig) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which matrix products have the training's dtype."""
    if config.dtype == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(config.device.partition(":")[0], dtype=torch.bfloat16)
