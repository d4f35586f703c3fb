"""Matthews correlation of a yes/no judgement made by a threshold on the mean log-probability of a token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evalkit.files import digest
from evalkit.metrics.base import Array, Metric
from evalkit.types import Example, Response

# Bins of the mean log-probability: from -12 up to 0 nats in steps of an eighth.
_STEP, _BINS = 0.125, 96
_FOLDS = 2


class Matthews(Metric):
    """Matthews correlation x 100 of "likely means yes" (GPT-1, section 5, on CoLA).

    The example is a yes where its `gold` is 0. The threshold never sees the documents that it judges: they are split
    into halves by a hash of their input, and each half is judged with the threshold that is best on the other. Only
    counts are summed, so thresholds lie on a grid of eighths of a nat. 0 where all are judged or labelled alike.
    """

    name = "matthews"
    scale = 100.0
    least = -1.0

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return 2 halves x yes and no x 96 bins: a single 1 in the bin of the mean log-probability."""
        mean = sum(r.loglikelihood for r in responses) / max(1, sum(r.tokens for r in responses))
        place = int(np.clip(np.floor(mean / _STEP) + _BINS, 0, _BINS - 1))
        counts = np.zeros((_FOLDS, 2, _BINS))
        counts[int(digest(example.input), 16) % _FOLDS, int(example.gold == 0), place] = 1.0
        return tuple(counts.ravel().tolist())

    def aggregate(self, sums: Array, n: Array) -> Array:
        """Return the correlation of all judgements together, -1 to 1."""
        counts = sums.reshape(*sums.shape[:-1], _FOLDS, 2, _BINS)
        # (..., halves, no and yes, thresholds): how many lie at or above each bin's lower edge.
        above = np.flip(np.cumsum(np.flip(counts, -1), -1), -1)
        total = counts.sum(-1, keepdims=True)
        cells = np.stack([above[..., 1, :], above[..., 0, :], total[..., 1, :] - above[..., 1, :]], axis=-2)
        cells = np.concatenate([cells, (total[..., 0, :] - above[..., 0, :])[..., None, :]], axis=-2)
        best = correlation(np.moveaxis(cells, -2, -1)).argmax(-1)
        chosen = np.take_along_axis(cells, np.flip(best, -1)[..., None, None], axis=-1)[..., 0]
        return correlation(chosen.sum(axis=-2))

    def signature(self) -> str:
        """Name the way the threshold is chosen."""
        return f"threshold:best-of-the-other-half|grid:{_STEP}"


def correlation(cells: Array) -> Array:
    """Compute the correlation of (..., 4) counts: yes as yes, no as yes, yes as no, no as no; 0 without a spread."""
    hit, false, missed, right = (cells[..., i] for i in range(4))
    below = np.sqrt((hit + false) * (hit + missed) * (right + false) * (right + missed))
    return np.where(below > 0, (hit * right - false * missed) / np.where(below > 0, below, 1.0), 0.0)
