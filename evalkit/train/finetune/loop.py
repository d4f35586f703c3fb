"""One fine-tuning: GPT-1's schedule and losses (Radford et al. 2018, sections 3.2 and 4.1), and the scoring after it.

The objective is L2 + lambda L1: the task's loss plus an auxiliary loss, the language model's on the same sequences,
including their special tokens.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from evalkit import costs
from evalkit.engine.base import not_finite, sound
from evalkit.errors import UsageError
from evalkit.progress import progress
from evalkit.train.finetune import batches
from evalkit.train.finetune.batches import Batch
from evalkit.train.finetune.inputs import Encoded, Form
from evalkit.train.finetune.model import FineTuned
from evalkit.train.loss import linear_cross_entropy
from evalkit.train.optim import OptimConfig, Optimizers
from evalkit.train.spikes import DivergedError
from evalkit.types import Response

# Tokens of a batch for scoring only.
_JUDGED = 4096


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """The paper's values are the defaults.

    learning_rate: at its peak, after `warmup` (a share of all updates), then linear to zero. batch: examples.
    auxiliary: lambda; 0 means no auxiliary loss. pretrained: start from the model's weights, not from random ones.
    dropout: in embeddings, attention and residual branches; head_dropout: before the head.
    least_updates: minimum for few examples, whose three epochs would be three updates and leave the head untrained.
    dtype: of the matrix products; weights stay fp32.

    Raises UsageError for values that are not allowed.
    """

    learning_rate: float = 6.25e-5
    batch: int = 32
    epochs: int = 3
    warmup: float = 0.002
    auxiliary: float = 0.5
    pretrained: bool = True
    dropout: float = 0.1
    head_dropout: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    least_updates: int = 100
    dtype: Literal["bf16", "fp32"] = "bf16"
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("batch", "epochs"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"learning_rate must be above 0, not {self.learning_rate}")
        for name in ("auxiliary", "weight_decay", "least_updates"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be at least 0, not {getattr(self, name)}")
        for name in ("warmup", "dropout", "head_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must be in [0, 1), not {getattr(self, name)}")

    def updates(self, examples: int) -> int:
        """Return the number of updates for this many training examples."""
        return max(self.epochs * -(-examples // self.batch), self.least_updates)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Facts of a fine-tuning. tokens: without padding. task_loss, lm_loss: means over the last tenth of updates."""

    updates: int
    tokens: int
    seconds: float
    task_loss: float
    lm_loss: float


def train(
    model: FineTuned, form: Form, data: Sequence[Encoded], config: FinetuneConfig, *, seed: int, label: str
) -> Trained:
    """Fine-tune on `data`. seed: of the order and of dropout. label: of the progress bar and errors.

    Raises DivergedError when the loss is no longer finite.
    """
    torch.manual_seed(seed)
    updates = config.updates(len(data))
    optim = OptimConfig(
        muon_lr=0.0,
        adam_lr=config.learning_rate,
        weight_decay=config.weight_decay,
        beta2=0.999,
        warmup=config.warmup,
        schedule="linear",
        clip=config.clip,
    )
    optimizers = Optimizers(model, optim, schedule=optim.over((0, updates)))
    model.train()
    start_time, tokens, final_losses = time.monotonic(), 0, []
    index_batches = batches.shuffled(data, size=config.batch, seed=seed)
    costs.use(config.device)
    with progress(label, total=updates, unit="updates") as bar:
        for step, places in zip(range(updates), index_batches, strict=False):
            batch = batches.collate(data, places, device=config.device)
            task_loss, lm_loss = losses(model, form, batch, config)
            (task_loss + config.auxiliary * lm_loss).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizers.step(step)
            tokens += batch.tokens
            loss_pair = float(task_loss.detach()), float(lm_loss.detach())
            if not math.isfinite(sum(loss_pair)):
                raise DivergedError(f"{label}: the loss became {loss_pair[0]} at update {step + 1}; try a lower rate")
            if step >= updates - max(1, updates // 10):
                final_losses.append(loss_pair)
            bar.advance(1, note=f"loss {loss_pair[0]:.3f}", tokens=batch.tokens)
    seconds = time.monotonic() - start_time
    task_mean, lm_mean = (sum(values) / len(final_losses) for values in zip(*final_losses, strict=True))
    return Trained(updates=updates, tokens=tokens, seconds=seconds, task_loss=task_mean, lm_loss=lm_mean)


def losses(model: FineTuned, form: Form, batch: Batch, config: FinetuneConfig) -> tuple[Tensor, Tensor]:
    """Return the task's loss, a mean over examples, and the language model's, a mean over tokens (0 if switched off).

    The task's loss is cross-entropy; for a regression, for which the paper gives none, it is the mean squared error in
    units of the targets' spread.
    """
    with _precision(config):
        states_NTD = model.hidden(batch.inputs)
    scores_BL = model.scores(states_NTD, batch.lengths, sequences=batch.sequences)
    if form.regression:
        targets_B = (batch.targets - model.about.centre) / model.about.scale
        task_loss = F.mse_loss(scores_BL[:, 0], targets_B.float())
    else:
        task_loss = F.cross_entropy(scores_BL, batch.targets.long())
    if not config.auxiliary:
        return task_loss, torch.zeros((), device=task_loss.device)
    places_T = torch.arange(batch.inputs.shape[1] - 1, device=task_loss.device)
    predicted_NT = (
        places_T < batch.lengths[:, None] - 1
    )  # each real token but the first is predicted from those before it
    lm_loss = linear_cross_entropy(
        states_NTD[:, :-1][predicted_NT],
        model.output_matrix,
        batch.inputs[:, 1:][predicted_NT],
        dtype=torch.bfloat16 if config.dtype == "bf16" else torch.float32,
    )
    return task_loss, lm_loss


@torch.no_grad()
def judge(model: FineTuned, form: Form, data: Sequence[Encoded], config: FinetuneConfig) -> list[tuple[Response, ...]]:
    """Return the model's answer to each example: a log-probability per class or answer, or a number as text.

    A response whose score is not a finite number carries an error.
    """
    model.eval()
    answers: dict[int, tuple[Response, ...]] = {}
    responses: list[tuple[Response, ...]]
    for places in batches.in_order(data, tokens=_JUDGED):
        batch = batches.collate(data, places, device=config.device)
        with _precision(config):
            states_NTD = model.hidden(batch.inputs)
        scores_BL = model.scores(states_NTD, batch.lengths, sequences=batch.sequences)
        if form.regression:
            values = (model.about.centre + model.about.scale * scores_BL[:, 0]).tolist()
            responses = [
                (Response(text=f"{value:.6g}", tokens=1, error=not_finite(value, dtype=config.dtype)),)
                for value in values
            ]
        else:
            rows = scores_BL.log_softmax(1).tolist()
            responses = [
                tuple(sound(Response(loglikelihood=value, tokens=1), dtype=config.dtype) for value in row)
                for row in rows
            ]
        answers.update(zip(places, responses, strict=True))
    return [answers[place] for place in range(len(data))]


def _precision(config: FinetuneConfig) -> contextlib.AbstractContextManager[Any]:
    if config.dtype == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(config.device.partition(":")[0], dtype=torch.bfloat16)
