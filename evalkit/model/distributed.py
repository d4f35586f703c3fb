"""The tensors of a folder of torch.distributed.checkpoint: `.metadata`, and files with the parts that each rank wrote.

`.metadata` is a pickle; it is read as plain data. Each part is a small file of torch.save within a file, which is read
as a tensor and nothing else.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import CheckpointError
from evalkit.model import pickled
from evalkit.model.pieces import Shape

if TYPE_CHECKING:
    from torch import Tensor

METADATA = ".metadata"
_MOST = 1 << 30
_PLACE = "torch.distributed.checkpoint.metadata."
_DTYPES = "float64 float32 float16 bfloat16 float8_e4m3fn float8_e5m2 int64 int32 int16 int8 uint8 bool complex64"
_CLASSES = "Metadata TensorStorageMetadata BytesStorageMetadata ChunkStorageMetadata TensorProperties MetadataIndex"
_NAMES = frozenset(
    {
        *(_PLACE + name for name in f"{_CLASSES} StorageMeta _MEM_FORMAT_ENCODING".split()),
        # Where classes were, or are in other versions of torch and Python.
        *(
            f"torch.distributed._shard.sharded_tensor.metadata.{name}"
            for name in ("TensorProperties", "MEM_FORMAT_ENCODING")
        ),
        "torch.distributed.checkpoint.filesystem._StorageInfo",
        *(f"{module}.{kind}Path" for module in ("pathlib", "pathlib._local") for kind in ("Posix", "Windows")),
        *(f"torch.{name}" for name in ("Size", "serialization._get_layout", *_DTYPES.split())),
        "collections.OrderedDict",
    }
)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A part of a tensor. offsets, shape: where it is in the tensor; file, start, length: where its bytes are."""

    offsets: Shape
    shape: Shape
    file: str
    start: int
    length: int


class Distributed:
    """The tensors of a folder (a Source), and the numbers stored beside them.

    Raises CheckpointError for a damaged `.metadata`, and while reading for a missing or damaged file.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        metadata = pickled.read(folder / METADATA, names=_NAMES, most=_MOST)
        try:
            places = _places(metadata)
            self._parts = dict(_tensors(metadata, places))
            self._objects = dict(_objects(metadata, places))
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise CheckpointError(f"{folder / METADATA}: not the index of a distributed checkpoint ({error})") from None
        self._shapes = {name: shape for name, (shape, _) in self._parts.items()}

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor."""
        return self._shapes

    @property
    def lengths(self) -> Mapping[str, int]:
        """The least number of bytes of each file."""
        lengths = dict[str, int]()
        for part in (*(part for _, parts in self._parts.values() for part in parts), *self._objects.values()):
            lengths[part.file] = max(lengths.get(part.file, 0), part.start + part.length)
        return lengths

    def place(self, name: str) -> str:
        """Return the files of a tensor, or the index of all."""
        files = sorted({part.file for part in self._parts[name][1]}) if name in self._parts else [METADATA]
        return ", ".join(str(self._folder / file) for file in files)

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor); copy each before taking the next."""
        return ((name, self._whole(name)) for name in names)

    def number(self, end: str) -> int | None:
        """Return the whole number that is stored under a name with this end; None if there is none."""
        scalars = {name: parts[0] for name, (shape, parts) in self._parts.items() if not shape and parts}
        name = next((name for name in (*self._objects, *scalars) if name.endswith(end)), None)
        if name is None:
            return None
        value = self._loaded(name, scalars[name] if name in scalars else self._objects[name])
        value = value.item() if name in scalars and hasattr(value, "item") and not value.shape else value
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def _whole(self, name: str) -> Tensor:
        """Put a tensor together."""
        import torch

        shape, parts = self._parts[name]
        if len(parts) == 1 and parts[0].shape == shape:
            return self._part(name, parts[0])
        whole, covered = None, torch.zeros(shape, dtype=torch.bool)
        for part in parts:
            tensor = self._part(name, part)
            whole = tensor.new_empty(shape) if whole is None else whole
            where = tuple(slice(first, first + size) for first, size in zip(part.offsets, part.shape, strict=True))
            whole[where] = tensor
            covered[where] = True
        if whole is None or not bool(covered.all()):
            raise CheckpointError(f"{self._folder / METADATA}: tensor {name!r} is not complete")
        return whole

    def _part(self, name: str, part: _Part) -> Tensor:
        """Read a part of a tensor."""
        import torch

        tensor = self._loaded(name, part)
        if not isinstance(tensor, torch.Tensor) or tuple(tensor.shape) != part.shape:
            found = f"shape {tuple(tensor.shape)}" if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            where = f"{self._folder / part.file}: tensor {name!r}"
            raise CheckpointError(f"{where}: a part has {found}, {METADATA} says {part.shape}")
        return tensor.detach()

    def _loaded(self, name: str, part: _Part) -> Any:
        """Read what torch.save wrote, tensors and plain values only."""
        import torch

        path = self._folder / part.file
        what = f"{path}: tensor {name!r}"
        try:
            with path.open("rb") as file:
                file.seek(part.start)
                data = file.read(part.length)
        except OSError as error:
            raise CheckpointError(f"{what} cannot be read: {error.strerror or error}") from None
        if len(data) != part.length:
            raise CheckpointError(
                f"{what} cannot be read: {part.length - len(data):,} bytes are missing; is the file cut?"
            )
        try:
            return torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        except pickle.UnpicklingError as error:
            reason = " ".join(str(error).split()).partition("WeightsUnpickler error: ")[2][:120]
            raise CheckpointError(f"{what} is refused: reading it could run code ({reason})") from None
        except Exception as error:  # torch.load fails in many ways on a broken file
            raise CheckpointError(f"{what} cannot be read: {' '.join(str(error).split())[:200]}") from None


_Places = Mapping[tuple[str, Shape], Any]


def _places(metadata: Any) -> _Places:
    """Return where parts are, by the name and the offsets of each; of what has none, under no offsets."""
    places = {}
    for index, place in metadata["storage_data"].items():
        offset = index.state.get("offset")
        places[index["fqn"], () if offset is None else _shape(offset)] = place
    return places


def _tensors(metadata: Any, places: _Places) -> Iterator[tuple[str, tuple[Shape, list[_Part]]]]:
    """Yield each tensor's name, shape and parts."""
    for name, entry in metadata["state_dict_metadata"].items():
        if not isinstance(name, str) or not pickled.named(entry, "TensorStorageMetadata"):
            continue
        shape = _shape(entry["size"])
        parts = []
        for chunk in entry["chunks"]:
            offsets, size = _shape(chunk["offsets"]), _shape(chunk["sizes"])
            inside = len(offsets) == len(size) == len(shape) and all(
                first + length <= end for first, length, end in zip(offsets, size, shape, strict=True)
            )
            if not inside:
                raise ValueError(f"tensor {name!r} of shape {shape} has a part {size} at {offsets}")
            # A tensor that is not cut may be listed without its offset.
            place = places[name, offsets] if (name, offsets) in places else places[name, ()]
            parts.append(_Part(offsets=offsets, shape=size, **_location(place)))
        yield name, (shape, parts)


def _objects(metadata: Any, places: _Places) -> Iterator[tuple[str, _Part]]:
    """Yield the names of other objects, and where they are."""
    for name, entry in metadata["state_dict_metadata"].items():
        if isinstance(name, str) and pickled.named(entry, "BytesStorageMetadata"):
            yield name, _Part(offsets=(), shape=(), **_location(places[name, ()]))


def _location(info: Any) -> dict[str, Any]:
    """Return where a part's bytes are."""
    file, start, length = info["relative_path"], info["offset"], info["length"]
    if not isinstance(file, str) or Path(file).name != file or len(file) > 255:
        raise ValueError("each part must be in a file of this folder")
    if info.state.get("transform_descriptors"):
        raise ValueError(f"{file!r} is compressed, which is not read")
    if not all(isinstance(number, int) and 0 <= number < 1 << 62 for number in (start, length)):
        raise ValueError(f"the bytes of a part of {file!r} are not counted in whole numbers")
    return {"file": file, "start": start, "length": length}


def _shape(size: Any) -> Shape:
    """Return a shape, of torch.Size."""
    numbers = size.args[0] if pickled.named(size, "Size") else size
    if not isinstance(numbers, tuple | list) or not all(isinstance(n, int) and 0 <= n < 1 << 40 for n in numbers):
        raise ValueError("a shape is not a list of whole numbers")
    if math.prod(numbers) >= 1 << 48:
        raise ValueError(f"a tensor of shape {tuple(numbers)} is too large")
    return tuple(numbers)
