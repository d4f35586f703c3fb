"""The settings of a gate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.comparison import comparison
from evalkit.errors import UsageError, unknown
from evalkit.gates.track import SHARE


@dataclass(frozen=True, kw_only=True)
class GateSettings(comparison.Settings):
    """How to decide, as for a comparison; seed also fixes the order of reading.

    weights: task -> its share of alpha, in any unit; 1 for those that are not named.
    """

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for task, weight in self.weights.items():
            if not 0 < weight < math.inf:
                raise UsageError(f"--weight {task}={weight:g}: expected a number above 0")

    def resamples_for(self, tracks: int) -> int:
        """Return how many resamples a test needs to pass the strictest step of the correction."""
        weights = [*self.weights.values(), 1.0]
        strictest = self.alpha * (1.0 - SHARE) * min(weights) / (max(weights) * tracks)
        return max(self.resamples, math.ceil(10 / strictest))


def parse_weights(words: Sequence[str]) -> dict[str, float]:
    """Read `lambada=2` into task -> weight. Raises UsageError."""
    weights: dict[str, float] = {}
    for word in words:
        task, _, number = word.rpartition("=")
        try:
            weights[task] = float(number)
        except ValueError:
            weights[task] = math.nan
        if not task or math.isnan(weights[task]):
            raise UsageError(f"--weight {word!r}: expected TASK=NUMBER, a number above 0")
    return weights


def check_weights(weights: Mapping[str, float], tasks: Sequence[str]) -> None:
    """Raise UsageError for a weight of a task that the gate does not read."""
    for name in weights:
        if name not in tasks:
            raise unknown("task", name, tasks, where="in --weight")
