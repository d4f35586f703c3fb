"""What predictors take and give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.forecasts.ladders import Ladder, Place
from evalkit.forecasts.links import Array

_APART = 0.1  # of the range of ln C: D / N that varies less beyond ln C has no law of its own


@dataclass(frozen=True, kw_only=True)
class Part:
    """A ladder, and the places of K models whose scores are to be predicted."""

    ladder: Ladder
    at: Place

    @property
    def x(self) -> tuple[Array, Array]:
        """ln C of the models, (M,), and of those to be predicted, (K,)."""
        return np.log(self.ladder.place.compute), np.log(self.at.compute)

    @property
    def turn(self) -> tuple[Array, Array]:
        """ln D / N of the same, NaN where tokens are unknown."""
        place, at = self.ladder.place, self.at
        return np.log(place.tokens / place.parameters), np.log(at.tokens / at.parameters)

    def off_line(self) -> tuple[Array, Array] | None:
        """Return ln D / N of both off the line in ln C that the models keep to; None where tokens are unknown."""
        (x, at), (turn, turn_at) = self.x, self.turn
        if not (np.isfinite(turn).all() and np.isfinite(turn_at).all()):
            return None
        design, design_at = (np.stack([np.ones_like(c), c], axis=1) for c in (x, at))
        line = np.linalg.lstsq(design, turn, rcond=None)[0]
        return turn - design @ line, turn_at - design_at @ line

    def second(self) -> tuple[Array, Array] | None:
        """Return `turn` where it varies apart from ln C, so that laws can tell N from D; None elsewhere."""
        off = self.off_line()
        return self.turn if off and off[0].std() > _APART * np.ptp(self.x[0]) else None


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Scores, (T, K); of predictors that know them also the curve's variance in the unit's first link, (T, K).

    noise: the variance of a measurement about its curve over its squared standard error, (T,).
    """

    scores: Array
    variance: Array | None = None
    noise: Array | None = None


# Predicts parts of one unit, those of several families together; None for a part that it cannot predict.
Predictor = Callable[[Sequence[Part]], "list[Predicted | None]"]
