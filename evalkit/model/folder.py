"""A checkpoint folder whose weights are not read: which files decide its scores, and what identifies them.

Needs no torch.
"""

from __future__ import annotations

from pathlib import Path

from evalkit.errors import CheckpointError
from evalkit.files import canonical_json, digest, hash_files, read_json
from evalkit.model.config import GPTConfig
from evalkit.model.settings import Settings
from evalkit.tokenizer.files import FILES as TOKENIZER_FILES
from evalkit.tokenizer.files import added_tokens

CONFIG = "config.json"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a folder's weights (safetensors before pickles, one file before shards).

    Raises CheckpointError when there are none, or when the index is broken or names a missing file.
    """
    for single, index in ((SINGLE, INDEX), (PICKLE, PICKLE_INDEX)):
        if (folder / single).is_file():
            return [folder / single]
        if (folder / index).is_file():
            return _shards(folder / index)
    raise CheckpointError(f"{folder / SINGLE} is missing (nor is there {INDEX}, {PICKLE} or {PICKLE_INDEX})")


def _shards(index: Path) -> list[Path]:
    raw = read_json(index, CheckpointError)
    file_of_tensor = raw.get("weight_map") if isinstance(raw, dict) else None
    if (
        not file_of_tensor
        or not isinstance(file_of_tensor, dict)
        or not all(isinstance(name, str) for name in file_of_tensor.values())
    ):
        raise CheckpointError(f"{index}: weight_map must map the names of tensors to files")
    for tensor, name in file_of_tensor.items():
        if Path(name).name != name or len(name) > 255:
            raise CheckpointError(f"{index}: {name!r}, the file of tensor {tensor!r}, must be a name in this folder")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index.parent / name} is missing; {index.name} says it holds tensor {tensor!r}")
    return sorted({index.parent / name for name in file_of_tensor.values()})


def content_hash(folder: Path) -> str:
    """Return 16 hexadecimal digits of everything that decides a checkpoint's scores."""
    names = (folder / name for name in TOKENIZER_FILES)
    paths = (folder / CONFIG, *weight_files(folder), *names)
    files, added = hash_files(*(path for path in paths if path.is_file()))[:16], added_tokens(folder)
    # Files have the hash that they had before these counted, unless they say something unusual.
    if (ends := stop_ids(folder)) != _stop_ids(folder / CONFIG):
        added = [*added, {"ends": ends}]
    return digest(canonical_json([files, added])) if added else files


def stop_ids(folder: Path) -> list[int]:
    """Return the ids that end a generated text, from generation_config.json or, without one, config.json.

    Raises CheckpointError for anything but a whole number or a list of them.
    """
    generation = folder / "generation_config.json"
    return _stop_ids(generation if generation.is_file() else folder / CONFIG)


def _stop_ids(path: Path) -> list[int]:
    settings = Settings.read(path)
    if not settings.has("eos_token_id"):
        return []
    return list(settings.wholes("eos_token_id"))


def begin_setting(*, every_window: bool) -> dict[str, str]:
    """Return the signature's entry for windows that each begin as the document does; otherwise nothing."""
    return {"begin": "every-window"} if every_window else {}


def signature(
    config: GPTConfig, *, name: str, content_hash: str, dtype: str, stride: int, every_window: bool = False
) -> dict[str, str]:
    """Return what identifies a model's numbers: name, content hash, dtype, parameters and the layout of windows."""
    return {
        "model": name,
        "hash": content_hash,
        "dtype": dtype,
        "parameters": str(config.parameters),
        "block_parameters": str(config.block_parameters),
        "context": str(config.context),
        "stride": str(stride),
        **begin_setting(every_window=every_window),
    }
