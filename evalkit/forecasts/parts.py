"""What predictors take and give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.forecasts.ladders import Ladder, Place
from evalkit.forecasts.links import Array


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
        return tuple(np.log(place.tokens / place.parameters) for place in (self.ladder.place, self.at))  # type: ignore[return-value]


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
