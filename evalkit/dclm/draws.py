"""Which shots each document gets: nanochat's draws, `random.Random(1234 + index)` from all others of the task."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.errors import UsageError
from evalkit.types import Example

# Seeds of nanochat's scripts/base_eval.py and core_eval.py: of the documents' order, and of the first document's shots.
ORDER, _FIRST = 1337, 1234


@dataclass(frozen=True)
class Draws:
    """Draws from a task's documents, in their shuffled order.

    distinct: no example with the same input as the scored one is a shot; nanochat leaves out only the scored one.
    """

    task: str
    pool: Sequence[Example]
    distinct: bool

    def check(self, count: int) -> None:
        """Raise UsageError where a document would get fewer shots than `count`."""
        inputs = Counter(example.input for example in self.pool)
        others = len(self.pool) - (max(inputs.values()) if self.distinct else 1)
        if others < count:
            raise UsageError(
                f"{self.task}: {count} shots are needed, there are {others} other documents to draw from for some"
            )

    def draw(self, index: int, *, count: int, seed: int) -> list[Example]:
        """Return the shots of document `index`; seed 1 draws as nanochat does."""
        if not count:
            return []
        rng = random.Random(_FIRST + index if seed == 1 else f"{seed}/{index}")
        # A sample depends on the number of candidates alone, so that their list need not be made.
        places = [place + (place >= index) for place in rng.sample(range(len(self.pool) - 1), count)]
        if self.distinct and not all(self._differs(place, index) for place in places):
            places = rng.sample([place for place in range(len(self.pool)) if self._differs(place, index)], count)
        return [self.pool[place] for place in places]

    def _differs(self, place: int, index: int) -> bool:
        return self.pool[place].input != self.pool[index].input
