"""Compares two tensors of a checkpoint folder in their files; for safetensors without torch.

A run whose answers are all cached loads neither weights nor torch, but must still identify the model.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import CheckpointError
from evalkit.model.folder import weight_files

# Bytes compared at once, and the longest header of a safetensors file (the format's own limit).
_BLOCK, _HEADER = 1 << 22, 100_000_000


@dataclass(frozen=True)
class _Location:
    """Where a tensor is stored. kind: its dtype and shape. start, stop: its bytes in the file, stop exclusive."""

    path: Path
    kind: tuple[str, tuple[int, ...]]
    start: int
    stop: int


def differs(folder: Path, first: str, second: str, *, prefix: str) -> bool:
    """Whether a folder holds both tensors and they differ; names are compared without the prefix.

    False also for files that cannot be read: the code that loads them reports the error.
    """
    names = {first.removeprefix(prefix), second.removeprefix(prefix)}
    try:
        files = weight_files(folder)
        if files[0].suffix == ".bin":
            return _values_differ(folder, names, prefix)
        headers = ((key.removeprefix(prefix), place) for path in files for key, place in _header(path).items())
        places = list({name: place for name, place in headers if name in names}.values())
        if len(places) < 2:
            return False
        if places[0].kind != places[1].kind:
            return _values_differ(folder, names, prefix)
        return not _same_bytes(*places)
    except (CheckpointError, OSError):
        return False


def _header(path: Path) -> Mapping[str, _Location]:
    """Return where the tensors of a safetensors file are stored; empty for a damaged file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _HEADER:
            return {}
        try:
            raw = json.loads(file.read(length))
            return {
                name: _Location(
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


def _same_bytes(first: _Location, second: _Location) -> bool:
    if first.stop - first.start != second.stop - second.start:
        return False
    with first.path.open("rb") as first_file, second.path.open("rb") as second_file:
        first_file.seek(first.start)
        second_file.seek(second.start)
        remaining = first.stop - first.start
        while remaining > 0:
            block = first_file.read(min(_BLOCK, remaining))
            if not block or block != second_file.read(len(block)):
                return False
            remaining -= len(block)
    return True


def _values_differ(folder: Path, names: Container[str], prefix: str) -> bool:
    """Compare tensors by their values: pickled ones, or ones of two dtypes or shapes."""
    from evalkit.model import tensors

    pair = []
    stored = tensors.Folder(folder)
    for name in stored.shapes:
        if name.removeprefix(prefix) in names:
            [(_, tensor)] = stored.read([name])
            pair.append(tensor)
    return tensors.differ(*pair)
