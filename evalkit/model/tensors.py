"""The tensors of a checkpoint folder, read a few at a time from any of its formats.

A folder holds model.safetensors or pytorch_model.bin, or shards of either with their index. Mapped pages that
were read count as memory until the file is closed, so files are reopened for every few tensors: while a model is being
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
from evalkit.model.folder import weight_files

# Tensors read each time a file is open; opening takes some milliseconds.
_AT_ONCE = 8


def locate(folder: Path) -> dict[str, Path]:
    """Map the name of each tensor of a folder to the file that holds it.

    Raises CheckpointError for a file that is missing or cannot be read, and for a tensor that two shards hold.
    """
    file_of_tensor: dict[str, Path] = {}
    for path in weight_files(folder):
        with _opened(path) as file:
            for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                if key in file_of_tensor:
                    raise CheckpointError(f"tensor {key!r} is in {file_of_tensor[key]} and again in {path}")
                file_of_tensor[key] = path
    return file_of_tensor


def read(path: Path, keys: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor) of a file's tensors in the order of `keys`; copy each before taking the next.

    Raises CheckpointError when the file cannot be read.
    """
    # The format of torch before 1.6 cannot be memory-mapped: the file is read completely, once.
    at_once = len(keys) if path.suffix == ".bin" and not zipfile.is_zipfile(path) else _AT_ONCE
    for start in range(0, len(keys), at_once):
        with _opened(path) as file:
            for key in keys[start : start + at_once]:
                yield key, file.pop(key) if isinstance(file, dict) else file.get_tensor(key)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file of tensors as safetensors' handle, or as a dict."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                yield file
        else:
            yield _unpickled(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; is the file cut?") from error


def _unpickled(path: Path) -> dict[str, Tensor]:
    """Read a pickle that holds only tensors; no code in the file is run."""
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
