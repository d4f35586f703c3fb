"""The distribution that a forecast and its band stand for, and the proper scores of it.

Two halves of normal distributions that meet at the forecast, which is the median; their widths are those of the band's
two sides. With a symmetrical band that is the normal distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()
_BELOW = (math.sqrt(2) - 1) / (2 * math.sqrt(math.pi))  # the integral of the normal distribution's F^2 below its median


@dataclass(frozen=True, kw_only=True)
class Predictive:
    """A distribution with this median; below and above: the standard deviations of its two halves, 0 for a point."""

    median: float
    below: float
    above: float

    @classmethod
    def of_band(cls, value: float, low: float, high: float, *, level: float) -> Predictive:
        """Return the distribution of a forecast and its two-sided band at `level`."""
        reach = _NORMAL.inv_cdf((1 + level) / 2)
        return cls(median=value, below=max(0.0, value - low) / reach, above=max(0.0, high - value) / reach)

    def cdf(self, x: float) -> float:
        """Return the probability of at most x."""
        width = self.below if x < self.median else self.above
        if width == 0:
            return 0.0 if x < self.median else 1.0
        return _NORMAL.cdf((x - self.median) / width)

    def crps(self, actual: float) -> float:
        """Return the continuous ranked probability score, in the value's unit; 0 is perfect.

        The integral of (F(x) - [x >= actual])^2 (Gneiting and Raftery 2007, section 4.2), which for a point is the
        absolute error. The half that holds the actual value contributes what a normal one's does (their equation 21).
        """
        near, far = (self.below, self.above) if actual < self.median else (self.above, self.below)
        distance = abs(actual - self.median)
        if near == 0:
            return distance + far * _BELOW
        z = distance / near
        whole = z * (2 * _NORMAL.cdf(z) - 1) + 2 * _NORMAL.pdf(z) - 1 / math.sqrt(math.pi)
        return near * (whole - _BELOW) + far * _BELOW
