"""From what the user calls a model to a checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from evalkit.errors import CheckpointError, unknown
from evalkit.model.config import GPT2_HUB, LADDER

_NEEDED = ["config.json", "model.safetensors", "tokenizer.json"]


def bundled() -> Mapping[str, Path]:
    """Return the trained ladder models that ship with the package, by name."""
    zoo = Path(str(resources.files("evalkit") / "zoo"))
    return {name: zoo / name for name in LADDER if (zoo / name / "model.safetensors").is_file()}


def folder_of(name: str) -> Path:
    """Find the checkpoint folder of a ladder name, a GPT-2 size, a path, or `hf:` with a hub ID or a folder.

    Raises CheckpointError when the weights are neither bundled, local nor cached, naming the ways to provide them;
    UsageError for an unknown name.
    """
    hub = name.removeprefix("hf:")
    if hub != name:
        return Path(hub) if Path(hub).is_dir() else _from_hub(hub)
    shipped = bundled()
    if name in shipped:
        return shipped[name]
    if Path(name).is_dir():
        return Path(name)
    if name in GPT2_HUB:
        return _from_hub(GPT2_HUB[name])
    if name in LADDER:
        raise CheckpointError(
            f"model {name!r} is not bundled yet; train it with: evalkit train --size {name} --corpus world --out {name}"
        )
    if "/" in name or name.startswith("."):
        raise CheckpointError(f"no checkpoint folder {name}")
    raise unknown("model", name, [*shipped, *GPT2_HUB])


def _from_hub(repository: str) -> Path:
    """Return the hub cache's folder of a repository, fetching it where there is a network."""
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(repository, allow_patterns=[*_NEEDED, "vocab.json", "merges.txt"])
        )
    except Exception as error:  # the library's errors of being offline share no base class
        raise CheckpointError(
            f"the weights of {repository} are neither local nor in the hub's cache, and the hub cannot be reached "
            f"({type(error).__name__}). Provide them in one of three ways: a network connection; a folder that holds "
            f"{', '.join(_NEEDED)}, given as --model FOLDER; or HF_HOME pointing to a cache that has them"
        ) from error
