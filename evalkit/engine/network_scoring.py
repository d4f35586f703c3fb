"""Scoring with networks that are not ours: shared beginnings are read once, logits computed only for scored tokens.

Sequences are packed into rows (network_packing) if the network allows that. If it only has a cache, sorted sequences
form families where that saves work: their common beginning is read once and its cache repeated, then the rest of each
is read after it. The beginning that all sequences share is read once for all families.

Shapes: B sequences or families, T positions of this call, S with the cached ones, U states that predict M tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evalkit.engine.batched import ScoredSpans, Span
from evalkit.engine.network import Network
from evalkit.engine.network_packing import TOKENS, Packing
from evalkit.engine.network_reading import LEAST_SHARED
from evalkit.engine.prefix_tree import Ints, Leaf, common_prefix

# Values of the (states, vocabulary) matrix of logits that are held at once.
_LOGITS = 1 << 23
# Padding that costs less than another pass, in tokens.
_FREE_PADDING = 32


@dataclass(kw_only=True)
class _Row:
    """Tokens to read, once for all spans with the same tokens."""

    tokens: tuple[int, ...]
    spans: list[Span] = field(default_factory=list)

    @property
    def free(self) -> int:
        """Number of tokens before the first one whose state is needed, which is how many may be cached."""
        return len(self.tokens) - max(span.scored for span in self.spans)


@dataclass(kw_only=True)
class _Family:
    """Rows with a common beginning of `shared` tokens."""

    rows: list[_Row]
    shared: int

    @property
    def longest(self) -> int:
        return max(len(row.tokens) for row in self.rows)


@torch.inference_mode()
def score(network: Network, spans: Sequence[Span], *, batch_tokens: int) -> Iterator[ScoredSpans]:
    """Yield the spans in batches, each span once."""
    yield from (_packed if network.packs else _padded)(network, spans, batch_tokens=batch_tokens)


def _packed(network: Network, spans: Sequence[Span], *, batch_tokens: int) -> Iterator[ScoredSpans]:
    """Score spans as leaves of a tree that is read without padding, each of its nodes once."""
    packing = Packing(network, [Leaf(span.tokens[:-1], span.tokens[-span.scored :]) for span in spans])
    while not packing.done:
        batch, states_SD, _ = packing.read(tokens=batch_tokens)
        states_UD = states_SD[torch.from_numpy(batch.states).to(network.device)]
        chosen = [spans[i] for i in packing.forest.order[batch.first : batch.last]]
        yield _scored(network, states_UD, chosen, sources=batch.sources, targets=batch.targets)


def _padded(network: Network, spans: Sequence[Span], *, batch_tokens: int) -> Iterator[ScoredSpans]:
    """Score spans in rows of their own."""
    by_tokens: dict[tuple[int, ...], _Row] = {}
    for span in spans:
        by_tokens.setdefault(span.tokens[:-1], _Row(tokens=span.tokens[:-1])).spans.append(span)
    rows = sorted(by_tokens.values(), key=lambda row: row.tokens)
    if not rows:
        return
    trunk, cache = 0, None
    if network.continues and len(rows) > 1:
        trunk = min(common_prefix(rows[0].tokens, rows[-1].tokens), min(row.free for row in rows))
        trunk = trunk if trunk >= LEAST_SHARED else 0
    if trunk:
        _, cache = network.run(_tensor(network, [rows[0].tokens[:trunk]]), last=True)
    if network.device.type == "cpu":
        batch_tokens = min(batch_tokens, TOKENS["cpu"])
    families = _families(rows, trunk=trunk) if network.continues else [_Family(rows=[row], shared=0) for row in rows]
    for batch in _batches(families, batch_tokens=batch_tokens):
        yield from _read(network, batch, trunk=trunk, cache=cache)


def _families(rows: Sequence[_Row], *, trunk: int) -> list[_Family]:
    """Join neighbours where reading their beginning once saves more than cutting longer shared beginnings costs."""
    families: list[_Family] = []
    for row in rows:
        if families:
            family = families[-1]
            # A family of one row has no shared beginning yet: all of the row that may be cached counts.
            before = family.shared if len(family.rows) > 1 else family.rows[0].free
            shared = min(common_prefix(family.rows[-1].tokens, row.tokens), before, row.free)
            cost = (before - shared) * len(family.rows) if len(family.rows) > 1 else 0
            if shared - trunk >= max(LEAST_SHARED, cost):
                family.rows.append(row)
                family.shared = shared
                continue
        families.append(_Family(rows=[row], shared=trunk))
    return families


def _batches(families: Sequence[_Family], *, batch_tokens: int) -> Iterator[list[_Family]]:
    """Group families with beginnings of equal length, the longest first, within the budget and with little padding."""
    batch: list[_Family] = []
    rows = real = 0
    for family in sorted(families, key=lambda family: (-family.shared, -family.longest)):
        added = sum(len(row.tokens) for row in family.rows) - len(family.rows) * family.shared
        if batch:
            read = (rows + len(family.rows)) * (batch[0].longest - batch[0].shared)
            padding = read - real - added
            size = (rows + len(family.rows)) * batch[0].longest
            if family.shared != batch[0].shared or size > batch_tokens or padding > max(_FREE_PADDING, read // 10):
                yield batch
                batch, rows, real = [], 0, 0
        batch.append(family)
        rows, real = rows + len(family.rows), real + added
    yield batch


def _read(network: Network, batch: Sequence[_Family], *, trunk: int, cache: Any) -> Iterator[ScoredSpans]:
    """Read the beginnings of families after the shared trunk, and then their rows after those."""
    shared, owners = batch[0].shared, [f for f, family in enumerate(batch) for _ in family.rows]
    rows = [row for family in batch for row in family.rows]
    if shared > trunk:
        beginnings_BT = _tensor(network, [family.rows[0].tokens[trunk:shared] for family in batch])
        repeated = network.selected(cache, _tensor(network, [0] * len(batch))) if trunk else None
        _, cache = network.run(beginnings_BT, cache=repeated, last=True)
    else:
        owners = [0] * len(rows)
    # Padded on the right, where a causal model's real tokens cannot see it.
    rest_BT = _pad([row.tokens[shared:] for row in rows]).to(network.device)
    if shared:
        states_BTD, _ = network.run(rest_BT, cache=network.selected(cache, _tensor(network, owners)))
    else:
        states_BTD = network.hidden(rest_BT)
    spans = [(b, span) for b, row in enumerate(rows) for span in row.spans]
    positions = []
    for b, span in spans:
        stop = b * rest_BT.shape[1] + len(span.tokens) - 1 - shared
        positions.append(np.arange(stop - span.scored, stop))
    states, sources = np.unique(np.concatenate(positions), return_inverse=True)
    states_UD = states_BTD.flatten(0, 1)[torch.from_numpy(states).to(network.device)]
    targets = np.array([token for _, span in spans for token in span.tokens[-span.scored :]])
    yield _scored(network, states_UD, [span for _, span in spans], sources=sources, targets=targets)


def _scored(network: Network, states_UD: Tensor, spans: Sequence[Span], *, sources: Ints, targets: Ints) -> ScoredSpans:
    """Return spans with what follows from states: the state of index sources[m] predicts the token targets[m].

    Logits are fp32, of some states at a time; each state's are computed once.
    """
    logprobs_M, greedy_M = np.empty(len(targets)), np.empty(len(targets), dtype=bool)
    order = np.argsort(sources, kind="stable")
    size = max(1, _LOGITS // network.vocabulary)
    for start in range(0, len(states_UD), size):
        logits = network.unembed(states_UD[start : start + size]).float()
        first, last = np.searchsorted(sources[order], (start, start + size))
        places = order[first:last]
        rows = torch.from_numpy(sources[places] - start).to(logits.device)
        chosen = torch.from_numpy(targets[places]).to(logits.device)
        logprobs_M[places] = (logits[rows, chosen] - logits.logsumexp(1)[rows]).double().cpu()
        greedy_M[places] = (logits.argmax(1)[rows] == chosen).cpu()
    return ScoredSpans(spans, torch.from_numpy(logprobs_M), torch.from_numpy(greedy_M))


def _tensor(network: Network, rows: Any) -> Tensor:
    return torch.tensor(rows, device=network.device)


def _pad(sequences: Sequence[Sequence[int]]) -> Tensor:
    """Return token ids (B, T), padded on the right with 0."""
    longest = max(map(len, sequences))
    return torch.tensor([[*sequence, *[0] * (longest - len(sequence))] for sequence in sequences])
