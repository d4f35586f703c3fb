"""Columns of numbers as short text, for files that are committed: the shortest of a few codes.

A code is a letter followed by deflated bytes in base 85. Bytes of equal weight are grouped, because the upper bytes of
similar numbers are alike.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.base import Array

Bytes = NDArray[np.uint8]

_ID_BYTES = 4


def pack(values: Array, *, before: Array | None = None) -> str:
    """Pack (n,) float32 numbers; `before` is a similar column, if there is one (counts of n-grams fall by one)."""
    assert np.array_equal(values, values.astype(np.float32).astype(np.float64), equal_nan=True), "float32 only"
    codes = [encode(values) for encode in (_bits, _table, _integers, _floats)]
    codes.append(_steps(values, before) if before is not None else None)
    return min((code for code in codes if code is not None), key=len)


def unpack(text: str, n: int, *, before: Array | None = None) -> Array:
    """Undo `pack`. Raises ValueError for anything that is not n packed numbers."""
    if text[:1] == "s" and before is not None:
        return np.asarray(before + _joined(_inflate(text[1:]), "<i2", n))
    decode = _DECODERS.get(text[:1])
    if decode is None:
        raise ValueError(f"unknown code {text[:1]!r}")
    values = decode(_inflate(text[1:]), n)
    if len(values) != n:
        raise ValueError(f"{len(values)} numbers instead of {n}")
    return values.astype(np.float64)


def pack_ids(ids: NDArray[np.uint64]) -> str:
    """Pack ascending hashes of at most 32 bits as their distances."""
    return _deflate(_planes(np.diff(ids, prepend=np.uint64(0)).astype("<u8"))[: _ID_BYTES * len(ids)])


def unpack_ids(text: str, n: int) -> NDArray[np.uint64]:
    """Undo `pack_ids`. Raises ValueError for anything that is not n ascending ids."""
    raw = _sized(_inflate(text), _ID_BYTES * n)
    planes = np.zeros((8, n), dtype=np.uint8)
    planes[:_ID_BYTES] = raw.reshape(_ID_BYTES, n)
    steps = np.ascontiguousarray(planes.T).view("<u8").ravel()
    if (steps[1:] == 0).any():
        raise ValueError("an id appears twice")
    return np.cumsum(steps, dtype=np.uint64)


def _bits(values: Array) -> str | None:
    """Zeros and ones, eight a byte."""
    if not np.isin(values, (0.0, 1.0)).all():
        return None
    return "b" + _deflate(np.packbits(values.astype(np.uint8)))


def _table(values: Array) -> str | None:
    """The distinct numbers, often few, and an index of two bytes per number."""
    distinct, index = np.unique(values.astype("<f4").view("<u4"), return_inverse=True)
    if len(distinct) > 1 << 16:
        return None
    count = np.asarray([len(distinct)], dtype="<u4").view(np.uint8)
    return "t" + _deflate(np.concatenate([count, _planes(distinct), _planes(index.astype("<u2"))]))


def _integers(values: Array) -> str | None:
    """Integers of four bytes."""
    if not (np.abs(values) < 1 << 24).all() or (values != np.floor(values)).any() or np.signbit(values).any():
        return None
    return "i" + _deflate(_planes(values.astype("<u4")))


def _steps(values: Array, before: Array) -> str | None:
    """Small integral differences from another column."""
    if not (np.isfinite(values) & np.isfinite(before)).all():
        return None
    steps = values - before
    if not (np.abs(steps) < 1 << 15).all() or (steps != np.floor(steps)).any() or (before + steps != values).any():
        return None
    return "s" + _deflate(_planes(steps.astype("<i2")))


def _floats(values: Array) -> str:
    """Anything, as float32."""
    return "f" + _deflate(_planes(values.astype("<f4").view("<u4")))


def _read_table(raw: Bytes, n: int) -> Array:
    count = int(_sized(raw[:4], 4).view("<u4")[0])
    table = _joined(raw[4 : 4 + 4 * count], "<u4", count).view("<f4")
    index = _joined(raw[4 + 4 * count :], "<u2", n)
    if n and int(index.max()) >= count:
        raise ValueError("an index outside its table")
    return np.asarray(table[index], dtype=np.float64)


_DECODERS: Mapping[str, Callable[[Bytes, int], Array]] = {
    "b": lambda raw, n: np.unpackbits(_sized(raw, (n + 7) // 8))[:n].astype(np.float64),
    "t": _read_table,
    "i": lambda raw, n: _joined(raw, "<u4", n).astype(np.float64),
    "f": lambda raw, n: _joined(raw, "<u4", n).view("<f4").astype(np.float64),
}


def _planes(numbers: NDArray[Any]) -> Bytes:
    """Return all lowest bytes, then all second bytes, and so on."""
    return np.ascontiguousarray(numbers.view(np.uint8).reshape(len(numbers), numbers.itemsize).T).ravel()


def _joined(raw: Bytes, kind: str, n: int) -> NDArray[Any]:
    """Undo _planes."""
    width = np.dtype(kind).itemsize
    return np.ascontiguousarray(_sized(raw, width * n).reshape(width, n).T).view(kind).ravel()


def _sized(raw: Bytes, size: int) -> Bytes:
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes instead of {size}")
    return raw


def _deflate(raw: Bytes) -> str:
    return base64.b85encode(zlib.compress(raw.tobytes(), 9)).decode()


def _inflate(text: str) -> Bytes:
    try:
        return np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype=np.uint8)
    except zlib.error as error:
        raise ValueError(str(error)) from None
