"""The loss on text that is not trained on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from evalkit.corpus import TokenStream
from evalkit.model.gpt import GPT
from evalkit.train.config import TrainConfig
from evalkit.train.objective import precision


@torch.no_grad()
def validation_loss(model: GPT, stream: TokenStream, config: TrainConfig) -> float | None:
    """Return nats per token over the first 64 windows of the validation stream; None when it is shorter than one."""
    losses = []
    model.eval()
    device = model.tokens.weight.device
    for window in _windows(stream, config.model.context, limit=64):
        tokens = torch.from_numpy(window.astype(np.int64)).to(device)
        with precision(config):
            logits_1TV = model(tokens[None, :-1])
        losses.append(F.cross_entropy(logits_1TV[0].float(), tokens[1:]))
    model.train()
    return round(float(torch.stack(losses).mean()), 5) if losses else None


def _windows(stream: TokenStream, context: int, *, limit: int) -> Iterator[NDArray[np.unsignedinteger]]:
    for start in range(0, min(len(stream) - context, limit * context), context):
        yield stream[start : start + context + 1]
