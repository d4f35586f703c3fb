"""From a user's name for a model to a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from evalkit.errors import CheckpointError, unknown
from evalkit.model import hub
from evalkit.model.config import GPT3, HUB, LADDER


def bundled() -> Mapping[str, Path]:
    """Return the trained ladder models that ship with the package, by name."""
    zoo = Path(str(resources.files("evalkit") / "zoo"))
    return {name: zoo / name for name in LADDER if (zoo / name / "model.safetensors").is_file()}


def path_of(name: str) -> Path:
    """Find the checkpoint of a ladder name, GPT-1, a GPT-2 size, a path, or `hf:` with a hub ID or a folder.

    `hf:` means that transformers runs the model, of any architecture (engine/hf.py); our GPT runs all others.

    Raises CheckpointError when the weights are neither bundled, local nor cached, with the ways to provide them;
    UsageError for an unknown name.
    """
    plain = name.removeprefix("hf:")
    if plain != name:
        if plain and Path(plain).is_dir():
            return Path(plain)
        if not plain or plain.startswith((".", "/", "~")) or plain.count("/") > 1:
            raise CheckpointError(f"no checkpoint folder {plain} (hf: takes a folder or a hub ID such as owner/name)")
        return hub.folder(plain, hub.ANY)
    shipped = bundled()
    if name in shipped:
        return shipped[name]
    if Path(name).is_dir():
        return Path(name)
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
    if "/" in name or name.startswith("."):
        raise CheckpointError(f"no checkpoint file or folder {name}")
    raise unknown("model", name, [*shipped, *HUB])


def label_of(name: str, path: Path) -> str:
    """Return a model's name in results: the name by which it was found, or of a path its last part.

    A file is called after its folder too: trainers give all of their files one name (`ckpt.pt`).
    """
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
