"""The fields and tensors of a GGUF file (versions 2 and 3, little-endian), read one tensor at a time.

The gguf package undoes the quantisation; its own reader takes seconds for the fields of one tokenizer.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import CheckpointError
from evalkit.extras import require
from evalkit.files import check_regular
from evalkit.model.pieces import Shape

if TYPE_CHECKING:
    from torch import Tensor

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
# Value types by number: struct's letters; 8 is a text, 9 a list.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_ALIGNMENT = 32


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """Where a tensor is: the number of its kind, and its first byte."""

    shape: Shape
    kind: int
    start: int


class File:
    """A file's fields, and its tensors (a Source).

    Raises UsageError without the gguf package, CheckpointError for a damaged file.
    """

    def __init__(self, path: Path):
        self._path, self._gguf = path, require("gguf", f"{path}: GGUF files")
        check_regular(path, CheckpointError)
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                self.fields, self._tensors = _header(_Cursor(data))
                missing = max(map(self._end, self._tensors.values()), default=0) - len(data)
        except (OSError, ValueError, struct.error, RecursionError, OverflowError, MemoryError) as error:
            raise CheckpointError(f"{path} cannot be read: {str(error)[:200]}; is the file cut?") from error
        if missing > 0:
            raise CheckpointError(f"{path} cannot be read: {missing:,} bytes are missing; is the file cut?")
        self._shapes = {name: stored.shape for name, stored in self._tensors.items()}

    @property
    def kinds(self) -> list[str]:
        """The names of the kinds of numbers."""
        return sorted({self._gguf.GGMLQuantizationType(stored.kind).name for stored in self._tensors.values()})

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor."""
        return self._shapes

    def place(self, name: str) -> str:
        """Return where a tensor is: the file."""
        return str(self._path)

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor), in fp32; copy each before taking the next."""
        return ((name, self._tensor(name)) for name in names)

    def _rows(self, stored: _Stored) -> tuple[int, int]:
        """Return the number of a tensor's rows, and of the bytes of each. Raises ValueError for an unknown kind."""
        block, size = self._gguf.GGML_QUANT_SIZES[self._gguf.GGMLQuantizationType(stored.kind)]
        blocks, remainder = divmod(stored.shape[-1], block)
        if remainder:
            raise ValueError(f"a row of {stored.shape[-1]} numbers is not in blocks of {block}")
        return math.prod(stored.shape[:-1]), blocks * size

    def _end(self, stored: _Stored) -> int:
        return stored.start + math.prod(self._rows(stored))

    def _tensor(self, name: str) -> Tensor:
        import numpy as np
        import torch

        stored = self._tensors[name]
        kind = self._gguf.GGMLQuantizationType(stored.kind)
        what = f"{self._path}: tensor {name!r} ({kind.name}) cannot be read"
        try:
            data = np.fromfile(self._path, np.uint8, count=math.prod(self._rows(stored)), offset=stored.start)
            with np.errstate(all="ignore"):
                numbers = self._gguf.dequantize(data.reshape(self._rows(stored)), kind)
        except NotImplementedError as error:
            raise CheckpointError(f"{what}: the gguf package does not undo this quantisation") from error
        except (OSError, ValueError, MemoryError) as error:
            raise CheckpointError(f"{what}: {error}") from error
        return torch.from_numpy(numbers).reshape(stored.shape)


class _Cursor:
    """Reads values one after another. Raises ValueError at the end of the data."""

    def __init__(self, data: mmap.mmap):
        self._data, self.position = data, 0

    def bytes(self, count: int) -> bytes:
        start, self.position = self.position, self.position + count
        if self.position > len(self._data):
            raise ValueError(f"it ends within its header, at byte {len(self._data):,}")
        return self._data[start : self.position]

    def number(self, letter: str) -> Any:
        return struct.unpack(f"<{letter}", self.bytes(struct.calcsize(f"<{letter}")))[0]

    def text(self) -> str:
        return self.bytes(self.number("Q")).decode("utf-8", "surrogateescape")

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind == _LIST:
            inner, count = self.number("I"), self.number("Q")
            if inner in _NUMBERS:
                letter = _NUMBERS[inner]
                return list(struct.unpack(f"<{count}{letter}", self.bytes(count * struct.calcsize(f"<{letter}"))))
            return [self.value(inner) for _ in range(count)]
        if kind not in _NUMBERS:
            raise ValueError(f"a field has the unknown type {kind}")
        return self.number(_NUMBERS[kind])


def _header(cursor: _Cursor) -> tuple[dict[str, Any], dict[str, _Stored]]:
    """Read the fields, and where the tensors are."""
    magic, version = cursor.bytes(len(MAGIC)), cursor.number("I")
    if magic != MAGIC or version not in _VERSIONS:
        raise ValueError(f"not a little-endian GGUF file of version {' or '.join(map(str, _VERSIONS))}")
    tensors, fields = cursor.number("Q"), cursor.number("Q")
    values: dict[str, Any] = {}
    for _ in range(fields):
        name = cursor.text()
        values[name] = cursor.value(cursor.number("I"))
    places: dict[str, _Stored] = {}
    for _ in range(tensors):
        name = cursor.text()
        if name in places:
            raise ValueError(f"tensor {name!r} is in it twice")
        axes = cursor.number("I")
        if not 1 <= axes <= 4:
            raise ValueError(f"tensor {name!r} has {axes} axes")
        shape = tuple(cursor.number("Q") for _ in range(axes))[::-1]
        places[name] = _Stored(shape=shape, kind=cursor.number("I"), start=cursor.number("Q"))
    alignment = values.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
        raise ValueError(f"general.alignment is {alignment!r}")
    first = -(-cursor.position // alignment) * alignment
    return values, {
        name: _Stored(shape=place.shape, kind=place.kind, start=first + place.start) for name, place in places.items()
    }
