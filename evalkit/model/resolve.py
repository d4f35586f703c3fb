"""From a user's name for a model to a checkpoint folder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from evalkit.errors import CheckpointError, unknown
from evalkit.model.config import GPT3, HUB, LADDER
from evalkit.model.folder import PICKLE, PICKLE_INDEX, weight_files
from evalkit.tokenizer import ADDED, CONFIG, SPECIAL_MAP
from evalkit.tokenizer import FILES as TOKENIZER_FILES

_SAFETENSORS = ["model.safetensors", "model.safetensors.index.json"]
_TOKENIZER = [*TOKENIZER_FILES, CONFIG, SPECIAL_MAP, ADDED]
_OURS = ["config.json", *_TOKENIZER, "model*.safetensors", _SAFETENSORS[1]]
# The files that transformers reads for other architectures: configurations, any kind of tokenizer, weights in shards.
_ANY = ["*.json", "*.txt", "*.model", "model*.safetensors"]


def bundled() -> Mapping[str, Path]:
    """Return the trained ladder models that ship with the package, by name."""
    zoo = Path(str(resources.files("evalkit") / "zoo"))
    return {name: zoo / name for name in LADDER if (zoo / name / "model.safetensors").is_file()}


def folder_of(name: str) -> Path:
    """Find the checkpoint folder of a ladder name, GPT-1, a GPT-2 size, a path, or `hf:` with a hub ID or a folder.

    `hf:` means that transformers runs the model, of any architecture (engine/hf.py); our GPT runs all others.

    Raises CheckpointError when the weights are neither bundled, local nor cached, with the ways to provide them;
    UsageError for an unknown name.
    """
    hub = name.removeprefix("hf:")
    if hub != name:
        if hub and Path(hub).is_dir():
            return Path(hub)
        if not hub or hub.startswith((".", "/", "~")) or hub.count("/") > 1:
            raise CheckpointError(f"no checkpoint folder {hub} (hf: takes a folder or a hub ID such as owner/name)")
        return _from_hub(hub, _ANY)
    shipped = bundled()
    if name in shipped:
        return shipped[name]
    if Path(name).is_dir():
        return Path(name)
    if name in HUB:
        return _from_hub(HUB[name], _OURS)
    if Path(name).is_file():
        raise _is_file(Path(name))
    if name in LADDER:
        raise CheckpointError(
            f"model {name!r} is not bundled yet; train it with: evalkit train --size {name} --corpus world --out {name}"
        )
    if name in GPT3:
        raise CheckpointError(
            f"the weights of GPT-3 were never released; train {name} with: evalkit train --size {name}"
        )
    if "/" in name or name.startswith("."):
        raise CheckpointError(f"no checkpoint folder {name}")
    raise unknown("model", name, [*shipped, *HUB])


def _is_file(path: Path) -> CheckpointError:
    """Build the error for a file in place of a folder, with a hint for files of other trainers."""
    if path.suffix in (".pt", ".pth", ".ckpt"):
        hint = f"a training's own file (nanoGPT's {path.name}) is converted as docs/checkpoints.md explains"
    elif path.suffix in (".safetensors", ".bin", ".json"):
        hint = f"give {path.parent} if it holds all of them"
    else:
        hint = "hf:FOLDER takes whatever transformers reads"
    return CheckpointError(
        f"{path} is a file; a checkpoint is a folder with config.json, model.safetensors and a tokenizer: {hint}"
    )


def whereabouts(name: str) -> str:
    """Return where the weights of a named size are, without using the network."""
    if name in bundled():
        return "bundled"
    if name not in HUB:
        return "to be trained" if name in LADDER else "not released"
    from huggingface_hub import try_to_load_from_cache

    paths = (try_to_load_from_cache(HUB[name], file) for file in (*_SAFETENSORS, PICKLE, PICKLE_INDEX))
    return f"{'cached' if any(isinstance(path, str) for path in paths) else 'to be fetched'}: {HUB[name]}"


def _is_complete(folder: Path) -> bool:
    """Whether a folder of the cache has a configuration, a tokenizer and weights with all their shards."""
    try:
        weight_files(folder)
    except CheckpointError:
        return False
    tokenizer = any((folder / name).is_file() for name in (*TOKENIZER_FILES, "tokenizer.model"))
    return tokenizer and (folder / "config.json").is_file()


def _from_hub(repository: str, patterns: list[str]) -> Path:
    """Return a repository's folder in the hub's cache, downloading what is missing.

    A complete model in the cache is used as it is, without the network. A pickle is downloaded only if there are no
    safetensors.
    """
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    with contextlib.suppress(LocalEntryNotFoundError):
        folder = Path(huggingface_hub.snapshot_download(repository, local_files_only=True))
        if _is_complete(folder):
            return folder
    try:
        folder = Path(huggingface_hub.snapshot_download(repository, allow_patterns=patterns))
        if not any(folder.glob("model*.safetensors")):
            folder = Path(
                huggingface_hub.snapshot_download(
                    repository, allow_patterns=[*patterns, "pytorch_model*.bin", PICKLE_INDEX]
                )
            )
    except Exception as error:  # the library's errors for being offline share no base class
        raise CheckpointError(
            f"the weights of {repository} are neither local nor in the hub's cache, and the hub cannot be reached "
            f"({type(error).__name__}). Provide them in one of three ways: a network connection; a folder that holds "
            f"config.json, model.safetensors and tokenizer.json, given as --model FOLDER; or HF_HOME pointing to a "
            f"cache that has them"
        ) from error
    return folder
