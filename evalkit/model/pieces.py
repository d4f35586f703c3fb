"""Where the numbers of our tensors are among stored ones, in any layout; the same pieces serve reading and writing.

A layout maps our modules to forms: how a module is stored, and under which name. `pieces` turns that into a piece for
each pair of tensors that share numbers. A stored name contains ".N." where the number of the layer stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import CheckpointError
from evalkit.model.config import GPTConfig

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]
View = Callable[["Tensor"], "Tensor"]
_WRAPPERS = ("_orig_mod.", "module.")
_LAYER = re.compile(r"\.\d+\.")


def _all(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Numbers that one of our tensors shares with a stored one.

    ours, stored: the names of the tensors. shape: of the stored one. in_ours, in_stored: functions that return the
    views of either tensor in which the numbers stand; both of one shape.
    """

    ours: str
    stored: str
    shape: Shape
    in_ours: View = _all
    in_stored: View = _all


@dataclass(frozen=True, kw_only=True)
class Target:
    """One of our tensors: its name, its shape, and the shape of its model."""

    name: str
    shape: Shape
    config: GPTConfig

    def stored(self, module: str) -> str:
        """Return the stored name of the tensor of the same layer and kind (weight or bias) of a stored module."""
        layer = _LAYER.search(self.name)
        return f"{module.replace('.N.', layer[0]) if layer else module}.{self.name.rpartition('.')[2]}"


Form = Callable[[Target], Iterator[Piece]]
# Our modules, with "N" for a layer's number -> their form, or just the name of one that is stored as ours is.
Names = Mapping[str, str | Form]


def pieces(config: GPTConfig, shapes: Mapping[str, Shape], *, names: Names) -> Iterator[Piece]:
    """Yield the pieces of all our tensors."""
    for name, shape in shapes.items():
        form = names[_LAYER.sub(".N.", name).rpartition(".")[0]]
        yield from (same(form) if isinstance(form, str) else form)(Target(name=name, shape=shape, config=config))


def unwrapped(stored: Iterable[Any], path: Path) -> dict[Any, str]:
    """Map the stored names of tensors to those without the prefixes of torch.compile and DistributedDataParallel.

    Raises CheckpointError for a tensor that is there twice.
    """
    names = dict[Any, str]()
    for key in stored:
        plain = str(key)
        while prefix := next((prefix for prefix in _WRAPPERS if plain.startswith(prefix)), ""):
            plain = plain.removeprefix(prefix)
        if plain in names.values():
            raise CheckpointError(f"{path}: tensor {plain!r} is there twice, with and without a prefix")
        names[key] = plain
    return names


def same(module: str) -> Form:
    """Stored as it is."""

    def form(target: Target) -> Iterator[Piece]:
        yield Piece(ours=target.name, stored=target.stored(module), shape=target.shape)

    return form


def transposed(module: str) -> Form:
    """Stored as (in, out), as in GPT-1's and GPT-2's code; a bias as it is."""

    def form(target: Target) -> Iterator[Piece]:
        yield Piece(
            ours=target.name,
            stored=target.stored(module),
            shape=target.shape[::-1],
            in_stored=_transposed,
        )

    return form


# How the components of H heads that are rotated in pairs are stored: views of our rows and of the stored ones, which
# together hold all of them.
Pairs = Callable[[int], "list[tuple[View, View]]"]


def interleaved(heads: int) -> list[tuple[View, View]]:
    """Pairs that are neighbours, as in Meta's Llama; ours are half a head apart."""
    return [
        (
            lambda ours: ours.unflatten(0, (heads, 2, -1)),
            lambda stored: stored.unflatten(0, (heads, -1, 2)).transpose(1, 2),
        )
    ]


def backwards(heads: int) -> list[tuple[View, View]]:
    """Pairs that are rotated the other way round: the same rotation with both halves of each head exchanged."""
    return [(_half(heads, 0), _half(heads, 1)), (_half(heads, 1), _half(heads, 0))]


def separate(queries: str, keys: str, values: str, *, pairs: Pairs | None = None) -> Form:
    """Queries, keys and values, the rows of one tensor of ours, are three stored ones.

    pairs: how the components of queries and keys are stored (default: as ours).
    """

    def form(target: Target) -> Iterator[Piece]:
        config, start = target.config, 0
        for module, heads in ((queries, config.n_head), (keys, config.n_kv_head), (values, config.n_kv_head)):
            rows = heads * config.d_head
            own = _Rows(start, start + rows)
            for in_ours, in_stored in pairs(heads) if pairs and module != values else [(_all, _all)]:
                yield Piece(
                    ours=target.name, stored=target.stored(module), shape=(rows, *target.shape[1:]),
                    in_ours=_Within(own, in_ours), in_stored=in_stored,
                )  # fmt: skip
            start += rows

    return form


def by_group(module: str) -> Form:
    """The queries of the first key-value head, its keys and its values, then those of the second, and so on.

    With a key-value head for each head that is queries, keys and values head by head (GPT-NeoX, litgpt of old).
    """

    def form(target: Target) -> Iterator[Piece]:
        config, start = target.config, 0
        groups, each = config.n_kv_head, config.n_head // config.n_kv_head
        for first, heads in ((0, each), (each, 1), (each + 1, 1)):
            rows = groups * heads * config.d_head
            yield Piece(
                ours=target.name, stored=target.stored(module), shape=target.shape,
                in_ours=_Grouped(_Rows(start, start + rows), (groups, heads, config.d_head)),
                in_stored=_Grouped(_all, (groups, each + 2, config.d_head), _Rows(first, first + heads)),
            )  # fmt: skip
            start += rows

    return form


def first_rows(rows: int, module: str) -> Form:
    """Stored before rows that the network never reads: a table of `rows` rows, padded for speed."""

    def form(target: Target) -> Iterator[Piece]:
        first, *rest = target.shape
        yield Piece(
            ours=target.name, stored=target.stored(module), shape=(rows, *rest), in_stored=_Rows(0, first)
        )  # fmt: skip

    return form


def behind(rows: int, module: str) -> Form:
    """Stored behind rows that the network never reads (OPT's positions)."""

    def form(target: Target) -> Iterator[Piece]:
        first, *rest = target.shape
        yield Piece(
            ours=target.name, stored=target.stored(module), shape=(first + rows, *rest),
            in_stored=_Rows(rows, first + rows),
        )  # fmt: skip

    return form


def _half(heads: int, half: int) -> View:
    """Return the view of the first or the second half of each head."""
    return lambda tensor: tensor.unflatten(0, (heads, 2, -1))[:, half]


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.t()


@dataclass(frozen=True)
class _Rows:
    """The view of some rows."""

    start: int
    stop: int

    def __call__(self, tensor: Tensor) -> Tensor:
        return tensor[self.start : self.stop]


@dataclass(frozen=True)
class _Grouped:
    """The view of some rows as (groups, heads, components of a head), and of some heads of each group."""

    rows: View
    sizes: tuple[int, int, int]
    heads: View = _all

    def __call__(self, tensor: Tensor) -> Tensor:
        return self.heads(self.rows(tensor).unflatten(0, self.sizes).transpose(0, 1))


@dataclass(frozen=True)
class _Within:
    """A view of a view."""

    outer: View
    inner: View

    def __call__(self, tensor: Tensor) -> Tensor:
        return self.inner(self.outer(tensor))
