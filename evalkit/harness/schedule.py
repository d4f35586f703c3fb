"""Schedule: which block or unit a worker does next, for any number of workers.

A worker gets the units of the blocks that it has planned, whose prompts it holds; then a block that nobody has planned,
of the task that it has at hand if there is one; then units of others, which it takes from the end. With a cache, a unit
that shares a request with an earlier one waits for it, and blocks enter in order: so which requests go together does
not depend on the number of workers, or on which of them was fastest.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from evalkit.harness.units import Block, UnitPlan


@dataclass(eq=False)
class Planned:
    """A unit that is to be done. number: its place in the block.

    waits: how many earlier units it waits for. followers: those that wait for it.
    """

    block: Block
    number: int
    plan: UnitPlan
    waits: int = 0
    followers: list[Planned] = field(default_factory=list)

    def __lt__(self, unit: Planned) -> bool:
        return self.number < unit.number


@dataclass(eq=False)
class _Open:
    """A block that a worker has begun. plans: its units, once they are known. entered: whether they may be handed out.

    ready: units that wait for nothing. waiting: how many wait for others.
    """

    worker: int
    plans: Sequence[UnitPlan] | None = None
    entered: bool = False
    ready: deque[Planned] = field(default_factory=deque)
    waiting: int = 0


class Schedule:
    """Hands out blocks and units. ordered: whether blocks enter in order, as a cache needs it."""

    def __init__(self, blocks: Iterable[Block], *, ordered: bool):
        self._fresh: dict[str, deque[Block]] = {}
        for block in blocks:
            self._fresh.setdefault(block.cell.task, deque()).append(block)
        self._ordered = ordered
        self._at_hand: dict[int, str] = {}  # the task of the block that each worker has begun last
        self._open: dict[Block, _Open] = {}
        self._promised = 0
        self._workers: set[int] = set()
        self._askers: dict[bytes, Planned] = {}  # the last unit that needs a key, of those that are not done

    @property
    def left(self) -> bool:
        """Whether something has not been handed out yet."""
        return bool(self._fresh or self._open)

    def promise(self) -> bool:
        """Whether there is something for one more worker than before; `next` will return it."""
        if self._unpromised <= 0:
            return False
        self._promised += 1
        return True

    @property
    def scarce(self) -> bool:
        """Whether less is left than there are workers, so that none of it should wait behind something else."""
        return self._unpromised < len(self._workers)

    @property
    def _unpromised(self) -> int:
        fresh, ready = self._fresh.values(), (state.ready for state in self._open.values())
        return sum(map(len, fresh)) + sum(map(len, ready)) - self._promised

    def next(self, worker: int) -> Block | Planned | None:
        """Return what a worker should do, as promised; None if that has been dropped since."""
        self._promised -= 1
        self._workers.add(worker)
        own = next((block for block, state in self._open.items() if state.worker == worker and state.ready), None)
        if own:
            return self._hand_out(own, self._open[own].ready.popleft())
        if self._fresh:
            return self._begin(worker)
        longest = max(self._open, key=lambda block: len(self._open[block].ready), default=None)
        if longest is None or not self._open[longest].ready:
            return None
        return self._hand_out(longest, self._open[longest].ready.pop())

    def _begin(self, worker: int) -> Block:
        """Open a block of the next task."""
        task = self._next_task(worker)
        self._at_hand[worker] = task
        block = self._fresh[task].popleft()
        if not self._fresh[task]:
            del self._fresh[task]
        self._open[block] = _Open(worker)
        return block

    def _next_task(self, worker: int) -> str:
        """Return the task that this worker has at hand, or one that no worker has, or else the first."""
        first = next(iter(self._fresh))
        if self._ordered:
            return first
        own, others = self._at_hand.get(worker), set(self._at_hand.values())
        free = next((name for name in self._fresh if name not in others), first)
        return own if own in self._fresh else free

    def following(self, worker: int) -> Block | None:
        """Return the block that a worker would begin now; with several workers another may have begun it by then."""
        return self._fresh[self._next_task(worker)][0] if self._fresh else None

    def enter(self, block: Block, plans: Sequence[UnitPlan]) -> None:
        """Take the units of a block that are to be done."""
        if block in self._open:
            self._open[block].plans = plans
            self._admit_all()

    def finish(self, unit: Planned) -> None:
        """Let the units go on that wait for this one."""
        for key in unit.plan.each_key():
            if self._askers.get(key) is unit:
                del self._askers[key]
        for follower in unit.followers:
            follower.waits -= 1
            if follower.waits:
                continue
            if state := self._open.get(follower.block):
                state.waiting -= 1
                insort(state.ready, follower)
            else:  # it was dropped
                self.finish(follower)

    def drop(self, task: str) -> None:
        """Leave out what has not been handed out of a task."""
        self._fresh.pop(task, None)
        for block in [block for block in self._open if block.cell.task == task]:
            state = self._open.pop(block)
            for unit in state.ready:
                self.finish(unit)
        self._admit_all()

    def _admit_all(self) -> None:
        """Let the blocks enter that may."""
        for block, state in list(self._open.items()):
            if state.plans is None:
                if self._ordered:
                    return
            elif not state.entered:
                self._admit(block, state, state.plans)

    def _admit(self, block: Block, state: _Open, plans: Sequence[UnitPlan]) -> None:
        state.entered = True
        for number, plan in enumerate(plans):
            unit = Planned(block=block, number=number, plan=plan)
            keys = plan.each_key()
            for earlier in {id(asker): asker for key in keys if (asker := self._askers.get(key))}.values():
                earlier.followers.append(unit)
                unit.waits += 1
            self._askers.update(dict.fromkeys(keys, unit))
            if unit.waits:
                state.waiting += 1
            else:
                state.ready.append(unit)
        self._close_if_empty(block, state)

    def _hand_out(self, block: Block, unit: Planned) -> Planned:
        self._close_if_empty(block, self._open[block])
        return unit

    def _close_if_empty(self, block: Block, state: _Open) -> None:
        if state.entered and not state.ready and not state.waiting:
            del self._open[block]
