"""Detects a diverged training: its loss is no longer finite, or stays far above its former level for many steps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

from evalkit.errors import EvalkitError

_WINDOW = 100  # steps whose median is the former level
_PATIENCE = 10  # steps in a row above it: a single hard batch is not a spike


class DivergedError(EvalkitError):
    """The loss became NaN or infinite, or rose and stayed up."""


class SpikeWatch:
    """Follows the loss of every step.

    A spike is a loss more than `margin` nats above the median of the last hundred ordinary ones, ten steps in a row.
    The losses of a spike are not ordinary: they do not move the median.
    """

    def __init__(self, margin: float):
        self._margin = margin
        self._ordinary: deque[float] = deque(maxlen=_WINDOW)
        self._above = 0

    @property
    def calm(self) -> bool:
        """Whether the last loss was ordinary, so that the weights are worth keeping."""
        return self._above == 0

    def see(self, losses: Iterable[float]) -> str:
        """Add the losses of the next steps; return a message if the training diverged, else an empty text."""
        for loss in losses:
            if not math.isfinite(loss):
                return f"the loss became {loss}"
            # The first losses of a training fall too fast to define what is ordinary.
            usual = median(self._ordinary) if len(self._ordinary) >= _PATIENCE else math.inf
            if loss <= usual + self._margin:
                self._ordinary.append(loss)
                self._above = 0
                continue
            self._above += 1
            if self._above == _PATIENCE:
                return f"the loss is {loss:.2f} and has stayed more than {self._margin:g} above its median {usual:.2f}"
        return ""
