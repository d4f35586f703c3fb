"""The tree of prefixes: every node once, every pair of tokens that see each other, whatever the budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engine.prefix_tree import Forest, Leaf, common_prefix

# Few different tokens, so that prefixes are nested, equal, crossing and empty; long runs make trunks and full rows.
words = st.lists(st.integers(0, 1), max_size=6)
runs = st.integers(0, 150).map(lambda n: [7] * n)
leaves = st.lists(
    st.tuples(runs, words, words, st.integers(1, 4)).map(
        lambda parts: Leaf((5, *parts[0], *parts[1], 6, *parts[2]), tuple(range(min(parts[3], len(parts[1]) + 1))))
    ),
    min_size=1,
    max_size=30,
)


def batches(forest, tokens):
    first = 0
    while first < len(forest.leaves):
        yield (batch := forest.batch(first, tokens=tokens))
        first = batch.last


def scored(leaf):
    return range(len(leaf.tokens) - len(leaf.targets), len(leaf.tokens))


def paths(forest, tokens):
    """Yield each batch with the prefix (all tokens down to it) of every token that it numbers, held ones included."""
    held, last = [], 0
    for batch in batches(forest, tokens):
        assert all(last <= state for state in batch.states if state < batch.held)
        prefixes = list(held)
        for token, place in zip(batch.tokens, batch.places[batch.held :], strict=True):
            above = next(p for p in reversed([(), *prefixes]) if len(p) <= place)[:place]
            prefixes.append((*above, int(token)))
        yield batch, prefixes
        held, last = [prefixes[i] for i in batch.keep], batch.keep_states
        later = {leaf.tokens[: i + 1] for leaf in forest.leaves[batch.last :] for i in scored(leaf)}
        assert last == next((i for i, prefix in enumerate(held) if prefix in later), len(held))


@given(leaves, st.sampled_from([1, 50, 200, 10_000]))
def test_every_prefix_is_read_once_and_every_leaf_finds_its_states(leaves, tokens):
    forest = Forest(leaves)
    read, answered = [], {}
    for batch, prefixes in paths(forest, tokens):
        different = {leaf.tokens for leaf in forest.leaves[batch.first : batch.last]}
        assert len(batch.tokens) <= tokens or len(different) == 1
        assert [len(prefix) - 1 for prefix in prefixes] == batch.places.tolist()
        read += prefixes[batch.held :]
        start = 0
        for i in range(batch.first, batch.last):
            leaf = forest.leaves[i]
            stop = start + len(leaf.targets)
            states = batch.states[batch.sources[start:stop]]
            length = len(leaf.tokens)
            wanted = [leaf.tokens[: length - len(leaf.targets) + 1 + j] for j in range(len(leaf.targets))]
            assert [prefixes[state] for state in states] == wanted
            assert batch.targets[start:stop].tolist() == list(leaf.targets)
            answered[forest.order[i]] = leaf
            start = stop
        assert start == len(batch.targets)
    assert sorted(read) == sorted({leaf.tokens[: i + 1] for leaf in leaves for i in range(len(leaf.tokens))})
    assert [answered[i] for i in range(len(leaves))] == leaves


@given(leaves, st.sampled_from([1, 50, 200, 10_000]))
def test_rows_hold_every_token_once_and_all_that_it_sees(leaves, tokens):
    for batch, prefixes in paths(Forest(leaves), tokens):
        queries = []
        for rows, trunk in [*((r, 0) for r in batch.trunk_rows), *((r, batch.trunk) for r in batch.rows)]:
            for query, key in zip(rows.queries.tolist(), rows.keys.tolist(), strict=True):
                own = [q for q in query if q >= 0]
                queries += own
                columns = [*range(trunk), *(k for k in key if k >= 0)]
                assert len(set(columns)) == len(columns)
                assert [k for k in key[len(key) - len(query) :] if k >= 0] == own
                for q in own:
                    seen = {k for k in columns if k <= q < batch.ends[k]}
                    assert {prefixes[k] for k in seen} == {prefixes[q][: i + 1] for i in range(len(prefixes[q]))}
        assert sorted(queries) == list(range(batch.held, len(prefixes)))


def test_what_all_leaves_share_becomes_a_trunk():
    shared = tuple(range(100))
    forest = Forest([Leaf((*shared, 200 + i, 300), (1,)) for i in range(10)])
    whole = forest.batch(0, tokens=1000)
    assert (whole.trunk, len(whole.tokens)) == (100, 120)
    assert sum(rows.queries.size for rows in whole.rows) < 40  # the trunk is in no row, and rows are full
    second = forest.batch(forest.batch(0, tokens=104).last, tokens=1000)
    assert (second.held, second.trunk) == (100, 100)


@given(st.lists(st.integers(0, 1), max_size=40), st.lists(st.integers(0, 1), max_size=40))
def test_common_prefix_equals_a_plain_loop(a, b):
    differ = np.flatnonzero([x != y for x, y in zip(a, b, strict=False)])
    assert common_prefix(a, b) == (differ[0] if len(differ) else min(len(a), len(b)))
