"""The tensors of safetensors and of torch's pickles, read a few at a time.

Mapped pages that were read count as memory until the file is closed, so files are reopened for every few tensors: while
a model is being loaded, memory holds the model and a few tensors, not the model and its file.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from evalkit.errors import CheckpointError
from evalkit.files import check_regular
from evalkit.model.folder import weight_files
from evalkit.model.pieces import Shape

# Numbers and tensors read each time a file is open; opening takes some milliseconds.
_NUMBERS, _TENSORS = 1 << 18, 16


class Source(Protocol):
    """Stored tensors by name. Errors are CheckpointErrors that name the file."""

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor, known without reading it."""
        ...

    def place(self, name: str) -> str:
        """Return where a tensor is, for messages; with an unknown name, all places."""
        ...

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor) in any order; copy each before taking the next."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a tensor is: the file, and its name there."""

    path: Path
    key: str
    shape: Shape


class Files:
    """The tensors of one or more files. within: the keys that lead to the tensors of a pickle that holds more.

    Raises CheckpointError for a file that is missing or cannot be read, and for a tensor that two files hold.
    """

    def __init__(self, files: Sequence[Path], *, within: Sequence[str] = ()):
        self._files, self._within = files, within
        self._places: dict[str, _Place] = {}
        for path in self._files:
            with _opened(path, within) as file:
                for name, place in _contents(path, file):
                    if name in self._places:
                        raise CheckpointError(f"tensor {name!r} is in {self._places[name].path} and again in {path}")
                    self._places[name] = place
        self._shapes = {name: place.shape for name, place in self._places.items()}

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor."""
        return self._shapes

    def place(self, name: str) -> str:
        """Return the file of a tensor, or all files."""
        return str(self._places[name].path) if name in self._places else ", ".join(map(str, self._files))

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor), file by file; copy each before taking the next."""
        for path in self._files:
            inside = [name for name in names if self._places[name].path == path]
            # The format of torch before 1.6 cannot be memory-mapped: the file is read completely, once.
            whole = path.suffix != ".safetensors" and not zipfile.is_zipfile(path)
            for group in [inside] if whole else self._groups(inside):
                with _opened(path, self._within) as file:
                    for name in group:
                        key = self._places[name].key
                        yield name, file.pop(key) if isinstance(file, dict) else file.get_tensor(key)

    def _groups(self, names: Sequence[str]) -> Iterator[list[str]]:
        """Cut names into groups that are read while a file is open."""
        group: list[str] = []
        for name in names:
            group.append(name)
            if len(group) == _TENSORS or sum(math.prod(self._places[other].shape) for other in group) >= _NUMBERS:
                yield group
                group = []
        if group:
            yield group


class Folder(Files):
    """The tensors of a folder: model.safetensors, pytorch_model.bin, or shards of either with their index."""

    def __init__(self, folder: Path):
        super().__init__(weight_files(folder))


class Raw:
    """Tensors that stand in a file as bare numbers. places: where each begins, and its shape; dtype: torch's name."""

    def __init__(self, path: Path, places: Mapping[str, tuple[int, Shape]], *, dtype: str):
        self._path, self._places, self._dtype = path, places, getattr(torch, dtype)
        self._shapes = {name: shape for name, (_, shape) in places.items()}

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor."""
        return self._shapes

    def place(self, name: str) -> str:
        """Return the file."""
        return str(self._path)

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor)."""
        with self._path.open("rb") as file:
            for name in names:
                start, shape = self._places[name]
                file.seek(start)
                numbers = bytearray(file.read(math.prod(shape) * self._dtype.itemsize))
                if len(numbers) != math.prod(shape) * self._dtype.itemsize:
                    raise CheckpointError(f"{self._path}: tensor {name!r} is cut")
                yield name, torch.frombuffer(numbers, dtype=self._dtype).view(shape)


class Renamed:
    """Stored tensors under other names. names: each stored name -> the new one; others are left out."""

    def __init__(self, source: Source, names: Mapping[str, str]):
        self._source, self._stored = source, {new: name for name, new in names.items()}
        self._shapes = {new: source.shapes[name] for name, new in names.items()}

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor."""
        return self._shapes

    def place(self, name: str) -> str:
        """Return where a tensor is."""
        return self._source.place(self._stored.get(name, name))

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor); copy each before taking the next."""
        new = {self._stored[name]: name for name in names}
        # Not a loop that yields: its variable would hold the tensor while the next one is read.
        return map(lambda pair: (new[pair[0]], pair[1]), self._source.read(list(new)))  # noqa: C417


def differ(*tensors: Tensor) -> bool:
    """Whether there are two tensors that hold different numbers; two names of one stored tensor do not."""
    if len(tensors) < 2 or tensors[0].data_ptr() == tensors[1].data_ptr():
        return False
    return tensors[0].shape != tensors[1].shape or not torch.equal(tensors[0].float(), tensors[1].float())


class Completed:
    """Stored tensors, and tensors of ones for gains that a network does not have. ones: their names and shapes."""

    def __init__(self, source: Source, ones: Mapping[str, Shape]):
        self._source, self._ones = source, ones
        self._shapes = {**source.shapes, **ones}

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor."""
        return self._shapes

    def place(self, name: str) -> str:
        """Return where a tensor is."""
        return self._source.place(name)

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor); copy each before taking the next."""
        ones = ((name, torch.ones(self._ones[name])) for name in names if name in self._ones)
        return chain(ones, self._source.read([name for name in names if name not in self._ones]))


def _contents(path: Path, file: Any) -> Iterator[tuple[str, _Place]]:
    """Yield the tensors of an open file, and the other names that `save_model` of safetensors notes for shared ones."""
    if isinstance(file, dict):
        for name, tensor in file.items():
            yield name, _Place(path=path, key=name, shape=tuple(tensor.shape))
        return
    places = {
        name: _Place(path=path, key=name, shape=tuple(file.get_slice(name).get_shape()))
        for name in file.keys()  # noqa: SIM118
    }
    yield from places.items()
    for alias, name in (file.metadata() or {}).items():
        if name in places and alias not in places:
            yield alias, places[name]


@contextmanager
def _opened(path: Path, within: Sequence[str]) -> Iterator[Any]:
    """Open a file of tensors as safetensors' handle, or as a dict."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                yield file
        else:
            yield _tensors(path, within)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; is the file cut?") from error


def _tensors(path: Path, within: Sequence[str]) -> dict[str, Tensor]:
    """Read the tensors of a pickle."""
    return plain(unpickled(path), path, within=within)


def plain(state: Any, path: Path, *, within: Sequence[str] = ()) -> dict[str, Tensor]:
    """Return the tensors of an unpickled file. Raises CheckpointError for anything but a table of dense ones."""
    for key in within:
        state = state.get(key) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(map(_is_dense, state.values())):
        where = f" in {'.'.join(within)}" if within else ""
        raise CheckpointError(f"{path}: expected a mapping from names to tensors{where}")
    return state


def _is_dense(value: Any) -> bool:
    known = isinstance(value, Tensor) and value.layout == torch.strided
    return known and value.device.type == "cpu" and not value.is_quantized and not value.is_complex()


def unpickled(path: Path) -> Any:
    """Read a pickle of torch that holds only tensors and plain values; no code in the file is run."""
    check_regular(path, CheckpointError)
    try:
        return torch.load(path, weights_only=True, map_location="cpu", mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path} is refused: it holds something other than tensors, and reading that could run code "
            f"({reason.partition('WeightsUnpickler error: ')[2][:120] or reason[:120]})"
        ) from error
    except Exception as error:  # torch.load fails in many ways on a broken file
        raise CheckpointError(f"{path} cannot be read: {' '.join(str(error).split())}; is the file cut?") from error
