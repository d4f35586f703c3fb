"""The order test, with engines whose knowledge of the order is known."""

from __future__ import annotations

import random
from itertools import pairwise, product

import numpy as np
import pytest
from scipy import stats

from evalkit.contamination import orders
from evalkit.contamination.documents import Item
from evalkit.contamination.orders import OrderTest, order_test
from evalkit.engine.fake import FakeEngine
from evalkit.errors import CheckpointError
from evalkit.types import Response

ITEMS = [Item(text=f"item {i:03}") for i in range(80)]


def read(request):
    """The numbers of the items that a text consists of."""
    return [int(text.removeprefix("item ")) for text in bytes(request.continuation_ids).decode().split("\n\n")[:-1]]


def engine(answer, **options):
    return FakeEngine("orders", lambda request: Response(loglikelihood=answer(request)), **options)


def knowing():
    """An engine to which an item is likely after the one before it in the file."""
    return engine(lambda request: sum(second == first + 1 for first, second in pairwise(read(request))))


def ignorant(seed=0):
    """An engine to which each text is as likely as chance has it."""
    return engine(lambda request: random.Random(f"{seed} {request.continuation_ids}").gauss(-500, 3))


def test_a_model_that_knows_the_order_is_found_out():
    result = order_test(ITEMS, knowing())
    assert result.p == 1 / 10_000 and result.student_p < 1e-6
    assert (result.gains > 0).all() and result.documents == 80


def test_p_of_a_model_that_does_not_know_it_is_uniform():
    ps = [order_test(ITEMS[:40], ignorant(seed), permutations=9, seed=seed).p for seed in range(200)]
    assert stats.kstest(ps, "uniform").pvalue > 0.05


def test_equal_orders_count_as_ties():
    # two documents have one other order, which half of the shuffles do not reach; nothing is learned from a constant
    result = order_test(ITEMS[:20], engine(lambda request: -7.0))
    assert result.p == 1.0 and np.isnan(result.student_p)


def test_passages_stay_together_and_levels_keep_their_places():
    items = [Item(text=f"item {i:03}", cluster=str(i // 2), level="ab"[i // 2 % 2]) for i in range(24)]
    asked = engine(lambda request: 0.0, context_length=100)
    order_test(items, asked)
    orders_read = [read(request) for request in asked.asked]
    assert any(order != sorted(order) for order in orders_read)
    for order in orders_read:
        assert all(second == first + 1 for first, second in zip(order[::2], order[1::2], strict=True))
        assert [i // 2 % 2 for i in order] == [i // 2 % 2 for i in sorted(order)]


@pytest.mark.parametrize(
    "items",
    [
        [Item(text="item 1", level="a"), Item(text="item 2", level="b")],
        [Item(text=f"item {i}", cluster="passage") for i in range(9)],
        [Item(text="item 1")],
    ],
)
def test_without_two_that_can_change_places_there_is_no_test(items):
    assert order_test(items, ignorant()) is None


def test_a_passage_is_read_once():
    texts = [f"story {i // 2} Q{i} yes" for i in range(40)]
    items = [Item(text=text, cluster=str(i // 2)) for i, text in enumerate(texts)]
    asked = engine(lambda request: 0.0)
    assert order_test(items, asked, shards=1).documents == 4
    first = bytes(asked.asked[0].continuation_ids).decode()
    assert first == "story 0 Q0 yes\n\nQ1 yes\n\nstory 1 Q2 yes\n\nQ3 yes\n\n"


def test_shards_fill_the_context_and_are_spread_over_the_file():
    asked = engine(lambda request: 0.0, context_length=100)  # ten items of ten bytes
    result = order_test(ITEMS, asked, shards=3)
    first = {tuple(sorted(read(request))) for request in asked.asked}
    assert first == {tuple(range(start, start + 10)) for start in (0, 40, 70)} and result.documents == 30


def test_the_t_test_is_that_of_scipy():
    table = np.random.default_rng(5).normal(size=(12, 8))
    test = OrderTest(documents=60, loglikelihoods=table, p=0.5)
    expected = stats.ttest_1samp(table[:, 0] - table[:, 1:].mean(1), 0, alternative="greater").pvalue
    assert test.student_p == pytest.approx(expected)


def test_p_is_the_share_of_all_choices_of_an_order_per_shard():
    table = np.random.default_rng(7).normal(size=(4, 5))
    table[:, 0] += 0.7
    sums = [sum(row[place] for row, place in zip(table, places, strict=True)) for places in product(range(5), repeat=4)]
    exact = np.mean([value >= table[:, 0].sum() for value in sums])
    assert orders._exact(table, seed=1) == pytest.approx(exact, abs=0.01)


def test_an_error_of_the_engine_ends_the_test():
    broken = FakeEngine("broken", lambda request: Response(error="the tokenizer gives the id 9"))
    with pytest.raises(CheckpointError, match="the id 9"):
        order_test(ITEMS, broken)
