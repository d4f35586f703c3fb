"""Attention of tokens that are nodes of a tree: each sees itself and its ancestors.

Tokens are numbered depth first, those held from earlier batches before the new ones. Then token q sees token k exactly
if k <= q < ends[k], one past the last descendant of k; in a banded layer, also only if their places in the sequence
differ by less than the band.

On a CPU, rows of tokens of similar size are attended to side by side by torch's kernel, with a mask. Where there is a
trunk, tokens that all rows see, plain batched products take its place: the trunk is never copied, the queries of all
rows are multiplied with it at once. Long rows are attended to one by one, see model/long_rows.py.
CUDA uses torch's flex attention, which compiles the same condition into a flash kernel that skips blocks without any
visible pair.

Shapes: N new tokens, S with the held ones, P of the trunk; H heads of queries, G of keys and values, M = H / G, K the
width of a head; R rows of T queries and C keys. The M queries that share a key are multiplied with it in one product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from evalkit.model.config import GPTConfig
from evalkit.model.long_rows import LONG, LongBlock, long_blocks

# Queries multiplied at once, with the keys up to that of the last query: they do not see later ones.
_BLOCK = 64
# Scores held at once: more would exceed the cache.
_SCORES = 1 << 20
# Where fewer than one in this many queries are needed, blocks of their own are made for them.
_FEW = 2
# Numbers that a processor computes at once. torch's kernel takes what is left of a row one by one, with an exponential
# that is slow for masked scores.
_VECTOR = 16
# Added to masked scores for each token that a key is too far; finite, so that a padded query, which sees nothing, does
# not give NaN, and a power of two, so that its multiples are exact.
_NOTHING = -(2.0**100)
# Queries and keys of flex attention are padded to multiples of this, its block size: fewer shapes to compile.
_FLEX = 128
# The narrowest head that its compiled kernel takes.
_NARROWEST = 16


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Which token sees which, of `held` tokens and the new ones after them.

    places, ends (S): each token's position in its sequence, and one past its last descendant. rows, trunk_rows: token
    numbers (queries (R, T), keys (R, C)), -1 where padded; a row's last T keys are its own tokens, column for column.
    trunk: the tokens 0..trunk are seen by all `rows` in addition to their keys; trunk_rows see only their keys.
    """

    held: int
    places: Tensor
    ends: Tensor
    trunk: int
    rows: Sequence[tuple[Tensor, Tensor]]
    trunk_rows: Sequence[tuple[Tensor, Tensor]]


class Attend(Protocol):
    """Attention of one batch, the same in every layer except for the band and the scale of its scores."""

    def __call__(
        self, q_NHK: Tensor, k_SGK: Tensor, v_SGK: Tensor, *, banded: bool, scale: float, only: Tensor | None = None
    ) -> Tensor:
        """Return the new tokens' outputs (N, H * K), from their queries and the keys and values of all tokens.

        only: the rows of q whose outputs are returned, ascending; None for all.
        """
        ...


def attention_over(tree: Tree, config: GPTConfig) -> Attend:
    """Return the implementation for the tree's device."""
    return FlexAttention(tree, config) if tree.ends.is_cuda else RowAttention(tree, config)


class _Block(NamedTuple):
    """Queries (R, T) of some rows, the rows' keys, of which they see the first C, and how many tokens of the trunk.

    dense, banded (R, T, C) and trunk_band (R, T, trunk) are added to scores: 0, or a large negative number if masked.
    """

    queries: Tensor
    keys: Tensor
    trunk: int
    dense: Tensor
    banded: Tensor
    trunk_band: Tensor | None


class RowAttention:
    """Attends in rows of similar size, by batched matrix products."""

    def __init__(self, tree: Tree, config: GPTConfig):
        self._tree, self._band = tree, config.band
        self._heads = config.n_head
        groups = [(_widened(*rows), 0) for rows in tree.trunk_rows]
        groups += [(_widened(*rows), tree.trunk) for rows in tree.rows]
        self._groups = [(rows, trunk) for rows, trunk in groups if rows[1].shape[1] < LONG]
        # A long row: its queries and its keys, those of the trunk among them, without padding.
        self._long = [
            (queries[queries >= 0], torch.cat([torch.arange(trunk), keys[keys >= 0]]))
            for rows, trunk in groups
            if rows[1].shape[1] >= LONG
            for queries, keys in zip(*rows, strict=True)
        ]
        self._blocks: list[_Block | LongBlock] = []
        for rows, trunk in self._groups:
            self._blocks += self._split(*rows, trunk=trunk)
        for queries, keys in self._long:
            self._blocks += self._alone(queries, keys)
        self._back_N = _places(self._blocks)

    def _chosen(self, only: Tensor) -> list[_Block | LongBlock]:
        """Return blocks of some queries, all keys of their rows among them. only: the queries' rows in q."""
        is_chosen_S = torch.zeros(len(self._tree.ends), dtype=torch.bool)
        is_chosen_S[only + self._tree.held] = True
        blocks: list[_Block | LongBlock] = []
        for queries_T, keys_C in self._long:
            if is_chosen_S[queries_T].any():
                blocks += self._alone(queries_T[is_chosen_S[queries_T]], keys_C)
        for (queries_RT, keys_RC), trunk in self._groups:
            chosen_RT = is_chosen_S[queries_RT] & (queries_RT >= 0)
            counts_R = chosen_RT.sum(1)
            [rows] = torch.where(counts_R > 0)
            if len(rows):
                first_RT = chosen_RT[rows].byte().argsort(dim=1, descending=True, stable=True)[:, : int(counts_R.max())]
                queries = queries_RT[rows].masked_fill(~chosen_RT[rows], -1).gather(1, first_RT)
                blocks += self._split(queries, keys_RC[rows], trunk=trunk, block=queries.shape[1])
        return blocks

    def _split(self, queries_RT: Tensor, keys_RC: Tensor, *, trunk: int, block: int = _BLOCK) -> Iterator[_Block]:
        """Split many rows into as many as may be held at once, and these into blocks of queries."""
        T, C = queries_RT.shape[1], keys_RC.shape[1]
        limit = max(1, _SCORES // (self._heads * min(T, block) * (trunk + C)))
        for queries, keys in zip(queries_RT.split(limit), keys_RC.split(limit), strict=True):
            for start in range(0, T, block):
                stop = min(start + block, T)
                part = queries[:, start:stop]
                dense, banded = self._masks(part, keys[:, : C - T + stop])
                trunk_band = self._masks(part, torch.arange(trunk)[None])[1] if trunk and self._band else None
                yield _Block(part, keys, trunk, dense, banded, trunk_band)

    def _alone(self, queries_T: Tensor, keys_C: Tensor) -> Iterator[LongBlock]:
        """Yield blocks of queries of a long row."""
        yield from long_blocks(queries_T, keys_C, ends=self._tree.ends, places=self._tree.places, band=self._band)

    def _masks(self, queries_RT: Tensor, keys_RC: Tensor) -> tuple[Tensor, Tensor]:
        """Return the masks added to scores in dense and in banded layers; identical if the model has no band."""
        # Differences of floats, which processors compute several times as fast as conditions.
        q, k = queries_RT[:, :, None], keys_RC[:, None]
        last = (self._tree.ends[k] - 1).masked_fill_(k < 0, -1)  # nothing sees a padded key
        far_q, far_k, far_last = (-_NOTHING * part.float() for part in (q, k, last))
        dense = torch.minimum(far_q - far_k, far_last - far_q).clamp_(max=0)
        if self._band is None:
            return dense, dense
        places = self._tree.places
        reach, place = (-_NOTHING * part.float() for part in (places[k] + self._band - 1, places[q]))
        return dense, torch.minimum(dense, reach - place)

    def __call__(
        self, q_NHK: Tensor, k_SGK: Tensor, v_SGK: Tensor, *, banded: bool, scale: float, only: Tensor | None = None
    ) -> Tensor:
        """Attend block by block."""
        P = self._tree.trunk
        trunk = (k_SGK[:P].transpose(0, 1).float(), v_SGK[:P].transpose(0, 1).contiguous())
        layer = _Layer(q=q_NHK, k=k_SGK, v=v_SGK, trunk=trunk, banded=banded, scale=scale)
        few = only is not None and len(only) * _FEW < len(q_NHK)
        blocks = self._chosen(only) if few and only is not None else self._blocks
        done = torch.cat([self._attended(block, layer) for block in blocks])
        if few:
            return done.index_select(0, _places(blocks))
        return done.index_select(0, self._back_N if only is None else self._back_N[only])

    def _attended(self, block: _Block | LongBlock, layer: _Layer) -> Tensor:
        """Return a block's rows joined (R * T, H * K). Scores and softmax are fp32, products in the model's dtype."""
        if isinstance(block, LongBlock):
            return block.attended(
                layer.q, layer.k, layer.v, held=self._tree.held, banded=layer.banded, scale=layer.scale
            )
        (R, T), C, P, G = block.queries.shape, block.dense.shape[2], block.trunk, layer.k.shape[1]
        held = self._tree.held  # padded queries and keys point to arbitrary tokens, whose results are not used
        q = layer.q.index_select(0, (block.queries.flatten() - held).clamp_(min=0)).view(R, T, *layer.q.shape[1:])
        k, v = (part[:, :C] for part in layer.of_rows(block.keys))
        mask = block.banded if layer.banded else block.dense
        if not P:
            y_RHTK = F.scaled_dot_product_attention(
                q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
                attn_mask=mask[:, None].to(v.dtype), scale=layer.scale, enable_gqa=q.shape[2] != G,
            )  # fmt: skip
            return y_RHTK.transpose(1, 2).reshape(R * T, -1)
        q = q.unflatten(2, (G, -1)).permute(2, 0, 3, 1, 4)  # (G, R, M, T, K)
        M = q.shape[2]
        q = q.reshape(G * R, M * T, -1)
        k, v = (part.permute(2, 0, 1, 3).reshape(G * R, C, -1) for part in (k, v))
        scores = torch.empty(G * R, M * T, P + C)
        of_pairs = scores.view(G, R, M, T, P + C)
        _scores(q, k, layer.scale, out=scores[:, :, P:])
        of_pairs[..., P:].add_(mask[:, None])
        _scores(q.view(G, R * M * T, -1), layer.trunk[0], layer.scale, out=scores.view(G, -1, P + C)[:, :, :P])
        if layer.banded and block.trunk_band is not None:
            of_pairs[..., :P].add_(block.trunk_band[:, None])
        weights = scores.softmax(2).to(v.dtype)
        y = torch.bmm(weights[:, :, P:], v)
        y.view(G, R * M * T, -1).baddbmm_(weights.view(G, -1, P + C)[:, :, :P], layer.trunk[1])
        return y.view(G, R, M, T, -1).permute(1, 3, 0, 2, 4).reshape(R * T, -1)


def whole_vectors(length: int) -> int:
    """Round up to what a processor computes at once."""
    return -(-length // _VECTOR) * _VECTOR


def _widened(queries_RT: Tensor, keys_RC: Tensor) -> tuple[Tensor, Tensor]:
    """Pad rows, their ancestors on the left and their own tokens on the right, to whole vectors."""
    T, above = queries_RT.shape[1], keys_RC.shape[1] - queries_RT.shape[1]
    left, right = whole_vectors(above) - above, whole_vectors(T) - T
    return F.pad(queries_RT, (0, right), value=-1), F.pad(keys_RC, (left, right), value=-1)


def _places(blocks: Sequence[_Block | LongBlock]) -> Tensor:
    """Return where the queries of blocks are among their rows, joined, in the order of the queries' numbers."""
    queries = torch.cat([block.queries.flatten() for block in blocks])
    return queries.argsort(stable=True)[int((queries < 0).sum()) :]


@dataclass(kw_only=True)
class _Layer:
    """What a layer attends with; trunk: the trunk's keys, in fp32, and values (G, P, K)."""

    q: Tensor
    k: Tensor
    v: Tensor
    trunk: tuple[Tensor, Tensor]
    banded: bool
    scale: float
    _rows: tuple[Tensor, Tensor, Tensor] | None = None

    def of_rows(self, keys_RC: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and values (R, C, G, K) of rows, copied once for their blocks, which follow one another."""
        if self._rows is None or self._rows[0] is not keys_RC:
            numbers, size = keys_RC.flatten().clamp(min=0), (*keys_RC.shape, *self.k.shape[1:])
            k, v = (part.index_select(0, numbers).view(size) for part in (self.k, self.v))
            self._rows = keys_RC, k, v
        return self._rows[1:]


def _scores(q: Tensor, k: Tensor, scale: float, *, out: Tensor) -> None:
    """Write scale q k', in fp32."""
    torch.baddbmm(torch.empty(()), q.float(), k.float().transpose(1, 2), beta=0, alpha=scale, out=out)


class FlexAttention:
    """Attends to the whole tree at once by torch's flex attention; compiled on CUDA, plain (and slow) elsewhere."""

    def __init__(self, tree: Tree, config: GPTConfig):
        from torch.nn.attention.flex_attention import create_block_mask

        held, band = tree.held, config.band or config.context
        self._new = len(tree.ends) - held
        self._queries, self._keys = (-(-count // _FLEX) * _FLEX for count in (self._new, len(tree.ends)))
        # Padded keys end at 0, before any query.
        ends_S, places_S = (_padded(values, self._keys) for values in (tree.ends, tree.places))
        places_N = _padded(tree.places[held:], self._queries)
        start = ends_S.new_tensor(held)  # a tensor, because the compiler would make a new kernel for every number

        def dense(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (k <= q + start) & (q + start < ends_S[k])

        def banded(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return dense(b, h, q, k) & (places_N[q] - places_S[k] < band)

        self._masks = [
            create_block_mask(seen, None, None, self._queries, self._keys, device=str(ends_S.device))
            for seen in ((dense, banded) if config.band else (dense,))
        ]

    def __call__(
        self, q_NHK: Tensor, k_SGK: Tensor, v_SGK: Tensor, *, banded: bool, scale: float, only: Tensor | None = None
    ) -> Tensor:
        """Attend at once."""
        q, k, v = (
            _wide_heads(_padded(part, length)).transpose(0, 1)[None]
            for part, length in ((q_NHK, self._queries), (k_SGK, self._keys), (v_SGK, self._keys))
        )
        mask = self._masks[banded and len(self._masks) > 1]
        attend = _flex(compiled=q.is_cuda)
        y: Tensor = attend(q, k, v, block_mask=mask, scale=scale, enable_gqa=q.shape[1] != k.shape[1])
        y_ND = y[0, :, : self._new, : q_NHK.shape[2]].transpose(0, 1).flatten(1)
        return y_ND if only is None else y_ND[only]


def _padded(x_N: Tensor, length: int) -> Tensor:
    """Add zeros at the end of the first dimension."""
    return torch.cat([x_N, x_N.new_zeros(length - len(x_N), *x_N.shape[1:])])


def _wide_heads(x_NHK: Tensor) -> Tensor:
    """Add zeros to heads that are narrower than the kernel allows, which changes no score."""
    return F.pad(x_NHK, (0, max(0, _NARROWEST - x_NHK.shape[2])))


@lru_cache(maxsize=2)
def _flex(*, compiled: bool) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if compiled else flex_attention
