"""Checkpoints: state.pt, from which a training is resumed, and the model folder beside it.

state.pt is authoritative: it holds weights, optimizers and the step, and is replaced atomically before the model folder
is written. A kill between the two leaves a model folder, or its record, one checkpoint behind; resuming writes it
again. Batches and dropout are functions of the step, so no other position needs to be stored.
"""

from __future__ import annotations

import contextlib
import io
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
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
SCRATCH = ".observed-"  # prefix of the folder that exists only while observers look at the model


def check_free(out: Path, *, resume: bool) -> None:
    """Raise UsageError when `out` already holds a training, unless it is to be resumed."""
    if (out / STATE).exists() and not resume:
        raise UsageError(f"{out} already holds a training; give --resume to continue it, or another --out")


def state_to_resume(out: Path, resume: int | bool) -> Path | None:
    """Return the state to resume from: the newest (True) or that of a step; None if there is none yet (or for False).

    Raises CheckpointError when there is no checkpoint of that step.
    """
    if resume is False:
        return None
    if resume is True:
        return out / STATE if (out / STATE).exists() else None
    path = folder_of(out, resume) / STATE
    if not path.exists():
        steps = ", ".join(str(step) for step, _ in _resumable(out))
        raise CheckpointError(f"{out} has no checkpoint of step {resume} to resume from (it has: {steps or 'none'})")
    return path


def folder_of(out: Path, step: int) -> Path:
    """Return the folder of a checkpoint that is kept in addition to the newest."""
    return out / f"step-{step}"


def step_folders(out: Path) -> list[tuple[int, Path]]:
    """Return (step, folder) of the checkpoints kept in addition to the newest, the oldest first."""
    folders = [(path.name.removeprefix("step-"), path) for path in out.glob("step-*")]
    return sorted((int(step), path) for step, path in folders if step.isdigit())


def _resumable(out: Path) -> list[tuple[int, Path]]:
    """Return (step, folder) of those that a training can be resumed from, the oldest first."""
    return [(step, folder) for step, folder in step_folders(out) if (folder / STATE).exists()]


def add_state(out: Path, folder: Path) -> None:
    """Put the newest state into a checkpoint's folder; as a link it takes no space until the newest is replaced.

    Called before the model is written there: a folder with a state is found and pruned, however incomplete it is.
    """
    target = make_folder(folder) / STATE
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(out / STATE)
    except OSError:  # a file system without hard links
        shutil.copyfile(out / STATE, target)


def prune(out: Path, *, last: int, every: int | None) -> None:
    """Remove all but the newest `last` checkpoints; of those at multiples of `every` steps the models stay."""
    states = _resumable(out)
    for step, folder in states[: max(0, len(states) - last)]:
        if every is not None and step % every == 0:
            (folder / STATE).unlink()
        else:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a checkpoint, its state last, so that what a kill in between leaves is still found and removed later."""
    for path in folder.iterdir():
        if path.name != STATE:
            path.unlink()
    shutil.rmtree(folder)


def forget_after(out: Path, step: int) -> None:
    """Remove the checkpoints of later steps, which a training resumed from this step takes again."""
    for later, folder in step_folders(out):
        if later > step:
            _remove(folder)


def sweep(out: Path) -> None:
    """Remove what interrupted writes have left behind."""
    folders = [folder for _, folder in step_folders(out)]
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
    """Write a state atomically: a kill in between leaves the previous one."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomic(path, buffer.getvalue())


def read_state(path: Path, *, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read the state of a training with these settings, or with fewer tokens; no code in the file is run.

    Raises CheckpointError when it is broken, or belongs to a training with other settings, naming the differences.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        stored = state["settings"]
        stored["model"] = asdict(GPTConfig.of(stored["model"]))  # fields newer than the file get their defaults
        compared = {key: value for key, value in settings.items() if key != "extended"}
        if compared["tokens"] > stored["tokens"]:
            del compared["tokens"]
        changed = list(_differences(stored, compared))
    except Exception as error:  # torch.load fails in many ways on a broken file
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} cannot be read: {reason}; is the file cut?") from error
    if changed:
        hint = "; a budget can be extended, not cut" if any(name.startswith("tokens:") for name in changed) else ""
        raise CheckpointError(f"{path} belongs to a training with other settings ({'; '.join(changed)}){hint}")
    return dict(state)


def extended(config: TrainConfig, state: Mapping[str, Any]) -> TrainConfig:
    """Return the settings with which a state's training goes on: with the extensions of its budget, a new one too."""
    stored = state["settings"]
    earlier = [(int(step), int(tokens)) for step, tokens in stored.get("extended") or ()]
    if config.tokens > stored["tokens"]:
        earlier.append((int(state["step"]), int(stored["tokens"])))
    return replace(config, extended=tuple(earlier))


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterable[str]:
    """Yield the differences, as "name: theirs -> ours"; of nested settings only the names that differ."""
    for key, value in ours.items():
        before = theirs.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            yield from _differences(before, value)
        elif before != value:
            yield f"{key}: {before} -> {value}"


def step_of_model(out: Path) -> int | None:
    """Return the step that a model folder records; None if it has no record."""
    with contextlib.suppress(CheckpointError, TypeError, KeyError):
        return int(read_json(out / "training.json", CheckpointError)["step"])
    return None


def dtype_of(out: Path) -> str | None:
    """Return the format of the products of the training in a folder; None if the folder has no record."""
    with contextlib.suppress(CheckpointError, TypeError, KeyError):
        return str(read_json(out / "training.json", CheckpointError)["settings"]["dtype"])
    return None


def record(config: TrainConfig, corpus: CorpusInfo, *, step: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of training.json: how the weights of a step were trained."""
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
        "flops": tokens * config.flops_per_token,
        "threads": torch.get_num_threads(),
        **facts,
    }


@cache
def _commit() -> str | None:
    """Return the commit of the checkout that this code runs from, with "+" if it has changes; None outside of one."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return None
