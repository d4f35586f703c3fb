"""The waves of a gate: those that earlier starts have read, then new ones until the budget is spent.

A journal holds a line per wave, written before it is read: what was read does not depend on how fast the machine is the
second time, so that a start that goes on ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

from evalkit.errors import UsageError
from evalkit.files import canonical_json
from evalkit.gates.reading import Budget, Order, Part, next_wave
from evalkit.runs.journal import Journal, seal


class Waves:
    """Plans waves. orders: of all parts. journal: open; None where nothing is kept, because nothing is computed."""

    def __init__(self, orders: Mapping[Part, Order], budget: Budget, journal: Journal | None = None):
        self._orders, self._budget, self._journal = orders, budget, journal
        lines: list[Mapping[str, Any]] = []
        if journal:
            journal.recover(lambda raw, offset: lines.append(_parsed(raw)))
        self._earlier = [
            line
            for i, line in enumerate(lines)
            if "read" in line or (i == len(lines) - 1 and line["budget"] == str(budget))
        ]
        self._began, self._new = monotonic(), 0
        self.read = dict.fromkeys(orders, 0)
        self.count = 0
        self.spent = False

    @property
    def documents(self) -> int:
        """Return how many documents of all parts have been planned up to now."""
        return sum(order.documents(self.read[name]) for name, order in self._orders.items())

    def next(self, undecided: set[Part]) -> dict[Part, int]:
        """Return how many units of each part are to be read by then; none if all is decided or the budget is spent."""
        if not undecided:
            return {}
        wave = self._again() if self._earlier else self._planned(undecided)
        self.read |= wave
        self.count += bool(wave)
        self.spent = not wave
        return wave

    def _again(self) -> dict[Part, int]:
        """Return what an earlier start read next; none where it ended with a budget that this one has too."""
        read = self._earlier.pop(0).get("read", {})
        return {part: read[str(part)] for part in self._orders if str(part) in read}

    def _planned(self, undecided: set[Part]) -> dict[Part, int]:
        before = self.documents
        orders = {name: order for name, order in self._orders.items() if name in undecided}
        wave = next_wave(orders, self.read, room=self._room())
        if not self.count and len(wave) < len(orders):
            raise UsageError(
                f"--budget {self._budget}: too small for a document of each of {len(orders)} tasks and shots"
            )
        after = sum(self._orders[name].documents(units) for name, units in (self.read | wave).items())
        self._new += after - before
        self._note(
            {"read": {str(part): units for part, units in wave.items()}} if wave else {"budget": str(self._budget)}
        )
        return wave

    def _room(self) -> float:
        """Return how many documents the budget leaves; of a time, as many as were read in such a time before."""
        if self._budget.documents is not None:
            return self._budget.documents - self.documents
        if self._budget.seconds is None or not self._new:
            return float("inf")
        spent = monotonic() - self._began
        return max(0.0, self._budget.seconds - spent) * self._new / spent

    def _note(self, line: Mapping[str, Any]) -> None:
        if self._journal:
            self._journal.append([seal(canonical_json(line), self._journal.run)])
            self._journal.sync()


def _parsed(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a line of the journal. Raises ValueError for anything else."""
    read = raw.get("read")
    if isinstance(raw.get("budget"), str) or (
        isinstance(read, dict) and read and all(type(units) is int and units > 0 for units in read.values())
    ):
        return raw
    raise ValueError("it is no wave of a gate")
