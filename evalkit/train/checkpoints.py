"""Checkpoints: state.pt, which a training goes on from, and the model folder beside it.

state.pt is the truth: it holds weights, optimizers and the step, and is replaced in one move before the model folder
is written. A kill between the two leaves a model folder that is one checkpoint older, or whose record is; resuming
writes it again. Batches and dropout are functions of the step, so no other position has to be stored.
"""

from __future__ import annotations

import contextlib
import io
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch

from evalkit import __version__
from evalkit.corpus import CorpusInfo
from evalkit.errors import CheckpointError, UsageError
from evalkit.files import make_folder, read_json, write_atomic
from evalkit.model.config import GPTConfig
from evalkit.train.config import TrainConfig

STATE = "state.pt"
SCRATCH = ".observed-"  # begins the name of a folder that exists only while observers look at the model


def check_free(out: Path, *, resume: bool) -> None:
    """Raise UsageError when `out` holds a training that is not to be resumed."""
    if (out / STATE).exists() and not resume:
        raise UsageError(f"{out} already holds a training; give --resume to go on with it, or another --out")


def place(out: Path, resume: int | bool) -> Path | None:
    """Return the state to go on from: the newest, or that of the step given; None where there is none yet.

    Raises CheckpointError when there is no checkpoint of that step.
    """
    if resume is False:
        return None
    if resume is True:
        return out / STATE if (out / STATE).exists() else None
    path = folder_of(out, resume) / STATE
    if not path.exists():
        steps = ", ".join(str(step) for step, folder in kept(out) if (folder / STATE).exists())
        raise CheckpointError(f"{out} has no checkpoint of step {resume} to go on from (it has: {steps or 'none'})")
    return path


def folder_of(out: Path, step: int) -> Path:
    """Return the folder of a checkpoint that stays beside the newest."""
    return out / f"step-{step}"


def kept(out: Path) -> list[tuple[int, Path]]:
    """Return (step, folder) of the checkpoints beside the newest, the oldest first."""
    found = [(path.name.removeprefix("step-"), path) for path in out.glob("step-*")]
    return sorted((int(step), path) for step, path in found if step.isdigit())


def add_way_back(out: Path, folder: Path) -> None:
    """Give a checkpoint's folder the state just written; as a link it takes no room until the newest is replaced.

    Before the model comes into the folder: what has a state is found and pruned, however incomplete it is.
    """
    target = make_folder(folder) / STATE
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(out / STATE)
    except OSError:  # a file system without links
        shutil.copyfile(out / STATE, target)


def prune(out: Path, *, last: int, every: int | None) -> None:
    """Drop the states of all but the newest `last` checkpoints; of those, models of every so many steps stay."""
    states = [(step, folder) for step, folder in kept(out) if (folder / STATE).exists()]
    for step, folder in states[: max(0, len(states) - last)]:
        if every is not None and step % every == 0:
            (folder / STATE).unlink()
        else:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a checkpoint, its state last: what a kill on the way leaves is still known as one and removed later."""
    for path in folder.iterdir():
        if path.name != STATE:
            path.unlink()
    shutil.rmtree(folder)


def forget_after(out: Path, step: int) -> None:
    """Remove the checkpoints of later steps: who goes back to a step takes those steps again."""
    for other, folder in kept(out):
        if other > step:
            _remove(folder)


def sweep(out: Path) -> None:
    """Remove what writes that were killed on the way left behind."""
    folders = [folder for _, folder in kept(out)]
    for folder in (out, *folders):
        for path in folder.glob(".*.*"):
            if path.is_file() and any(name in path.name for name in (".pt.", ".safetensors.", ".json.", ".jsonl.")):
                path.unlink(missing_ok=True)
    for folder in folders:
        if not any(folder.iterdir()):
            folder.rmdir()
    for path in out.glob(f"{SCRATCH}*"):
        shutil.rmtree(path)


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state in one move: whoever is killed on the way leaves the one before."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomic(path, buffer.getvalue())


def read_state(path: Path, *, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read a state of a training with these settings; nothing in the file is run as code.

    Raises CheckpointError when it is broken, or of a training with other settings, naming them.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        theirs = state["settings"]
        theirs["model"] = asdict(GPTConfig(**theirs["model"]))  # fields younger than the file have their defaults
        changed = list(_differences(theirs, settings))
    except Exception as error:  # torch.load fails in many ways on a broken file
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} cannot be read: {reason}; is the file cut?") from error
    if changed:
        raise CheckpointError(f"{path} is of a training with other settings ({'; '.join(changed)})")
    return dict(state)


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterable[str]:
    """Name what differs, as "name: theirs -> ours"; of nested settings only the names that do."""
    for key, value in ours.items():
        other = theirs.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            yield from _differences(other, value)
        elif other != value:
            yield f"{key}: {other} -> {value}"


def step_of_model(out: Path) -> int | None:
    """Return the step that a model folder says it is of; None where it says nothing."""
    with contextlib.suppress(CheckpointError, TypeError, KeyError):
        return int(read_json(out / "training.json", CheckpointError)["step"])
    return None


def record(config: TrainConfig, corpus: CorpusInfo, *, step: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Say how the weights of a step came about, for training.json."""
    tokens = step * config.tokens_per_step
    return {
        "evalkit": __version__,
        "commit": _commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "settings": config.decisive(corpus.fingerprint),
        "corpus": asdict(corpus),
        "parameters": config.model.parameters,
        "block_parameters": config.model.block_parameters,
        "step": step,
        "tokens": tokens,
        "flops": tokens * config.model.flops_per_token,
        "threads": torch.get_num_threads(),
        **facts,
    }


@cache
def _commit() -> str | None:
    """Return the commit of the checkout that this code runs from, "+" if it was changed since; None elsewhere."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    words = ["git", "-C", str(here), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return None
