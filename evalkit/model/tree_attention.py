"""Attention of tokens that are nodes of a tree: each sees itself and its ancestors.

Tokens are numbered depth first, those held from earlier batches before the new ones. Then token q sees token k exactly
if k <= q < ends[k], one past the last descendant of k; in a banded layer, also only if their places in the sequence
differ by less than the band.

A processor multiplies rows of tokens of about one size, whose scores fit its cache, by plain batched products. A trunk,
tokens that all rows see, is never copied: the queries of all rows are multiplied with it at once.
CUDA takes torch's flex attention, which compiles the same condition into a flash kernel that leaves out blocks without
any visible pair.

Shapes: N new tokens, S with the held ones, P of the trunk, H heads, K = D / H; R rows of T queries and C keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from evalkit.model.config import GPTConfig

# Queries that are multiplied at once with the keys up to the last one's own: what comes later they would not see.
_BLOCK = 128
# Scores that are held at once: more would leave the cache.
_SCORES = 1 << 22
# Added to a score that does not count; finite, so that a padded query, which sees nothing, makes no NaN.
_NOTHING = -1e30
# Queries and keys of flex attention come in multiples of this, its block: fewer shapes to compile.
_FLEX = 128


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Which token sees which, of `held` tokens and the new ones behind them.

    places, ends (S): where each stands in its sequence, and one past its last descendant. rows, trunk_rows: numbers of
    tokens (queries (R, T), keys (R, C)), -1 where padded; a row's last T keys are its own tokens, column for column.
    trunk: the tokens 0..trunk are seen by all `rows` besides their keys; the trunk_rows see their keys alone.
    """

    held: int
    places: Tensor
    ends: Tensor
    trunk: int
    rows: Sequence[tuple[Tensor, Tensor]]
    trunk_rows: Sequence[tuple[Tensor, Tensor]]


class Attend(Protocol):
    """Attention of one batch, the same in every layer but for the band."""

    def __call__(self, q_ND: Tensor, kv_SD: Tensor, *, banded: bool) -> Tensor:
        """Return what the new tokens attend to (N, D), from their queries and the keys and values of all (S, 2 D)."""
        ...


def attention_over(tree: Tree, config: GPTConfig) -> Attend:
    """Choose the way of the tree's device."""
    return FlexAttention(tree, config) if tree.ends.is_cuda else RowAttention(tree, config)


class _Block(NamedTuple):
    """Queries (R, T) of some rows, their keys (R, C) up to the last query, and how many tokens of the trunk they see.

    dense, banded (R, T, C) and trunk_band (R, T, trunk) are added to scores: 0, or very little where nothing is seen.
    """

    queries: Tensor
    keys: Tensor
    trunk: int
    dense: Tensor
    banded: Tensor
    trunk_band: Tensor | None


class RowAttention:
    """Rows of about one size, by batched matrix products."""

    def __init__(self, tree: Tree, config: GPTConfig):
        self._tree, self._band = tree, config.band
        self._width, self._heads = config.d_model, config.n_head
        self._blocks = [block for rows in tree.trunk_rows for block in self._split(*rows, trunk=0)]
        self._blocks += [block for rows in tree.rows for block in self._split(*rows, trunk=tree.trunk)]
        done = torch.cat([block.queries.flatten() for block in self._blocks])
        [places] = torch.where(done >= 0)
        self._back_N = torch.empty_like(places)
        self._back_N[done[places] - tree.held] = places

    def _split(self, queries_RT: Tensor, keys_RC: Tensor, *, trunk: int) -> Iterator[_Block]:
        """Cut rows into blocks of queries, and many rows into fewer."""
        above = keys_RC.shape[1] - queries_RT.shape[1]
        for start in range(0, queries_RT.shape[1], _BLOCK):
            stop = min(start + _BLOCK, queries_RT.shape[1])
            most = max(1, _SCORES // (self._heads * (stop - start) * (trunk + above + stop)))
            parts = zip(queries_RT[:, start:stop].split(most), keys_RC[:, : above + stop].split(most), strict=True)
            for queries, keys in parts:
                dense, banded = self._masks(queries, keys)
                trunk_band = self._masks(queries, torch.arange(trunk)[None])[1] if trunk and self._band else None
                yield _Block(queries, keys, trunk, dense, banded, trunk_band)

    def _masks(self, queries_RT: Tensor, keys_RC: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is added to scores in dense and in banded layers, the same where nothing is banded."""
        ends, places = self._tree.ends, self._tree.places
        q, k = queries_RT[:, :, None], keys_RC[:, None]
        seen = (k <= q) & (q < ends[k]) & (k >= 0)
        dense = torch.zeros(seen.shape).masked_fill_(~seen, _NOTHING)
        if self._band is None:
            return dense, dense
        return dense, dense.masked_fill(places[q] - places[k] >= self._band, _NOTHING)

    def __call__(self, q_ND: Tensor, kv_SD: Tensor, *, banded: bool) -> Tensor:
        """Attend block by block."""
        k_HPK, v_HPK = self._heads_first(kv_SD[: self._tree.trunk], rows=1)
        trunk = (k_HPK.float(), v_HPK)
        done = torch.cat([self._attended(block, q_ND, kv_SD, trunk, banded=banded) for block in self._blocks])
        return done.index_select(0, self._back_N)

    def _attended(self, block: _Block, q_ND: Tensor, kv_SD: Tensor, trunk: Sequence[Tensor], *, banded: bool) -> Tensor:
        """Return a block's rows one behind the other (R * T, D). Scores and softmax are fp32, products as the model."""
        (R, T), C, P, H = block.queries.shape, block.keys.shape[1], block.trunk, self._heads
        held = self._tree.held  # at a padded query or key stands some other token; nothing of it is used
        [q] = self._heads_first(q_ND.index_select(0, (block.queries.flatten() - held).clamp_(min=0)), rows=R)
        k, v = self._heads_first(kv_SD.index_select(0, block.keys.flatten().clamp(min=0)), rows=R)
        scores = torch.empty(H * R, T, P + C)
        _scores(q, k, out=scores[:, :, P:])
        scores.view(H, R, T, P + C)[..., P:].add_(block.banded if banded else block.dense)
        if P:
            _scores(q.view(H, R * T, -1), trunk[0], out=scores.view(H, R * T, P + C)[:, :, :P])
        if banded and block.trunk_band is not None:
            scores.view(H, R, T, P + C)[..., :P].add_(block.trunk_band)
        weights = scores.softmax(2).to(v.dtype)
        y = torch.bmm(weights[:, :, P:], v)
        if P:
            y.view(H, R * T, -1).baddbmm_(weights.view(H, R * T, P + C)[:, :, :P], trunk[1])
        return y.view(H, R, T, -1).permute(1, 2, 0, 3).reshape(R * T, -1)

    def _heads_first(self, x: Tensor, *, rows: int) -> Sequence[Tensor]:
        """Lay out queries (rows * T, D), or keys and values (rows * C, 2 D), as (H * rows, T or C, K) each."""
        parts = x.view(rows, -1, x.shape[1] // self._width, self._heads, self._width // self._heads)
        return [part.reshape(self._heads * rows, -1, part.shape[3]) for part in parts.permute(2, 3, 0, 1, 4)]


def _scores(q: Tensor, k: Tensor, *, out: Tensor) -> None:
    """Write q k' / sqrt(K), in fp32."""
    torch.baddbmm(torch.empty(()), q.float(), k.float().transpose(1, 2), beta=0, alpha=q.shape[2] ** -0.5, out=out)


class FlexAttention:
    """The whole tree at once by torch's flex attention; compiled on CUDA, plain (and slow) elsewhere."""

    def __init__(self, tree: Tree, config: GPTConfig):
        from torch.nn.attention.flex_attention import create_block_mask

        self._heads, held, band = config.n_head, tree.held, config.band or config.context
        self._new = len(tree.ends) - held
        self._queries, self._keys = (-(-count // _FLEX) * _FLEX for count in (self._new, len(tree.ends)))
        # Padded keys end at 0, before any query.
        ends_S, places_S = (_padded(one, self._keys) for one in (tree.ends, tree.places))
        places_N = _padded(tree.places[held:], self._queries)
        start = ends_S.new_tensor(held)  # as a tensor, for the compiler makes a new kernel for every other number

        def whole(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (k <= q + start) & (q + start < ends_S[k])

        def banded(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return whole(b, h, q, k) & (places_N[q] - places_S[k] < band)

        self._masks = [
            create_block_mask(seen, None, None, self._queries, self._keys, device=str(ends_S.device))
            for seen in ((whole, banded) if config.band else (whole,))
        ]

    def __call__(self, q_ND: Tensor, kv_SD: Tensor, *, banded: bool) -> Tensor:
        """Attend at once."""
        K = q_ND.shape[1] // self._heads
        q = _padded(q_ND, self._queries).view(1, self._queries, self._heads, K).transpose(1, 2)
        k, v = _padded(kv_SD, self._keys).view(1, self._keys, 2, self._heads, K).permute(2, 0, 3, 1, 4)
        mask = self._masks[banded and len(self._masks) > 1]
        y: Tensor = _flex(compiled=q.is_cuda)(q, k, v, block_mask=mask)
        return y.transpose(1, 2).reshape(self._queries, -1)[: self._new]


def _padded(x_N: Tensor, length: int) -> Tensor:
    """Add zeros at the end of the first dimension."""
    return torch.cat([x_N, x_N.new_zeros(length - len(x_N), *x_N.shape[1:])])


@lru_cache(maxsize=2)
def _flex(*, compiled: bool) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if compiled else flex_attention
