"""When a loss tells that a training is lost: it is no longer finite, or far above what it was for many steps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

from evalkit.errors import EvalkitError

_WINDOW = 100  # steps whose median is what the loss was
_PATIENCE = 10  # steps in a row above it: a single hard batch is no spike


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
        """Whether the last loss was an ordinary one: the weights are worth keeping."""
        return self._above == 0

    def see(self, losses: Iterable[float]) -> str:
        """Take the losses of the next steps; return what is wrong, nothing while all is well."""
        for loss in losses:
            if not math.isfinite(loss):
                return f"the loss became {loss}"
            # The first losses of a training fall too fast to say what is ordinary.
            usual = median(self._ordinary) if len(self._ordinary) >= _PATIENCE else math.inf
            if loss <= usual + self._margin:
                self._ordinary.append(loss)
                self._above = 0
                continue
            self._above += 1
            if self._above == _PATIENCE:
                return (
                    f"the loss has been {loss:.2f}, more than {self._margin:g} above its median {usual:.2f}, for long"
                )
        return ""
