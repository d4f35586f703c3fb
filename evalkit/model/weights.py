"""Reading the weights of checkpoints of all formats, and writing them in transformers' layout of a family of models:

config.json, model.safetensors, tokenizer.json, tokenizer_config.json (and training.json, our training record),
so that `AutoModelForCausalLM.from_pretrained` reads it unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor
from torch.overrides import TorchFunctionMode

from evalkit.errors import CheckpointError, UsageError
from evalkit.files import make_folder, read_json, read_log, write_atomic
from evalkit.model import families, formats, tensors
from evalkit.model.checkpoint import Checkpoint, Vocabulary
from evalkit.model.config import GPTConfig
from evalkit.model.family import Family
from evalkit.model.folder import content_hash as content_hash
from evalkit.model.gpt import GPT
from evalkit.model.pieces import Piece, Shape
from evalkit.tokenizer import Tokenizer


def load(
    path: Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    vocabulary: Vocabulary | None = None,
) -> tuple[GPT, Tokenizer]:
    """Read a checkpoint of any format into a GPT in evaluation mode and its tokenizer; errors as in `build`.

    vocabulary: in place of the checkpoint's own.
    """
    return build(formats.open(path, vocabulary=vocabulary), dtype=dtype, device=device)


def build(checkpoint: Checkpoint, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> tuple[GPT, Tokenizer]:
    """Read an opened checkpoint into a GPT in evaluation mode and its tokenizer.

    Memory holds the weights in `dtype` and one more tensor (with a file of torch before 1.6, the file).

    Raises CheckpointError, naming tensor and file, when one is missing, unexpected, truncated or wrongly shaped.
    """
    config, tokenizer = checkpoint.config, checkpoint.tokenizer
    if tokenizer.size > config.vocab_size:
        raise CheckpointError(
            f"{checkpoint.path}: the tokenizer has {tokenizer.size} tokens, the model only {config.vocab_size}"
        )
    model = empty(config)
    pieces = list(checkpoint.pieces(shapes(model)))
    fill(model, pieces, checkpoint.source(pieces), dtype=dtype)
    return model.to(device).eval().requires_grad_(False), tokenizer


def shapes(model: GPT) -> dict[str, Shape]:
    """Return the shapes of a model's tensors."""
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


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


def fill(model: GPT, pieces: Iterable[Piece], source: tensors.Source, *, dtype: torch.dtype) -> None:
    """Give an empty model its weights from stored tensors, converted one by one.

    Raises CheckpointError for a tensor that is missing, unexpected or wrongly shaped, before any is read.
    """
    by_name: dict[str, list[Piece]] = {}
    for piece in pieces:
        by_name.setdefault(piece.stored, []).append(piece)
    _check({name: found[0].shape for name, found in by_name.items()}, source, layers=model.config.n_layer)
    ours = shapes(model)
    state: dict[str, Tensor] = {}
    for name, stored in source.read(list(by_name)):
        for piece in by_name[name]:
            if piece.ours not in state:
                state[piece.ours] = torch.empty(ours[piece.ours], dtype=dtype)
            # Always a copy, because the tensor read belongs to the open file.
            piece.in_ours(state[piece.ours]).copy_(piece.in_stored(stored))
        del stored
    model.load_state_dict(state, assign=True)


def _check(expected: Mapping[str, Shape], source: tensors.Source, *, layers: int) -> None:
    """Compare the stored tensors with the expected ones."""
    for name, shape in source.shapes.items():
        if name not in expected:
            raise CheckpointError(f"{source.place(name)}: unexpected tensor {name!r} for {layers} layers")
        if shape != expected[name]:
            raise CheckpointError(
                f"{source.place(name)}: tensor {name!r} has shape {shape}, config.json requires {expected[name]}"
            )
    if missing := next((name for name in expected if name not in source.shapes), None):
        raise CheckpointError(f"{source.place(missing)}: tensor {missing!r} is missing")


def save(
    model: GPT,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    record: Mapping[str, Any] | None,
    dtype: torch.dtype = torch.float32,
    family: Family | None = None,
    ends: Iterable[int] = (),
) -> None:
    """Write a checkpoint folder; `record` (of how the model was trained), if any, becomes training.json.

    family: the layout; by default the first that holds the model's shape. ends: tokens that end a generated text
    besides end of text. Raises UsageError if no layout holds the shape.
    """
    config = model.config
    family = family or families.family_for(config)
    make_folder(folder)
    stored = _stored(model, family, dtype)
    write_atomic(folder / "model.safetensors", to_safetensors(stored, metadata={"format": "pt"}))
    tokenizer.save(folder, context=config.context)
    ids: dict[str, Any] = {"bos_token_id": tokenizer.end_of_text if tokenizer.bos is None else tokenizer.bos}
    stops = [tokenizer.end_of_text, *sorted({*ends} - {tokenizer.end_of_text})]
    ids |= {"eos_token_id": stops if len(stops) > 1 else tokenizer.end_of_text}
    settings = {**family.settings(config), "initializer_range": 0.02, **ids, "dtype": str(dtype).removeprefix("torch.")}
    write_atomic(folder / "config.json", json.dumps(settings, indent=2) + "\n")
    if record is not None:
        write_atomic(folder / "training.json", json.dumps(record, indent=2) + "\n")


def _stored(model: GPT, family: Family, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return a model's tensors as a family stores them; numbers that no tensor of ours holds are zero.

    What a kind of model adds to the network (the head of a fine-tuned one) is not stored.
    """
    state, stored = model.state_dict(), dict[str, Tensor]()
    for piece in family.pieces(model.config, shapes(empty(model.config))):
        if piece.stored not in stored:
            stored[piece.stored] = torch.zeros(piece.shape, dtype=dtype)
        piece.in_stored(stored[piece.stored]).copy_(piece.in_ours(state[piece.ours]))
    return stored


def copy(source: Path, target: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Copy a checkpoint at another precision, without training state; the loss curve is added to the record."""
    _copy(formats.open(source), target, dtype=dtype)


def _copy(checkpoint: Checkpoint, target: Path, *, dtype: torch.dtype) -> None:
    model, tokenizer = build(checkpoint, dtype=dtype)
    path = checkpoint.path / "training.json"
    record = read_json(path, CheckpointError) if path.is_file() else None
    if record and (curve := _loss_curve(checkpoint.path / "metrics.jsonl")):
        record = {**record, "loss_curve": curve}
    save(storable(model), tokenizer, target, record=record, dtype=dtype, family=checkpoint.family, ends=checkpoint.ends)


def storable(model: GPT) -> GPT:
    """Return the same network in a shape that some layout holds: perhaps with biases, all zero.

    Raises UsageError if there is none.
    """
    _, config = families.layout_for(model.config)
    if config == model.config:
        return model
    biased, state = empty(config), model.state_dict()
    missing = {name: shape for name, shape in shapes(biased).items() if name not in state}
    zeros = {name: model.tokens.weight.new_zeros(shape) for name, shape in missing.items()}
    biased.load_state_dict(zeros | state, assign=True)
    return biased.train(model.training).requires_grad_(model.tokens.weight.requires_grad)


def _loss_curve(path: Path, *, points: int = 100) -> list[tuple[int, float]]:
    """Return (tokens, training loss) at about `points` steps of a training's log; empty if there is none."""
    numbers = (float, int)
    rows = [r for r in read_log(path) if isinstance(r.get("tokens"), int) and isinstance(r.get("loss"), numbers)]
    rows = rows[:: max(1, len(rows) // points)] + rows[-1:]
    return list({row["tokens"]: (row["tokens"], row["loss"]) for row in rows}.values())


def export(
    source: Path, target: Path, *, dtype: torch.dtype = torch.float32, vocabulary: Vocabulary | None = None
) -> None:
    """Copy a checkpoint of any format to a new folder that transformers reads; vocabulary: as for `load`.

    Raises UsageError for a GPT that transformers cannot run, and when the target already holds a checkpoint.
    """
    checkpoint = formats.open(source, vocabulary=vocabulary)
    if not (checkpoint.family or families.layout_for(checkpoint.config)[0]).architecture:
        raise UsageError(
            f"{source} has banded attention (GPT-3), which transformers does not support; it cannot be exported"
        )
    if (target / "config.json").exists():
        raise UsageError(f"{target} already holds a checkpoint; give another --to")
    _copy(checkpoint, target, dtype=dtype)
