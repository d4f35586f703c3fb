"""The learning rate as a function of the step, also where a training's budget was extended on the way.

A budget is extended by resuming with more tokens. From that step on the schedule is the larger budget's, and the rate
climbs to it from where it was, no faster than in the warm-up, whose length stays that of the first budget:

    constant     nothing changes
    trapezoid    extended before its fall, nothing changes but when the fall begins: the rates are those of a training
                 that was planned so from the start. Within the fall, the rate climbs back to the peak.
    linear       it climbs to the line of the larger budget, and follows that to zero
    cosine       likewise to the curve of the larger budget, which ends at a tenth of the peak

So the rates follow from the steps at which the training was extended, which its state and its record hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Shape = Literal["linear", "cosine", "constant", "trapezoid"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """shape, warmup, cooldown: as in OptimConfig. budgets: (first step, last step) of each; the first begins at 0."""

    shape: Shape
    warmup: float
    cooldown: float
    budgets: tuple[tuple[int, int], ...]

    @property
    def _warmup_steps(self) -> int:
        return max(1, round(self.warmup * self.budgets[0][1]))

    def rate(self, step: int) -> float:
        """Return the share of the peak learning rate at a step, from 0."""
        return self._rate(step, len(self.budgets) - 1)

    def _rate(self, step: int, number: int) -> float:
        """Return the share as the first `number` extensions made it."""
        start, steps = self.budgets[number]
        if step < start:
            return self._rate(step, number - 1)
        planned = self._planned(step, steps)
        if not number:
            return planned
        return min(planned, self._rate(start - 1, number - 1) + (step - start + 1) / self._warmup_steps)

    def _planned(self, step: int, steps: int) -> float:
        """Return the share in a training of so many steps."""
        warmup_steps = self._warmup_steps
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        if self.shape == "constant":
            return 1.0
        progress = (step - warmup_steps) / max(1, steps - warmup_steps)
        if self.shape == "cosine":
            return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))
        if self.shape == "linear":
            return 1 - progress
        return min(1.0, (1 - progress) / self.cooldown)
