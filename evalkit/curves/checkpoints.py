"""The checkpoints in a training's folder, and whether they are complete.

A checkpoint is a folder named after its step (step-500, checkpoint-500, ...), a file of any format (ckpt.pt,
model_000500.pt, ...), or the training's folder itself; a file or folder without a step in its name is replaced at every
save. It counts when its trainer has finished it:

    all of its bytes are there, as its format says, and
    the file that its trainer writes last is the newest; where the format has none such, nothing has changed for SETTLED
    seconds
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import CheckpointError, cannot
from evalkit.files import make_folder
from evalkit.model import formats
from evalkit.model.saved import Saved
from evalkit.tokenizer.files import ALL as TOKENIZER
from evalkit.tokenizer.files import FILES

SETTLED = 10.0

_NAMED = re.compile(r"(?:step|global_step|checkpoint|ckpt|iter)[-_]?(\d+)")
# litgpt's last folder, which says its step inside.
_LAST = "final"
# What only a training needs, which may be larger than the model.
_OF_THE_TRAINING = re.compile(r"state\.pt|(optimizer|scheduler|scaler|rng_state|training_args).*")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint.

    path: its folder or file. mark: changes whenever it is written again. files: all that it is read from. facts: what
    it says of its training.
    """

    step: int
    path: Path
    mark: str
    files: Sequence[Path]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def replaced(self) -> bool:
        """Whether its trainer writes the next step in its place, as its name does not say this one."""
        return _step_named(self.path) != self.step


def complete(folder: Path, *, settled: float = SETTLED) -> list[Checkpoint]:
    """Return the complete checkpoints in a training's folder, one for each step, the earliest first.

    settled: seconds without a change after which a checkpoint counts whose trainer does not say that it is finished.
    """
    found: dict[int, Checkpoint] = {}
    for path in _candidates(folder):
        checkpoint = look(path, settled=settled)
        if checkpoint:
            found.setdefault(checkpoint.step, checkpoint)  # one that names its step comes before one that is replaced
    return [found[step] for step in sorted(found)]


def _candidates(folder: Path) -> Iterator[Path]:
    """Yield what may be a checkpoint, the training's own folder last; other folders in it may be other trainings."""
    for path in formats.within(folder):
        if not path.is_dir() or _NAMED.fullmatch(path.name) or path.name == _LAST:
            yield path
    yield folder


def _step_named(path: Path) -> int | None:
    if not path.is_dir():
        return formats.step_in(path)
    named = _NAMED.fullmatch(path.name)
    return int(named[1]) if named else None


def look(path: Path, *, settled: float = SETTLED) -> Checkpoint | None:
    """Return a checkpoint if it is complete, else None: its trainer may be writing or removing it at this moment."""
    try:
        saved = _saved(path)
        if saved is None:
            return None
        times = [file.stat().st_mtime_ns for file in saved.files]
    except (CheckpointError, OSError):
        return None
    named = _step_named(path)
    step = saved.facts.get("step", named)
    if step is None or (path.is_dir() and named not in (None, step)) or not _finished(saved, times, named, settled):
        return None
    mark = ",".join(f"{file.name}:{modified}" for file, modified in zip(saved.files, times, strict=True))
    return Checkpoint(step=step, path=path, mark=mark, files=[*saved.files, *saved.tokenizer], facts=saved.facts)


def _saved(path: Path) -> Saved | None:
    """Return the files of a checkpoint whose bytes are all there; of a format that cannot tell, of one that opens."""
    form = formats.find(path)
    if form is None:
        return None
    if form.saved is not None:
        return form.saved(path)
    opened = form.opens(path, vocabulary=None)
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    return Saved(files=files, finished=False, facts=opened.training)


def _finished(saved: Saved, times: Sequence[int], named: int | None, settled: float) -> bool:
    """Whether no file is being written any more. times: when each was written, in nanoseconds."""
    quiet = time.time() - max(times) / 1e9 >= settled
    if not saved.finished:
        return quiet
    # Where the model is replaced, a last file older than the weights is that of the checkpoint before; where the name
    # says the step, times may be those of a copy.
    return times[-1] >= max(times) or (quiet and named is not None)


def snapshot(checkpoint: Checkpoint, target: Path) -> bool:
    """Put a checkpoint's files into another folder, where its trainer neither replaces nor removes them.

    They are linked, which takes no space, or copied where that is not possible, or where the trainer may write into the
    same files. Return whether the checkpoint was still the same afterwards. Raises DiskError where they can be neither
    linked nor copied.
    """
    shutil.rmtree(target, ignore_errors=True)
    make_folder(target)
    try:
        for path in _to_keep(checkpoint):
            if checkpoint.replaced:
                shutil.copyfile(path, target / path.name)
            else:
                _link(path.resolve(), target / path.name)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise cannot("copy a checkpoint to", target, error) from error
    now = look(checkpoint.path, settled=0.0)
    return now is not None and (now.step, now.mark) == (checkpoint.step, checkpoint.mark)


def _to_keep(checkpoint: Checkpoint) -> list[Path]:
    """Return the files that are read, of a file also a tokenizer beside it."""
    if checkpoint.path.is_dir():
        inside = [path for path in sorted(checkpoint.path.iterdir()) if path.is_file()]
        beside = [p for p in inside if not p.name.startswith(".") and not _OF_THE_TRAINING.fullmatch(p.name)]
    else:
        beside = [path for name in TOKENIZER if (path := checkpoint.path.with_name(name)).is_file()]
    # Of files with one name, that in the checkpoint's own folder counts, as when it is opened there.
    return list({path.name: path for path in (*reversed(checkpoint.files), *beside)}.values())


def add_tokenizer(folder: Path, source: Path) -> None:
    """Put the files of another folder's tokenizer into one that has none."""
    if not any((folder / name).exists() for name in FILES):
        for name in TOKENIZER:
            if (source / name).exists():
                _link((source / name).resolve(), folder / name)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
