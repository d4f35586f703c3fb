"""Reading and writing weights. A checkpoint is a folder in transformers' own layout for GPT-1 or GPT-2:

config.json, model.safetensors, tokenizer.json, tokenizer_config.json (and training.json, our training record),
so that `AutoModelForCausalLM.from_pretrained` reads it unchanged. layouts.py describes how GPT-3 is stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor
from torch.overrides import TorchFunctionMode

from evalkit.errors import CheckpointError, UsageError
from evalkit.files import make_folder, read_json, read_log, write_atomic
from evalkit.model import tensors
from evalkit.model.config import GPTConfig
from evalkit.model.folder import content_hash as content_hash
from evalkit.model.folder import weight_files
from evalkit.model.gpt import GPT
from evalkit.model.layouts import OUTPUT, SKIPPED, read_config, stored_config, stored_names
from evalkit.tokenizer import Tokenizer


def load(folder: Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> tuple[GPT, Tokenizer]:
    """Read a checkpoint folder into a GPT in evaluation mode and its tokenizer.

    Memory holds the weights in `dtype` and one more tensor (with a pytorch_model.bin of torch before 1.6, the file).

    Raises CheckpointError, naming tensor and file, when one is missing, unexpected, truncated or wrongly shaped.
    """
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint folder {folder}")
    config = read_config(folder)
    tokenizer = Tokenizer.load(folder)
    if tokenizer.size > config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokenizer.size} tokens, the model only {config.vocab_size}"
        )
    model = empty(config)
    model.load_state_dict(_read_state(folder, model, dtype), assign=True)
    return model.to(device).eval().requires_grad_(False), tokenizer


def empty(config: GPTConfig) -> GPT:
    """Build a GPT whose weights are yet to be loaded."""
    with without_weights():
        return GPT(config)


@contextmanager
def without_weights() -> Iterator[None]:
    """Build modules on torch's meta device: only shapes, without allocating or drawing anything."""
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Skips initialisation: on the meta device torch would import its compiler for it, which takes a second."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return None if getattr(func, "__module__", None) == "torch.nn.init" else func(*args, **(kwargs or {}))


def _read_state(folder: Path, model: GPT, dtype: torch.dtype) -> dict[str, Tensor]:
    """Read the tensors that a model needs, converted one by one, under our names."""
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    by_file = _tensors_by_file(folder, model.config)
    state: dict[str, Tensor] = {}
    for path, names in by_file.items():
        for key, stored in tensors.read(path, list(names)):
            ours, transposed = names[key]
            oriented = stored.t() if transposed and stored.ndim == 2 else stored
            if oriented.shape != shapes[ours]:
                actual, expected = tuple(oriented.shape), tuple(shapes[ours])
                raise CheckpointError(f"{path}: tensor {key!r} has shape {actual}, config.json requires {expected}")
            # Always a copy, because the tensor read belongs to the open file.
            state[ours] = torch.empty(oriented.shape, dtype=dtype).copy_(oriented)
            del stored, oriented
    return state


def _tensors_by_file(folder: Path, config: GPTConfig) -> dict[Path, dict[str, tuple[str, bool]]]:
    """Map each file to its tensors: stored name -> (our name, whether it is stored transposed).

    Raises CheckpointError for a missing or an unexpected tensor, before anything large is read.
    """
    # Old checkpoints lack the prefix.
    places = {key.removeprefix("transformer."): (key, path) for key, path in tensors.locate(folder).items()}
    names = stored_names(config)
    if not config.untied and OUTPUT in places:  # stored once, under either name
        places.setdefault(names["tokens.weight"][0], places[OUTPUT])
    expected = {theirs for theirs, _ in names.values()}
    for name, (key, path) in places.items():
        if name not in expected and not name.endswith(SKIPPED):
            raise CheckpointError(f"{path}: unexpected tensor {key!r} for {config.n_layer} layers")
    by_file: dict[Path, dict[str, tuple[str, bool]]] = {}
    for ours, (theirs, transposed) in names.items():
        if theirs not in places:
            files = ", ".join(str(path) for path in weight_files(folder))
            raise CheckpointError(f"{files}: tensor {theirs!r} is missing")
        key, path = places[theirs]
        by_file.setdefault(path, {})[key] = (ours, transposed)
    return by_file


def save(
    model: GPT,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    record: Mapping[str, Any] | None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a checkpoint folder; `record` (of how the model was trained), if any, becomes training.json."""
    make_folder(folder)
    config = model.config
    state = model.state_dict()
    stored = {}
    for ours, (theirs, transposed) in stored_names(config).items():
        tensor = state[ours].detach().to("cpu", dtype)
        stored[theirs if theirs == OUTPUT else f"transformer.{theirs}"] = (
            tensor.t() if transposed else tensor
        ).contiguous()
    write_atomic(folder / "model.safetensors", to_safetensors(stored, metadata={"format": "pt"}))
    tokenizer.save(folder, context=config.context)
    settings = stored_config(config, end_of_text=tokenizer.end_of_text, dtype=dtype)
    write_atomic(folder / "config.json", json.dumps(settings, indent=2) + "\n")
    if record is not None:
        write_atomic(folder / "training.json", json.dumps(record, indent=2) + "\n")


def copy(source: Path, target: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Copy a checkpoint folder at another precision, without training state; the loss curve is added to the record."""
    model, tokenizer = load(source, dtype=dtype)
    path = source / "training.json"
    record = read_json(path, CheckpointError) if path.is_file() else None
    if record and (curve := _loss_curve(source / "metrics.jsonl")):
        record = {**record, "loss_curve": curve}
    save(model, tokenizer, target, record=record, dtype=dtype)


def _loss_curve(path: Path, *, points: int = 100) -> list[tuple[int, float]]:
    """Return (tokens, training loss) at about `points` steps of a training's log; empty if there is none."""
    numbers = (float, int)
    rows = [r for r in read_log(path) if isinstance(r.get("tokens"), int) and isinstance(r.get("loss"), numbers)]
    rows = rows[:: max(1, len(rows) // points)] + rows[-1:]
    return list({row["tokens"]: (row["tokens"], row["loss"]) for row in rows}.values())


def export(source: Path, target: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Copy a checkpoint to a new folder that transformers reads.

    Raises UsageError for a GPT that transformers cannot run, and when the target already holds a checkpoint.
    """
    if read_config(source).band is not None:
        raise UsageError(
            f"{source} has banded attention (GPT-3), which transformers does not support; it cannot be exported"
        )
    if (target / "config.json").exists():
        raise UsageError(f"{target} already holds a checkpoint; give another --to")
    copy(source, target, dtype=dtype)
