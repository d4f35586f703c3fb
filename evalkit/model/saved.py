"""What a trainer has written of a checkpoint: its files, once all of their bytes are there. Needs no torch."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The files of a checkpoint, all of which have their ends.

    files: all that decide what it is, apart from its tokenizer, in the order in which they are written. finished:
    whether nobody writes to any of them once the last is there; otherwise only time can tell. tokenizer: files of its
    tokenizer in other folders. facts: what it says of its training, its step first, as far as that is known without
    reading weights.
    """

    files: Sequence[Path]
    finished: bool
    tokenizer: Sequence[Path] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def whole(path: Path) -> bool:
    """Whether a file of weights has its end: what its header announces, or a pickle's list of contents."""
    if path.suffix != ".safetensors":
        return zipfile.is_zipfile(path)
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else -1
        if not 0 < length < path.stat().st_size:
            return False
        try:
            tensors = json.loads(file.read(length))
            ends = [about["data_offsets"][1] for name, about in tensors.items() if name != "__metadata__"]
        except (ValueError, LookupError, TypeError, AttributeError):
            return False
    return path.stat().st_size == 8 + length + max(ends, default=0)
