"""In which order a gate reads a task's documents, and how many at a time.

The order is random but fixed by a seed, and a passage comes whole: the units read at any time are a random sample of
the benchmark's. Waves grow geometrically, so that looking costs little and no more than a wave is read in vain.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit.stats.bisection import crossing

# Units of the first wave; from then on each look sees this many times the units of the one before.
FIRST = 20
GROWTH = 1.2

_UNITS_OF_TIME = {"s": 1.0, "m": 60.0, "h": 3600.0}
_UNITS_OF_NUMBER = {"k": 1e3, "M": 1e6}
# Of the bisection that fits a wave into what is left of a budget.
_STEPS = 40


class Part(NamedTuple):
    """A task at one number of shots: what is read, and left off, by itself."""

    task: str
    shots: int

    def __str__(self) -> str:
        """Return the name in messages and files."""
        return f"{self.task} {self.shots}-shot"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A task's documents in the order of reading.

    ids: (n,) hashed. ranks: (n,) ascending, the place of each one's unit: a passage, or the document itself.
    """

    ids: NDArray[np.uint64]
    ranks: NDArray[np.int64]

    @property
    def units(self) -> int:
        """Return how many units the task has."""
        return int(self.ranks[-1]) + 1

    @property
    def largest(self) -> int:
        """Return how many documents the largest unit has."""
        return int(np.bincount(self.ranks).max())

    def documents(self, units: int) -> int:
        """Return how many documents the first units have."""
        return int(np.searchsorted(self.ranks, units))

    def ranks_of(self, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the ranks of hashed ids, beyond all of them for one that is not to be read."""
        order = np.argsort(self.ids)
        places = np.minimum(np.searchsorted(self.ids[order], ids), len(order) - 1)
        return np.where(self.ids[order][places] == ids, self.ranks[order][places], self.units)


def shuffled(
    ids: NDArray[np.uint64], clusters: Sequence[int], *, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Shuffle units -> (n,) places of the documents in the order of reading, and the (n,) ranks of their units.

    ids: (n,) hashed. clusters: a number per document, equal for those of one passage. A unit's rank is a hash of its
    lowest id: neither the order of the files nor the size of a passage matters.
    """
    lowest: dict[int, int] = {}
    for cluster, number in zip(clusters, ids.tolist(), strict=True):
        lowest[cluster] = min(number, lowest.get(cluster, number))
    keys = {cluster: hashlib.sha256(f"{seed}/{number}".encode()).digest() for cluster, number in lowest.items()}
    rank = {cluster: i for i, cluster in enumerate(sorted(keys, key=keys.__getitem__))}
    ranks = np.asarray([rank[cluster] for cluster in clusters], dtype=np.int64)
    places = np.lexsort((ids, ranks))
    return places, ranks[places]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a gate may spend: documents over all tasks and numbers of shots, or seconds of one start."""

    documents: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.seconds:g}s" if self.seconds is not None else str(self.documents)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `2000`, `2k` (documents), `90s`, `10m` or `1h`. Raises UsageError for anything else."""
        unit = text[-1:]
        factor = _UNITS_OF_TIME.get(unit) or _UNITS_OF_NUMBER.get(unit)
        try:
            value = float(text[:-1] if factor else text) * (factor or 1.0)
        except ValueError:
            value = 0.0
        if not 0 < value < math.inf or (unit not in _UNITS_OF_TIME and value != int(value)):
            raise UsageError(
                f"--budget {text!r}: expected documents such as 2000 or 2k, or a time such as 90s, 10m or 1h"
            )
        return cls(seconds=value) if unit in _UNITS_OF_TIME else cls(documents=int(value))


def next_wave(orders: Mapping[Part, Order], read: Mapping[Part, int], *, room: float) -> dict[Part, int]:
    """Return how many units of each part are to have been read after the next wave.

    orders: of the parts that are undecided. read: units that each has read. room: the documents that may still be read;
    a wave that does not fit is made smaller for all parts alike. Parts that would read nothing are left out.
    """
    steps = {name: _next(read[name], order.units) - read[name] for name, order in orders.items()}

    def wave(share: float) -> dict[Part, int]:
        sizes = {name: read[name] + math.floor(share * step) for name, step in steps.items()}
        return {name: size for name, size in sizes.items() if size > read[name]}

    def cost(share: float) -> int:
        return sum(
            orders[name].documents(size) - orders[name].documents(read[name]) for name, size in wave(share).items()
        )

    if cost(1.0) <= room:
        return wave(1.0)
    largest = crossing(lambda share: cost(share) <= room, 0.0, 1.0, steps=_STEPS)
    return wave(largest - 2.0**-_STEPS)


def _next(read: int, units: int) -> int:
    """Return where the next wave ends: at the end of the task if little would be left."""
    size = max(FIRST, math.ceil(GROWTH * read))
    return units if size + FIRST // 2 >= units else size
