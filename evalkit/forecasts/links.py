"""The scales on which scores are extrapolated, where growing compute moves them nearly along lines.

share   scores with a ceiling, as shares of it (of metrics in which less is better, 1 - the share):
        -ln(1 - share), on which a power law of the error is a line, and ln((share + OFFSET) / (1 - share)), on which a
        sigmoid is one; its OFFSET keeps the noise of scores near 0 from growing without bound
ratio   positive values without a ceiling: the logarithm, with its sign turned where less is better
plain   other values: themselves, over the largest one of the series, likewise turned

Scores are what the links take: shares, ratios turned so that more is better (1 / value), plain numbers turned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Unit = Literal["share", "ratio", "plain"]

OFFSET = 0.2
_TINY = 1e-9  # a share is never closer to 1
_FARTHEST = 100.0  # what lies farther out on a scale counts as this, so that nothing overflows


@dataclass(frozen=True, kw_only=True)
class Link:
    """A scale, the way back to scores, and the slope: d scale / d score, at a score."""

    to: Callable[[Array], Array]
    back: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def _odds(share: Array) -> Array:
    return np.asarray(np.log((np.maximum(share, 0) + OFFSET) / np.maximum(1 - share, _TINY)))


def _share_of_odds(odds: Array) -> Array:
    odds = np.exp(np.minimum(odds, _FARTHEST))
    return np.asarray(np.maximum(0.0, (odds - OFFSET) / (1 + odds)))


ERROR = Link(
    to=lambda share: np.asarray(-np.log(np.maximum(1 - share, _TINY))),
    back=lambda y: np.asarray(1 - np.exp(np.minimum(-y, _FARTHEST))),
    slope=lambda share: np.asarray(1 / np.maximum(1 - share, _TINY)),
)
ODDS = Link(
    to=_odds,
    back=_share_of_odds,
    slope=lambda share: np.asarray(1 / (np.maximum(share, 0) + OFFSET) + 1 / np.maximum(1 - share, _TINY)),
)
RATIO = Link(
    to=lambda ratio: np.asarray(np.log(ratio)),
    back=lambda y: np.asarray(np.exp(np.clip(y, -_FARTHEST, _FARTHEST))),
    slope=lambda ratio: np.asarray(1 / ratio),
)
PLAIN = Link(to=np.asarray, back=np.asarray, slope=lambda score: np.ones_like(score))

# The first link of a unit is the one in which forecasts are combined and bands are symmetric.
LINKS: Mapping[Unit, tuple[Link, ...]] = {"share": (ERROR, ODDS), "ratio": (RATIO,), "plain": (PLAIN,)}
