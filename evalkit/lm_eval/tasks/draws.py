"""Which shots each document gets: exactly the draws of lm-evaluation-harness 0.4.13.

One random.Random(1234) per task is consumed in the order of the documents. Where shots come from the scored split, one
extra is drawn and the document itself dropped.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from evalkit.errors import UsageError

Row = Mapping[str, Any]

# lm-evaluation-harness's seed of shots, which evalkit's seed 1 stands for.
FIRST_SEED = 1234


@dataclass(frozen=True)
class Draws:
    """Draws from a pool.

    documents: all scored ones in order, because each draw depends on those before it. own: the pool is the scored split
    (two unnamed splits count as the same, as in lm-eval). solved: whether a row of the pool has an answer; the others
    are skipped, which lm-eval does not do.
    """

    task: str
    sampler: str
    pool: Sequence[Row]
    documents: Sequence[Row]
    own: bool
    solved: Callable[[Row], bool] = lambda row: True
    _known: dict[tuple[int, int], list[list[int]]] = field(default_factory=dict)
    _solved: dict[int, bool] = field(default_factory=dict)

    def draw(self, place: int, *, count: int, seed: int) -> Sequence[int]:
        """Return the indices of pool rows that document `place` gets as shots; seed 1 is lm-eval's own.

        Raises UsageError for too small a pool.
        """
        if not count:
            return ()
        if (count, seed) not in self._known:
            rng = random.Random(FIRST_SEED - 1 + seed)
            self._known[count, seed] = [self._one(document, count, rng) for document in self.documents]
        return self._known[count, seed][place]

    def _one(self, document: Row, count: int, rng: random.Random) -> list[int]:
        everyone = range(len(self.pool))
        candidates = (i for i in everyone if self._suits(i, document))
        if self.sampler == "first_n":
            return list(islice(candidates, self._at_most(len(everyone), count)))
        drawn = rng.sample(everyone, self._at_most(len(everyone), count + self.own))
        drawn = [i for i in drawn if self._suits(i, document)][:count]
        if len(drawn) < count:  # the pool holds the document more than once, or rows without an answer
            rest = list(candidates)
            drawn = rng.sample(rest, self._at_most(len(rest), count))
        return drawn

    def _suits(self, place: int, document: Row) -> bool:
        """Whether a row of the pool may be a shot for a document."""
        if self.own and self.pool[place] == document:
            return False
        if place not in self._solved:
            self._solved[place] = self.solved(self.pool[place])
        return self._solved[place]

    def _at_most(self, size: int, count: int) -> int:
        if size < count:
            raise UsageError(f"--shots: {self.task} has {size} documents to draw from, {count} are needed")
        return count
