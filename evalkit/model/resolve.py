"""From a user's name for a model to a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from evalkit.errors import CheckpointError, UsageError, unknown
from evalkit.extras import require
from evalkit.model import formats, hub
from evalkit.model.config import GPT3, HUB, LADDER

# Of files that people mean by a name without a folder.
_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".gguf", ".safetensors")


def bundled() -> Mapping[str, Path]:
    """Return the trained ladder models that ship with the package, by name."""
    zoo = Path(str(resources.files("evalkit") / "zoo"))
    return {name: zoo / name for name in LADDER if (zoo / name / "model.safetensors").is_file()}


def path_of(name: str) -> Path:
    """Find the checkpoint of a ladder name, GPT-1, a GPT-2 size, a path, or `hf:` with a hub ID or a folder.

    A path is a file, a folder, or `FOLDER@STEP` (or `FOLDER@last`) of a folder with several checkpoints; a folder with
    a single file of another trainer stands for that file. `hf:` means that transformers runs the model, of any
    architecture (engine/hf.py); our GPT runs all others.

    Raises CheckpointError when the weights are neither bundled, local nor cached, with the ways to provide them;
    UsageError for an unknown name.
    """
    if not name.strip():
        raise UsageError("an empty name of a model or tokenizer")
    try:
        Path(name).exists()
    except OSError as error:  # too long
        reason = error.strerror
        raise CheckpointError(f"no checkpoint file or folder {name[:100]} ({reason})") from error
    plain = name.removeprefix("hf:")
    if at_step := _at_step(plain):
        return at_step
    if plain != name:
        if plain and Path(plain).is_dir():
            return Path(plain)
        if not plain:
            raise CheckpointError("hf: names no model; it takes a folder or a hub ID such as owner/name")
        if plain.startswith((".", "/", "~")) or plain.count("/") > 1:
            raise CheckpointError(f"no checkpoint folder {plain} (hf: takes a folder or a hub ID such as owner/name)")
        require("transformers", f"models that transformers runs, such as {plain},")
        return hub.folder(plain, hub.ANY)
    shipped = bundled()
    if name in shipped:
        return shipped[name]
    if Path(name).is_dir():
        return _only(Path(name))
    if name in HUB:
        return hub.folder(HUB[name], hub.OURS)
    if Path(name).exists():
        return Path(name)
    if name in LADDER:
        raise CheckpointError(
            f"model {name!r} is not bundled yet; train it with: evalkit train --size {name} --corpus world --out {name}"
        )
    if name in GPT3:
        raise CheckpointError(
            f"the weights of GPT-3 were never released; train {name} with: evalkit train --size {name}"
        )
    if "/" in name or name.startswith(".") or Path(name).suffix in _SUFFIXES:
        raise CheckpointError(f"no checkpoint file or folder {name}")
    raise unknown("model", name, [*shipped, *HUB])


def tokenizer_path(name: str) -> Path:
    """Find the folder or file of a tokenizer, which a model's name stands for too. Raises the errors of path_of."""
    try:
        return path_of(name)
    except (CheckpointError, UsageError) as error:
        raise type(error)(f"--tokenizer {name}: {error}") from None


def _at_step(name: str) -> Path | None:
    """Return the checkpoint that FOLDER@STEP means; None for another kind of name."""
    place, at, word = name.rpartition("@")
    folder = Path(place)
    if not at or Path(name).exists() or not folder.is_dir():
        return None
    steps = dict[int, Path]()
    for path in (*formats.within(folder), *([folder] if formats.find(folder) else [])):
        if (step := _step_of(path, folder)) is not None:
            steps.setdefault(step, path)
    wanted = {str(step): step for step in steps}.get(word.lstrip("0") or word[-1:])
    if word == "last" and steps:
        wanted = max(steps)
    if wanted is not None:
        return steps[wanted]
    listed = f"{', '.join(map(str, sorted(steps)))}; or last" if steps else "none"
    raise CheckpointError(f"{folder} has no checkpoint of step {word} (it has: {listed})")


def _step_of(path: Path, folder: Path) -> int | None:
    """Return the step of a checkpoint in a folder, from its name or its training; the folder may be one itself."""
    if path != folder and (named := formats.step_in(path)) is not None:
        return named
    try:
        step = formats.open(path).training.get("step")
    except CheckpointError:
        return None
    return step if isinstance(step, int) else None


def _only(folder: Path) -> Path:
    """Return a folder that is a checkpoint, or the only checkpoint in it; a folder without any as it is."""
    if formats.find(folder):
        return folder
    inside = formats.within(folder)
    if len(inside) > 1:
        named = [path.name for path in inside]
        shown = ", ".join(named if len(named) <= 8 else [*named[:3], "...", *named[-3:]])
        other = f", or {folder}@STEP" if any(formats.step_in(path) is not None for path in inside) else ""
        raise CheckpointError(f"{folder} holds {len(inside)} checkpoints ({shown}): give one of them{other}")
    return inside[0] if inside else folder


def label_of(name: str, path: Path) -> str:
    """Return a model's name in results: the name by which it was found, or of a path its last part.

    A file is called after its folder too: trainers give all of their files one name (`ckpt.pt`).
    """
    place, at, step = name.rpartition("@")
    folder = Path(place)
    if at and not Path(name).exists() and folder.is_dir():
        if step == "last":
            step = str(_step_of(path, folder))
        return f"{folder.absolute().name}@{step}"
    if not Path(name).exists():
        return name
    absolute = path.absolute()
    return path.name if path.is_dir() else f"{absolute.parent.name}/{absolute.name}".removeprefix("/")


def whereabouts(name: str) -> str:
    """Return where the weights of a named size are, without using the network."""
    if name in bundled():
        return "bundled"
    if name in HUB:
        return hub.whereabouts(name)
    return "to be trained" if name in LADDER else "not released"
