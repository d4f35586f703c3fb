"""The loss on held-out text, over a fixed draw of windows, with its standard error.

The windows are drawn with one seed for every model, and a smaller draw is the beginning of a larger one: models of one
corpus and context are compared on the same text. During a training 64 windows are read; at its end up to a million
tokens, but not more than cost a twentieth of the training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from evalkit.corpus import TokenStream
from evalkit.model.gpt import GPT
from evalkit.train.config import TrainConfig
from evalkit.train.objective import precision

_INTERIM = 64  # windows
_MOST = 1_000_000  # tokens at the end
# Share of the training's tokens: reading them costs a third of training on them, so this costs a twentieth of it.
_SHARE = 0.15
# Tokens in the model at once, rows of logits held at once, tokens of a stream searched at once.
_AT_ONCE, _ROWS, _STRETCH = 8192, 256, 1 << 22


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """loss: mean over `tokens` tokens, in nats. stderr: its standard error; None if the text is a single window.

    Both tokens and stderr are None in states that older versions wrote.
    """

    loss: float
    stderr: float | None
    tokens: int | None


def recorded(held_out: HeldOut | None) -> dict[str, float | None]:
    """Return the loss under the names that logs and training.json give it."""
    return {f"validation_{name}": getattr(held_out, name, None) for name in ("loss", "stderr", "tokens")}


def budget(config: TrainConfig, *, last: bool) -> int:
    """Return how many tokens of held-out text are read at most, during the training or at its end (last)."""
    least = _INTERIM * config.length
    return max(least, min(_MOST, int(_SHARE * config.steps * config.tokens_per_step))) if last else least


class Validation:
    """A stream of held-out text, cut into windows of `context` tokens; the last may be shorter."""

    def __init__(self, stream: TokenStream, *, context: int, end_of_text: int):
        self._stream, self._context, self._end = stream, context, end_of_text
        self._windows = -(-(len(stream) - 1) // context)

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.random.default_rng(0).permutation(self._windows)

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        """Return the positions at which documents end."""
        starts = range(0, len(self._stream), _STRETCH)
        ends = [np.flatnonzero(self._stream[start : start + _STRETCH] == self._end) + start for start in starts]
        return np.concatenate([*ends, np.zeros(0, dtype=np.int64)])

    def loss(self, model: GPT, config: TrainConfig, *, tokens: int) -> HeldOut | None:
        """Return the loss over about `tokens` tokens, or over all if there are fewer; None if there are none."""
        if self._windows < 1:
            return None
        chosen = np.sort(self._order[: max(1, tokens // self._context)])
        losses, windows, documents = [], [], []
        for numbers, batch_BT in self._batches(chosen):
            losses.append(token_losses(model, batch_BT, config).flatten().double().cpu().numpy())
            places_BT = numbers[:, None] * self._context + np.arange(1, batch_BT.shape[1])
            windows.append(np.broadcast_to(numbers[:, None], places_BT.shape).flatten())
            documents.append(np.searchsorted(self._ends, places_BT.flatten()))
        all_losses = np.concatenate(losses)
        # Tokens of a window share its subject; a long document shares it over many windows.
        errors = [_error_of_mean(all_losses, np.concatenate(units)) for units in (windows, documents)]
        known_errors = [round(error, 5) for error in errors if error is not None]
        return HeldOut(
            loss=round(float(all_losses.mean()), 5), stderr=max(known_errors, default=None), tokens=len(all_losses)
        )

    def _batches(self, chosen: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield numbers of windows with their tokens (B, T + 1); a shorter window has its own batch."""
        full = chosen[(chosen + 1) * self._context < len(self._stream)]
        size = max(1, _AT_ONCE // self._context)
        for numbers in [*np.split(full, range(size, len(full), size)), chosen[len(full) :]]:
            rows = [self._stream[n * self._context : (n + 1) * self._context + 1] for n in numbers.tolist()]
            if rows:
                yield numbers, torch.from_numpy(np.stack(rows).astype(np.int64))


@torch.no_grad()
def token_losses(model: GPT, tokens_BT: Tensor, config: TrainConfig) -> Tensor:
    """Return the loss in nats of every token but the first of each row (B, T - 1), as the training computes it."""
    training = model.training
    model.eval()
    tokens_BT = tokens_BT.to(model.tokens.weight.device)
    with precision(config):
        states_BTD = model.hidden(tokens_BT[:, :-1])
        parts = zip(states_BTD.flatten(0, 1).split(_ROWS), tokens_BT[:, 1:].flatten().split(_ROWS), strict=True)
        losses = [
            F.cross_entropy(model.unembed(states).float(), targets, reduction="none") for states, targets in parts
        ]
    model.train(training)
    return torch.cat(losses).view(len(tokens_BT), -1)


def _error_of_mean(values: NDArray[np.float64], units: NDArray[np.int64]) -> float | None:
    """Return the standard error of a mean over values correlated within units; None if there is only one unit."""
    _, unit = np.unique(units, return_inverse=True)
    counts = np.bincount(unit)
    if len(counts) < 2:
        return None
    deviations = np.bincount(unit, weights=values) - values.mean() * counts
    return float(np.sqrt(len(counts) / (len(counts) - 1) * (deviations**2).sum()) / len(values))
