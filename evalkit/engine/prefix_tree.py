"""Sequences of tokens as a tree of prefixes, cut into batches without padding. Plain numpy, no network.

Sorted sequences are the tree's leaves in depth-first order: what a sequence shares with the one before it has been read
already, the rest is new. A batch is a run of leaves. Its tokens are the new ones, in that order; it also sees the
`held` ones: the path of the batch before it, down to where this batch begins. So every node of the tree is read once,
whatever the size of the batches.

Held tokens are numbered first, then the batch's own: one numbering for queries, keys and final states. In this order a
token's descendants follow it directly, so token q sees token k exactly if k <= q < ends[k].
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# Leaves are joined into rows of up to this many tokens, or four times as many if they belong to one subtree.
_ROW = 96
# From this many tokens on, the prefix that all leaves of a batch share is attended to separately.
_TRUNK = 32


class Leaf(NamedTuple):
    """A sequence to read, and the tokens to score: those that follow each of its last len(targets) positions."""

    tokens: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Runs of tokens whose attention is computed side by side; queries (R, T) and keys (R, S), padded with -1.

    A row's keys are its ancestors (without the trunk) followed by its own tokens, column for column.
    """

    queries: Ints
    keys: Ints


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The leaves first..last (exclusive) of a forest.

    tokens (N): the new ones. places, ends (held + N): each token's position in its sequence, and one past its last
    descendant. rows: all new tokens, once. trunk: the tokens 0..trunk are seen by all `rows` and are in none of them;
    those of them that are new have a row of their own in `trunk_rows`.
    states (U): tokens whose final state is needed; sources, targets (M): for every token to score, leaf by leaf, which
    of `states` predicts it, and what it is. keep: tokens that the next batch holds; later batches need the final states
    of keep[keep_states:] at most.
    """

    first: int
    last: int
    held: int
    tokens: Ints
    places: Ints
    ends: Ints
    trunk: int
    trunk_rows: tuple[Rows, ...]
    rows: tuple[Rows, ...]
    states: Ints
    sources: Ints
    targets: Ints
    keep: Ints
    keep_states: int


class Forest:
    """Leaves in depth-first order; a forest rather than a tree, because sequences may share nothing.

    order: each leaf's index in the sequence given. shared: how many leading tokens it shares with the leaf before.
    scored_from: where in these begin those whose final state it or a later leaf needs, `shared` if there are none.
    With an order given, leaves share only what follows each other in it.
    """

    def __init__(self, leaves: Sequence[Leaf], *, order: Sequence[int] | None = None):
        self.order = sorted(range(len(leaves)), key=lambda i: leaves[i].tokens) if order is None else list(order)
        self.leaves = [leaves[i] for i in self.order]
        pairs = zip(self.leaves, self.leaves[1:], strict=False)
        self.shared = [0, *(common_prefix(before.tokens, leaf.tokens) for before, leaf in pairs)]
        self.scored_from = list(self.shared)
        later = sys.maxsize
        for i in range(len(self.leaves) - 1, -1, -1):
            later = min(later, len(self.leaves[i].tokens) - len(self.leaves[i].targets))
            later = later if later < self.shared[i] else sys.maxsize
            self.scored_from[i] = min(later, self.shared[i])

    def batch(self, first: int, *, tokens: int, leaves: int | None = None) -> Batch:
        """Return the batch that begins at a leaf, with at most this many new tokens and leaves, or a single leaf."""
        last = self._last(first, tokens)
        return _Packer(self, first, last if leaves is None else min(last, first + leaves)).batch()

    def paths(self, batch: Batch) -> Iterator[Ints]:
        """Yield, for each leaf of a batch, the numbers of its tokens."""
        path, done = np.arange(batch.held), batch.held
        for leaf, shared in zip(self.leaves[batch.first : batch.last], self.shared[batch.first :], strict=False):
            new = len(leaf.tokens) - shared
            path = np.concatenate([path[:shared], np.arange(done, done + new)])
            done += new
            yield path

    def _last(self, first: int, tokens: int) -> int:
        """Return one past the last leaf of a batch.

        A batch that is at least half full ends where a long common prefix ends, so that the prefix is its trunk.
        """
        trunk = used = len(self.leaves[first].tokens) - self.shared[first]
        for i in range(first + 1, len(self.leaves)):
            new = len(self.leaves[i].tokens) - self.shared[i]
            smaller = self.shared[i] < trunk // 2 and trunk >= 2 * _TRUNK
            full = new and used + new > tokens  # an identical leaf costs nothing, and is never alone in a batch
            if full or (smaller and i > first + 1 and 2 * used >= tokens):
                return i
            trunk = min(trunk, self.shared[i])
            used += new
        return len(self.leaves)


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many leading tokens two sequences share."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:  # the first `low` tokens are shared, the first `high` are not
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


class _Row(NamedTuple):
    """The tokens start..stop and their ancestors, without the trunk."""

    start: int
    stop: int
    ancestors: Ints


class _Packer:
    """Walks over the leaves of one batch."""

    def __init__(self, forest: Forest, first: int, last: int):
        self._forest, self._first, self._last = forest, first, last
        self._leaves, self._shared = forest.leaves[first:last], forest.shared[first:last]
        self._held = self._shared[0]
        common = min(self._shared[1:], default=0)
        self._trunk = common if common >= _TRUNK else 0
        self._rows: list[_Row] = []

    def batch(self) -> Batch:
        held = done = depth = self._held
        new = [leaf.tokens[shared:] for leaf, shared in zip(self._leaves, self._shared, strict=True)]
        counts = np.array([len(tokens) for tokens in new])
        size = held + int(counts.sum())
        ends, places = np.full(size, size), np.arange(size)
        places[held:] += np.repeat(np.array(self._shared) - held - np.cumsum(counts) + counts, counts)
        path = np.arange(max(len(leaf.tokens) for leaf in self._leaves))  # the tokens from the root down to here
        scored: list[Ints] = []
        for leaf, shared in zip(self._leaves, self._shared, strict=True):
            length = len(leaf.tokens)
            ends[path[shared:depth]] = done
            self._add_to_rows(path, done, shared, length)
            depth, start, done = length, done, done + length - shared
            path[shared:length] = np.arange(start, done)
            scored.append(path[length - len(leaf.targets) : length].copy())
        states, sources = np.unique(np.concatenate(scored), return_inverse=True)
        more = self._last < len(self._forest.leaves)
        shared_with_next = self._forest.shared[self._last] if more else 0
        new_trunk = Rows(queries=np.arange(held, self._trunk)[None], keys=np.arange(self._trunk)[None])
        return Batch(
            first=self._first,
            last=self._last,
            held=held,
            tokens=np.array(list(chain.from_iterable(new)), dtype=np.int64),
            places=places,
            ends=ends,
            trunk=self._trunk,
            trunk_rows=(new_trunk,) if held < self._trunk else (),
            rows=_grouped(self._rows),
            states=states,
            sources=sources,
            targets=np.array([token for leaf in self._leaves for token in leaf.targets]),
            keep=path[:shared_with_next].copy(),
            keep_states=self._forest.scored_from[self._last] if more else 0,
        )

    def _add_to_rows(self, path: Ints, start: int, shared: int, length: int) -> None:
        """Add the new tokens of a leaf, without those of the trunk, to the last row or a new one."""
        stop = start + length - shared
        skipped = max(self._trunk - shared, 0)  # the first leaf contains the trunk
        start, shared = start + skipped, shared + skipped
        if start == stop:
            return
        if self._rows:
            # The path down to here, as far as the last row sees it, consists of its ancestors and the row itself.
            row = self._rows[-1]
            inside = shared > self._trunk + len(row.ancestors)
            if stop - row.start <= (4 * _ROW if inside else _ROW):
                self._rows[-1] = row._replace(stop=stop)
                return
        self._rows.append(_Row(start, stop, path[self._trunk : shared].copy()))


def _grouped(rows: Sequence[_Row]) -> tuple[Rows, ...]:
    """Group rows of similar size and pad them."""
    groups: dict[tuple[int, int], list[_Row]] = {}
    for row in rows:
        groups.setdefault((_size_class(row.stop - row.start), _size_class(len(row.ancestors))), []).append(row)
    return tuple(_padded(groups[size]) for size in sorted(groups))


def _size_class(length: int) -> int:
    """Return one number for all lengths that differ by less than about a quarter, or by a few tokens."""
    return math.ceil(math.log(length / 16 + 1, 1.25))


def _padded(group: Sequence[_Row]) -> Rows:
    width = max(row.stop - row.start for row in group)
    above = max(len(row.ancestors) for row in group)
    queries, keys = np.full((len(group), width), -1), np.full((len(group), above + width), -1)
    for r, row in enumerate(group):
        row_tokens = np.arange(row.start, row.stop)
        queries[r, : len(row_tokens)] = keys[r, above : above + len(row_tokens)] = row_tokens
        keys[r, above - len(row.ancestors) : above] = row.ancestors
    return Rows(queries=queries, keys=keys)
