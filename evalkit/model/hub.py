"""Checkpoints of the Hugging Face hub: from its cache if it has them, otherwise fetched."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from evalkit.errors import CheckpointError
from evalkit.model.config import HUB
from evalkit.model.folder import INDEX, PICKLE, PICKLE_INDEX, SINGLE, weight_files
from evalkit.tokenizer.files import ADDED, CONFIG, SPECIAL_MAP
from evalkit.tokenizer.files import FILES as TOKENIZER_FILES

_TOKENIZER = [*TOKENIZER_FILES, CONFIG, SPECIAL_MAP, ADDED]
# The files of models that our own GPT runs.
OURS = ["config.json", *_TOKENIZER, "model*.safetensors", INDEX]
# The files that transformers reads for other architectures: configurations, any kind of tokenizer, weights in shards.
ANY = ["*.json", "*.txt", "*.model", "model*.safetensors"]


def whereabouts(name: str) -> str:
    """Return where the weights of a released size are, without using the network."""
    from huggingface_hub import try_to_load_from_cache

    paths = (try_to_load_from_cache(HUB[name], file) for file in (SINGLE, INDEX, PICKLE, PICKLE_INDEX))
    return f"{'cached' if any(isinstance(path, str) for path in paths) else 'to be fetched'}: {HUB[name]}"


def tokenizer_folder(repository: str) -> Path | None:
    """Return a folder with a repository's tokenizer, from the hub's cache or fetched; None if neither is possible."""
    import huggingface_hub

    for offline in (True, False):
        # The library's errors for being offline, and for what is not cached, share no base class.
        with contextlib.suppress(Exception):
            found = Path(
                huggingface_hub.snapshot_download(repository, allow_patterns=_TOKENIZER, local_files_only=offline)
            )
            if any((found / name).is_file() for name in TOKENIZER_FILES):
                return found
    return None


def _is_complete(folder: Path) -> bool:
    """Whether a folder of the cache has a configuration, a tokenizer and weights with all their shards."""
    try:
        weight_files(folder)
    except CheckpointError:
        return False
    tokenizer = any((folder / name).is_file() for name in (*TOKENIZER_FILES, "tokenizer.model"))
    return tokenizer and (folder / "config.json").is_file()


def folder(repository: str, patterns: Sequence[str]) -> Path:
    """Return a repository's folder in the hub's cache, downloading what is missing.

    A complete model in the cache is used as it is, without the network. A pickle is downloaded only if there are no
    safetensors.
    """
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    with contextlib.suppress(LocalEntryNotFoundError):
        found = Path(huggingface_hub.snapshot_download(repository, local_files_only=True))
        if _is_complete(found):
            return found
    try:
        found = Path(huggingface_hub.snapshot_download(repository, allow_patterns=list(patterns)))
        if not any(found.glob("model*.safetensors")):
            found = Path(
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
    return found
