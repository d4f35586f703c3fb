"""The order in which a gate reads, its waves, and what a budget may be."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.errors import UsageError
from evalkit.gates.reading import FIRST, Budget, Order, next_wave, shuffled


def order(n, clusters=None, seed=0):
    ids = np.arange(1000, 1000 + n, dtype=np.uint64)
    clusters = list(range(n)) if clusters is None else clusters
    places, ranks = shuffled(ids, clusters, seed=seed)
    return Order(ids=ids[places], ranks=ranks)


def test_passages_are_read_whole_in_an_order_that_only_the_seed_decides():
    clusters = [0, 0, 0, 1, 2, 2, 3, 3, 3, 3]
    one = order(10, clusters)
    by_rank = {rank: set(one.ids[one.ranks == rank].tolist()) for rank in range(one.units)}
    assert sorted(map(sorted, by_rank.values())) == [
        [1000, 1001, 1002],
        [1003],
        [1004, 1005],
        [1006, 1007, 1008, 1009],
    ]
    assert (one.units, one.largest, one.documents(one.units)) == (4, 4, 10)
    # The order of the file and the numbers of the passages do not matter.
    ids = np.arange(1009, 999, -1).astype(np.uint64)
    places, ranks = shuffled(ids, [9, 9, 9, 9, 5, 5, 7, 1, 1, 1], seed=0)
    assert ids[places].tolist() == one.ids.tolist() and ranks.tolist() == one.ranks.tolist()
    assert order(10, clusters, seed=1).ids.tolist() != one.ids.tolist()


def test_large_passages_do_not_come_earlier():
    sizes = [1] * 300 + [8] * 300
    clusters = np.repeat(np.arange(600), sizes).tolist()
    one = order(len(clusters), clusters)
    counts = np.bincount(one.ranks)
    assert 0.4 < (counts[:300] == 8).mean() < 0.6


def test_ranks_of_ids():
    one = order(5)
    assert one.ranks_of(one.ids[::-1]).tolist() == [4, 3, 2, 1, 0]
    assert one.ranks_of(np.asarray([7], dtype=np.uint64)).tolist() == [5]


def test_waves_grow_and_end_with_the_task():
    orders, read, sizes = {"a": order(100)}, {"a": 0}, []
    while wave := next_wave(orders, read, room=float("inf")) if read["a"] < 100 else {}:
        read |= wave
        sizes.append(read["a"])
    assert sizes == [FIRST, 24, 29, 35, 42, 51, 62, 75, 100]


def test_a_wave_is_cut_to_the_room_for_all_tasks_alike():
    orders = {"a": order(100), "b": order(100)}
    assert next_wave(orders, {"a": 0, "b": 0}, room=11) == {"a": 5, "b": 5}
    assert next_wave(orders, {"a": 80, "b": 20}, room=4) == {"a": 84}
    assert next_wave(orders, {"a": 0, "b": 0}, room=1) == {}


def test_passages_count_by_their_documents():
    orders = {"a": order(60, [i // 3 for i in range(60)])}
    assert next_wave(orders, {"a": 0}, room=30) == {"a": 10}


def test_budgets():
    assert Budget.parse("2000") == Budget(documents=2000) == Budget.parse("2k")
    assert Budget.parse("90s") == Budget(seconds=90.0) and Budget.parse("1.5h") == Budget(seconds=5400.0)
    assert str(Budget.parse("10m")) == "600s" and str(Budget.parse("2k")) == "2000"
    for text in ("", "0", "-3", "ten", "1.5", "nans", "infs", "3d", "m"):
        with pytest.raises(UsageError, match="--budget"):
            Budget.parse(text)
