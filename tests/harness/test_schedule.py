"""The schedule: everything once, and the same requests together, whatever the workers do."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from evalkit.harness.schedule import Schedule
from evalkit.harness.units import Block, UnitPlan
from evalkit.types import Cell

# Blocks of units of the tokens that they ask.
BLOCKS = st.lists(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), max_size=5), max_size=6)


def block(number: int, *, task: str = "t") -> Block:
    return Block(0, Cell(task=task, protocol="p", shots=0, seed=1), number, number + 1)


def plans(asked: Sequence[Sequence[int]], *, keyed: bool) -> list[UnitPlan]:
    return [
        UnitPlan(documents=tuple(each), requests=len(each), keys=b"".join(key.to_bytes(16, "big") for key in each))
        if keyed
        else UnitPlan(documents=tuple(each), requests=len(each))
        for each in asked
    ]


def run(blocks, *, workers: int, seed: int, keyed: bool = True):
    """Do everything with workers that have two jobs each, and finish in any order: who asks which keys."""
    rng = random.Random(seed)
    schedule = Schedule(map(block, range(len(blocks))), ordered=keyed)
    known: set[int] = set()
    asked: dict[tuple[int, int], list[int]] = {}
    jobs: list[tuple[int, object]] = []
    began = []
    while schedule.left or jobs:
        free = [w for w in range(workers) if sum(w == worker for worker, _ in jobs) < 2]
        if schedule.left and free and rng.random() < 0.7 and schedule.promise():
            worker = rng.choice(free)
            work = schedule.next(worker)
            assert work is not None
            if not isinstance(work, Block):
                asked[work.block.start, work.number] = sorted(set(work.plan.documents) - known)
                began.append((worker, work.block.start))
            jobs.append((worker, work))
            continue
        if not jobs:
            continue
        worker, work = jobs.pop(rng.randrange(len(jobs)))
        if isinstance(work, Block):
            schedule.enter(work, plans(blocks[work.start], keyed=keyed))
        else:
            known.update(asked[work.block.start, work.number])
            schedule.finish(work)
    assert len(began) == len(asked) == sum(map(len, blocks))
    return asked, began


@given(blocks=BLOCKS, seed=st.integers(0, 999), workers=st.integers(2, 4), keyed=st.booleans())
def test_every_unit_once_and_the_same_requests_together(blocks, seed, workers, keyed):
    several, _ = run(blocks, workers=workers, seed=seed, keyed=keyed)
    one, _ = run(blocks, workers=1, seed=0, keyed=keyed)
    assert several.keys() == one.keys()
    if keyed:
        assert several == one


def test_a_worker_does_the_blocks_that_it_has_planned_and_then_takes_from_the_end_of_others():
    schedule = Schedule([block(0), block(1)], ordered=False)

    def take(worker):
        assert schedule.promise()
        return schedule.next(worker)

    first, second = take(0), take(1)
    schedule.enter(second, plans([[1], [2], [3]], keyed=False))
    schedule.enter(first, plans([[4], [5], [6], [7]], keyed=False))
    assert [take(worker).block.start for worker in (0, 1, 1, 1)] == [0, 1, 1, 1]
    stolen = take(1)
    assert (stolen.block.start, stolen.number) == (0, 3)
    assert [take(0).number for _ in range(2)] == [1, 2]
    assert not schedule.left and not schedule.promise()


def test_a_worker_stays_with_a_task_while_there_are_others():
    blocks = [block(number, task=task) for number, task in enumerate("aabbc")]

    def begun(workers, *, ordered):
        schedule = Schedule(blocks, ordered=ordered)
        return "".join(schedule.next(worker).cell.task for worker in workers if schedule.promise())

    assert begun((0, 1, 1, 0, 2), ordered=False) == "abbac"
    assert begun((0, 1, 2, 3, 3), ordered=False) == "abcab"
    assert begun((0, 1, 1, 0, 2), ordered=True) == "aabbc"


@given(blocks=BLOCKS, keyed=st.booleans())
def test_what_one_worker_begins_next_is_known_before(blocks, keyed):
    schedule = Schedule([block(i, task="ab"[i % 2]) for i in range(len(blocks))], ordered=keyed)
    following = schedule.following(0)
    while schedule.left and schedule.promise():
        work = schedule.next(0)
        if isinstance(work, Block):
            assert work == following
            following = schedule.following(0)
            schedule.enter(work, plans(blocks[work.start], keyed=keyed))
        elif work:
            schedule.finish(work)
    assert following is None


def test_the_last_units_are_scarce():
    schedule = Schedule([block(0), block(1)], ordered=False)
    assert not schedule.scarce and schedule.promise()
    begun = schedule.next(0)
    assert not schedule.scarce and schedule.promise()
    schedule.next(1)
    assert schedule.scarce  # nothing for two workers, as far as is known
    schedule.enter(begun, plans([[1], [2], [3]], keyed=False))
    assert [(schedule.scarce, schedule.promise()) for _ in range(3)] == [(False, True), (False, True), (True, True)]


def test_what_is_promised_is_not_promised_twice_and_may_be_dropped():
    schedule = Schedule([block(0), block(1, task="other")], ordered=False)
    assert [schedule.promise() for _ in range(3)] == [True, True, False]
    begun = schedule.next(0)
    schedule.drop("other")
    assert schedule.next(1) is None
    schedule.enter(begun, plans([[1]], keyed=False))
    assert schedule.promise() and schedule.next(0).number == 0 and not schedule.left


def test_a_unit_waits_for_an_earlier_one_and_a_dropped_task_holds_nobody_up():
    blocks = [block(0), block(1, task="bad"), block(2, task="u")]
    schedule = Schedule(blocks, ordered=True)
    for _ in blocks:
        schedule.promise()
        schedule.next(0)
    schedule.enter(blocks[2], plans([[1], [2], [3]], keyed=True))
    assert not schedule.promise()  # the blocks before it have to come first
    schedule.enter(blocks[0], plans([[1, 2]], keyed=True))
    assert schedule.promise() and not schedule.promise()
    running = schedule.next(0)
    schedule.enter(blocks[1], plans([[2], [9], [3]], keyed=True))
    schedule.drop("bad")  # of which the first unit waits for the running one, and the last was waited for
    assert schedule.promise() and schedule.next(0).plan.documents == (3,)
    assert not schedule.promise() and schedule.left
    schedule.finish(running)
    assert [schedule.promise() and schedule.next(0).plan.documents for _ in range(2)] == [(1,), (2,)]
    assert not schedule.left


def test_a_dropped_block_that_is_still_being_planned_holds_nobody_up():
    schedule = Schedule([block(0, task="bad"), block(1)], ordered=True)
    for _ in range(2):
        schedule.promise()
        schedule.next(0)
    schedule.enter(block(1), plans([[1]], keyed=True))
    assert not schedule.promise()
    schedule.drop("bad")
    schedule.enter(block(0, task="bad"), plans([[1]], keyed=True))
    assert schedule.promise() and schedule.next(0).block == block(1) and not schedule.left
