"""The checkpoints in a training's folder, and whether they are complete.

A checkpoint is a folder named after its step (step-500, checkpoint-500, ...), or the training's folder itself, whose
model is replaced at every save. It counts when its trainer has finished it:

    ours            training.json is written last, and names the step
    transformers'   trainer_state.json is written last, and names the step
    any other       all files of weights are whole, and have not changed for SETTLED seconds
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import CheckpointError, cannot
from evalkit.files import make_folder, read_json
from evalkit.model import record
from evalkit.model.folder import weight_files
from evalkit.tokenizer import ADDED, CONFIG, SPECIAL_MAP
from evalkit.tokenizer import FILES as TOKENIZER

SETTLED = 10.0

_NAMED = re.compile(r"(?:step|global_step|checkpoint|ckpt|iter)[-_]?(\d+)")
_OURS, _TRANSFORMERS = "training.json", "trainer_state.json"
# What only a training needs, which may be larger than the model.
_OF_THE_TRAINING = re.compile(r"state\.pt|(optimizer|scheduler|scaler|rng_state|training_args).*")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint.

    mark: changes whenever its weights are written again. facts: what it says of its training.
    """

    step: int
    folder: Path
    mark: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def complete(folder: Path, *, settled: float = SETTLED) -> list[Checkpoint]:
    """Return the complete checkpoints in a training's folder, one for each step, the earliest first.

    settled: seconds without a change after which a checkpoint of an unknown trainer counts.
    """
    found: dict[int, Checkpoint] = {}
    for path in _candidates(folder):
        checkpoint = look(path, settled=settled)
        if checkpoint:
            found.setdefault(checkpoint.step, checkpoint)  # a folder of its own comes before one that is replaced
    return [found[step] for step in sorted(found)]


def _candidates(folder: Path) -> Iterator[Path]:
    """Yield the folders that may be checkpoints, the training's own last."""
    yield from sorted(path for path in folder.iterdir() if path.is_dir() and _NAMED.fullmatch(path.name))
    yield folder


def look(folder: Path, *, settled: float = SETTLED) -> Checkpoint | None:
    """Return a checkpoint if it is complete, else None: its trainer may be writing or removing it at this moment."""
    try:
        read_json(folder / "config.json", CheckpointError)
        files = weight_files(folder)
        times = [path.stat().st_mtime_ns for path in (*files, folder / "config.json")]
        if not all(map(_whole, files)):
            return None
        facts = _facts(folder, newest=max(times), settled=settled)
    except (CheckpointError, OSError):
        return None
    named = _NAMED.fullmatch(folder.name)
    if facts is None or (named and facts.get("step", int(named[1])) != int(named[1])):
        return None
    step = facts.get("step", int(named[1]) if named else None)
    mark = ",".join(f"{path.name}:{modified}" for path, modified in zip(files, times, strict=False))
    return None if step is None else Checkpoint(step=step, folder=folder, mark=mark, facts=facts)


def _facts(folder: Path, *, newest: int, settled: float) -> dict[str, Any] | None:
    """Return what a checkpoint's last file says of the training; None while its trainer is at work.

    newest: when a weight was last written, in nanoseconds.
    """
    quiet = time.time() - newest / 1e9 >= settled
    for name, read in ((_OURS, _of_ours), (_TRANSFORMERS, record.of_trainer_state)):
        path = folder / name
        if path.exists():
            facts = read(read_json(path, CheckpointError))
            # In a folder whose model is replaced, a record older than the weights is that of the checkpoint before;
            # in one that names its step, times may be those of a copy.
            last = path.stat().st_mtime_ns >= newest or (quiet and _NAMED.fullmatch(folder.name))
            return facts if last else None
    return {} if quiet else None


def _of_ours(record: Any) -> dict[str, Any] | None:
    step = record.get("step") if isinstance(record, dict) else None
    return {"step": step} if isinstance(step, int) else None  # the rest is read with the model


def _whole(path: Path) -> bool:
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


def snapshot(checkpoint: Checkpoint, target: Path) -> bool:
    """Put a checkpoint's files into another folder, where its trainer neither replaces nor removes them.

    They are linked, which takes no space, or copied where that is not possible. Return whether the checkpoint was still
    the same afterwards. Raises DiskError where they can be neither linked nor copied.
    """
    shutil.rmtree(target, ignore_errors=True)
    make_folder(target)
    try:
        for path in sorted(checkpoint.folder.iterdir()):
            if path.is_file() and not path.name.startswith(".") and not _OF_THE_TRAINING.fullmatch(path.name):
                _link(path.resolve(), target / path.name)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise cannot("copy a checkpoint to", target, error) from error
    now = look(checkpoint.folder, settled=0.0)
    return now is not None and (now.step, now.mark) == (checkpoint.step, checkpoint.mark)


def add_tokenizer(folder: Path, source: Path) -> None:
    """Put the files of another folder's tokenizer into one that has none."""
    if not any((folder / name).exists() for name in TOKENIZER):
        for name in (*TOKENIZER, CONFIG, SPECIAL_MAP, ADDED):
            if (source / name).exists():
                _link((source / name).resolve(), folder / name)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
