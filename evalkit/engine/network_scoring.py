"""Scoring with the caches of transformers: shared beginnings are read once, logits computed only for scored tokens.

Sorted sequences form families where that saves work: their common beginning is read once and its cache repeated, then
the rest of each is read after it. The beginning that all sequences share is read once for all families.

Shapes: B sequences or families, T positions of this call, S with the cached ones, R scored positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from evalkit.engine.batched import Span
from evalkit.engine.network import Network
from evalkit.engine.network_reading import LEAST_SHARED
from evalkit.engine.prefix_tree import common_prefix

# Rows of the (positions, vocabulary) matrix of scores that are held at once.
_LOGIT_ROWS = 2048


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
def score(network: Network, spans: Sequence[Span], *, batch_tokens: int) -> Iterator[tuple[Span, Tensor, Tensor]]:
    """Yield each span with its scored tokens' log-probabilities (fp64) and whether each was the argmax."""
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
    """Group families with beginnings of equal length, the longest first, within the budget."""
    batch: list[_Family] = []
    rows = 0
    for family in sorted(families, key=lambda family: (-family.shared, -family.longest)):
        rows += len(family.rows)
        if batch and (family.shared != batch[0].shared or rows * batch[0].longest > batch_tokens):
            yield batch
            batch, rows = [], len(family.rows)
        batch.append(family)
    yield batch


def _read(
    network: Network, batch: Sequence[_Family], *, trunk: int, cache: Any
) -> Iterator[tuple[Span, Tensor, Tensor]]:
    """Read the beginnings of families after the shared trunk, and then their rows after those."""
    shared, owners = batch[0].shared, [f for f, family in enumerate(batch) for _ in family.rows]
    rows = [row for family in batch for row in family.rows]
    if shared > trunk:
        beginnings_BT = _tensor(network, [family.rows[0].tokens[trunk:shared] for family in batch])
        repeated = network.repeated(cache, [0] * len(batch)) if trunk else None
        _, cache = network.run(beginnings_BT, cache=repeated, last=True)
    else:
        owners = [0] * len(rows)
    rest_BT, lengths_B = (tensor.to(network.device) for tensor in _pad([row.tokens[shared:] for row in rows]))
    # A causal model's real tokens cannot see padding on their right; the mask matters for positions, which OPT counts
    # in it, and for the distances of ALiBi.
    mask_BS = torch.arange(shared + rest_BT.shape[1], device=rest_BT.device) < shared + lengths_B[:, None]
    if shared:
        states_BTD, _ = network.run(rest_BT, cache=network.repeated(cache, owners), mask_BS=mask_BS)
    else:
        states_BTD = network.hidden(rest_BT, mask_BS=mask_BS)
    spans = [(b, span) for b, row in enumerate(rows) for span in row.spans]
    positions = []
    for b, span in spans:
        stop = b * rest_BT.shape[1] + len(span.tokens) - 1 - shared
        positions.append(torch.arange(stop - span.scored, stop))
    states_RD = states_BTD.flatten(0, 1)[torch.cat(positions).to(rest_BT.device)]
    targets_R = torch.tensor([token for _, span in spans for token in span.tokens[-span.scored :]])
    logprobs_R, greedy_R = _scores(network, states_RD, targets_R.to(rest_BT.device))
    counts = [span.scored for _, span in spans]
    yield from zip((span for _, span in spans), logprobs_R.split(counts), greedy_R.split(counts), strict=True)


def _scores(network: Network, states_RD: Tensor, targets_R: Tensor) -> tuple[Tensor, Tensor]:
    """Return each target's log-probability (fp64) and whether it is the argmax; in fp32, in chunks."""
    logprobs, greedy = [], []
    for states, targets in zip(states_RD.split(_LOGIT_ROWS), targets_R.split(_LOGIT_ROWS), strict=True):
        logits = network.unembed(states).float()
        chosen = logits.gather(1, targets[:, None])[:, 0]
        logprobs.append((chosen - logits.logsumexp(1)).double().cpu())
        greedy.append((logits.argmax(1) == targets).cpu())
    return torch.cat(logprobs), torch.cat(greedy)


def _tensor(network: Network, rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor([list(row) for row in rows], device=network.device)


def _pad(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return token ids (B, T), padded on the right with 0, and the lengths (B)."""
    lengths = [len(sequence) for sequence in sequences]
    padded_BT = torch.zeros(len(sequences), max(lengths), dtype=torch.long)
    for b, sequence in enumerate(sequences):
        padded_BT[b, : lengths[b]] = torch.tensor(sequence)
    return padded_BT, torch.tensor(lengths)
