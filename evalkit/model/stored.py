"""Two tensors of a checkpoint folder compared where they lie, for safetensors without torch.

A run whose answers are known loads no weights and no torch, but has to know what the model is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import CheckpointError
from evalkit.model.folder import weight_files

# Bytes that are compared at once, and the longest header of a safetensors file (its format's own limit).
_BLOCK, _HEADER = 1 << 22, 100_000_000


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies. kind: its dtype and shape. start: its first byte."""

    path: Path
    kind: tuple[str, tuple[int, ...]]
    start: int
    stop: int


def differs(folder: Path, first: str, second: str) -> bool:
    """Whether a folder holds both tensors, and they are not the same; "transformer." before a name makes no difference.

    False also for files that cannot be read: what is wrong with them is said by whoever reads them.
    """
    try:
        files = weight_files(folder)
        if files[0].suffix == ".bin":
            return _values_differ(folder, first, second)
        places = {name: place for path in files for name, place in _header(path).items() if name in (first, second)}
        if len(places) < 2:
            return False
        if places[first].kind != places[second].kind:
            return _values_differ(folder, first, second)
        return not _same_bytes(places[first], places[second])
    except (CheckpointError, OSError):
        return False


def _header(path: Path) -> Mapping[str, _Place]:
    """Read where the tensors of a safetensors file lie; of a damaged file nothing."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _HEADER:
            return {}
        try:
            raw = json.loads(file.read(length))
            return {
                name.removeprefix("transformer."): _Place(
                    path,
                    (str(about["dtype"]), tuple(map(int, about["shape"]))),
                    8 + length + int(about["data_offsets"][0]),
                    8 + length + int(about["data_offsets"][1]),
                )
                for name, about in raw.items()
                if name != "__metadata__"
            }
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError):
            return {}


def _same_bytes(first: _Place, second: _Place) -> bool:
    if first.stop - first.start != second.stop - second.start:
        return False
    with first.path.open("rb") as one, second.path.open("rb") as other:
        one.seek(first.start)
        other.seek(second.start)
        left = first.stop - first.start
        while left > 0:
            block = one.read(min(_BLOCK, left))
            if not block or block != other.read(len(block)):
                return False
            left -= len(block)
    return True


def _values_differ(folder: Path, first: str, second: str) -> bool:
    """Compare pickled tensors, or such of two dtypes, by their values."""
    import torch

    from evalkit.model import tensors

    found = []
    for key, path in tensors.locate(folder).items():
        if key.removeprefix("transformer.") in (first, second):
            [(_, tensor)] = tensors.read(path, [key])
            found.append(tensor)
    if len(found) < 2 or found[0].data_ptr() == found[1].data_ptr():
        return False
    return found[0].shape != found[1].shape or not torch.equal(found[0].float(), found[1].float())
