"""The tensors of a checkpoint folder, a few at a time, whatever files hold them.

A folder holds model.safetensors, or shards with model.safetensors.index.json, or pytorch_model.bin. Mapped pages that
were read count as memory until the file is closed, so files are opened anew for every few tensors: while a model is
loaded, memory holds the model and a few tensors, not the model and its file.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from evalkit.errors import CheckpointError
from evalkit.files import read_json

SINGLE, INDEX, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
# Tensors read while a file is open once; opening takes some milliseconds.
_AT_ONCE = 8


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a folder's weights (safetensors before shards before a pickle).

    Raises CheckpointError when there are none, or when the index names a file that is missing.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        return _shards(folder / INDEX)
    if (folder / PICKLE).is_file():
        return [folder / PICKLE]
    raise CheckpointError(f"{folder / SINGLE} is missing (nor is there {INDEX} or {PICKLE})")


def _shards(index: Path) -> list[Path]:
    raw = read_json(index, CheckpointError)
    places = raw.get("weight_map") if isinstance(raw, dict) else None
    if not places or not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise CheckpointError(f"{index}: weight_map must map the names of tensors to files")
    for tensor, name in places.items():
        if Path(name).name != name:
            raise CheckpointError(f"{index}: {name!r}, the file of tensor {tensor!r}, must be a name in this folder")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index.parent / name} is missing; {index.name} says it holds tensor {tensor!r}")
    return sorted({index.parent / name for name in places.values()})


def locate(folder: Path) -> dict[str, Path]:
    """Map the name of each tensor of a folder to the file that holds it.

    Raises CheckpointError for a file that is missing or cannot be read, and for a tensor that two shards hold.
    """
    places: dict[str, Path] = {}
    for path in weight_files(folder):
        with _opened(path) as file:
            for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                if key in places:
                    raise CheckpointError(f"tensor {key!r} is in {places[key]} and again in {path}")
                places[key] = path
    return places


def read(path: Path, keys: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor) of a file's tensors in the order asked for; copy each before you take the next.

    Raises CheckpointError when the file cannot be read.
    """
    # The format of torch before 1.6 cannot be mapped: it is read as a whole, once.
    at_once = len(keys) if path.suffix == ".bin" and not zipfile.is_zipfile(path) else _AT_ONCE
    for start in range(0, len(keys), at_once):
        with _opened(path) as file:
            for key in keys[start : start + at_once]:
                yield key, file.pop(key) if isinstance(file, dict) else file.get_tensor(key)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file of tensors: safetensors' handle, or a dict."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                yield file
        else:
            yield _unpickled(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; is the file cut?") from error


def _unpickled(path: Path) -> dict[str, Tensor]:
    """Read a pickle of tensors and nothing else: no code of the file runs."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu", mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path} is refused: it holds something other than tensors, and reading that could run code "
            f"({reason.partition('WeightsUnpickler error: ')[2][:120] or reason[:120]})"
        ) from error
    except Exception as error:  # torch.load fails in many ways on a broken file
        raise CheckpointError(f"{path} cannot be read: {' '.join(str(error).split())}; is the file cut?") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: expected a mapping from names to tensors")
    return state
