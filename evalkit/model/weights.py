"""Weights in and out. A checkpoint is a folder in transformers' own GPT-2 layout:

config.json, model.safetensors, tokenizer.json, tokenizer_config.json (and training.json, our training record),
so that `AutoModelForCausalLM.from_pretrained` reads it as it is and nothing has to be exported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from evalkit.errors import CheckpointError, UsageError
from evalkit.files import hash_files, make_folder, read_json, write_atomic
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer

# transformers' name of a tensor -> ours, inside a block and outside. Its Conv1D holds matrices transposed.
_BLOCK = {
    "ln_1": "norm_1",
    "attn.c_attn": "attention.qkv",
    "attn.c_proj": "attention.out",
    "ln_2": "norm_2",
    "mlp.c_fc": "up",
    "mlp.c_proj": "down",
}
_OUTER = {
    "wte.weight": "tokens.weight",
    "wpe.weight": "positions.weight",
    "ln_f.weight": "norm.weight",
    "ln_f.bias": "norm.bias",
}
_SKIPPED = (
    ".attn.bias",
    ".attn.masked_bias",
    "lm_head.weight",
)  # masks of old versions; the tied output matrix


def hub_names(config: GPTConfig) -> dict[str, tuple[str, bool]]:
    """Map each of our tensors to (its name in transformers' layout, whether it is stored transposed)."""
    names = {ours: (theirs, False) for theirs, ours in _OUTER.items()}
    for layer in range(config.n_layer):
        for theirs, ours in _BLOCK.items():
            transposed = not theirs.startswith("ln_")
            names[f"blocks.{layer}.{ours}.weight"] = (f"h.{layer}.{theirs}.weight", transposed)
            names[f"blocks.{layer}.{ours}.bias"] = (f"h.{layer}.{theirs}.bias", False)
    return names


def read_config(folder: Path) -> GPTConfig:
    """Read a GPT-2 config.json.

    Raises CheckpointError for another architecture or for settings that our GPT does not have.
    """
    path = folder / "config.json"
    raw = read_json(path, CheckpointError)
    if not isinstance(raw, dict) or raw.get("model_type") != "gpt2":
        found = raw.get("model_type") if isinstance(raw, dict) else type(raw).__name__
        raise CheckpointError(f"{path}: model_type is {found!r}; only 'gpt2' can be read")
    if raw.get("activation_function", "gelu_new") not in ("gelu_new", "gelu_pytorch_tanh"):
        raise CheckpointError(f"{path}: activation_function {raw['activation_function']!r}; only 'gelu_new' is known")
    for name in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        if raw.get(name):
            raise CheckpointError(f"{path}: {name} is not supported")
    keys = {
        "n_layer": "n_layer",
        "n_embd": "d_model",
        "n_head": "n_head",
        "n_positions": "context",
        "vocab_size": "vocab_size",
    }
    missing = [key for key in keys if not isinstance(raw.get(key), int)]
    if missing:
        raise CheckpointError(f"{path}: {', '.join(missing)} must be given as whole numbers")
    if raw.get("n_inner") not in (None, 4 * raw["n_embd"]):
        raise CheckpointError(f"{path}: n_inner {raw['n_inner']}; only 4 x n_embd is supported")
    try:
        return GPTConfig(
            **{ours: raw[theirs] for theirs, ours in keys.items()},
            epsilon=float(raw.get("layer_norm_epsilon", 1e-5)),
        )
    except (UsageError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def load(folder: Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> tuple[GPT, Tokenizer]:
    """Read a checkpoint folder into a GPT in evaluation mode and its tokenizer.

    Raises CheckpointError naming the tensor and the file when one is missing, surplus or wrongly shaped.
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
    model.load_state_dict(_read_tensors(folder, config, dtype), assign=True)
    return model.to(device).eval().requires_grad_(False), tokenizer


def empty(config: GPTConfig) -> GPT:
    """Build a GPT whose weights are still to be given (on torch's meta device, so nothing is allocated)."""
    with torch.device("meta"):
        return GPT(config)


def _read_tensors(folder: Path, config: GPTConfig, dtype: torch.dtype) -> dict[str, Tensor]:
    """Read model.safetensors, checked against what the config asks for, under our names."""
    shapes = {name: parameter.shape for name, parameter in empty(config).named_parameters()}
    ours_of = {theirs: (ours, transposed) for ours, (theirs, transposed) in hub_names(config).items()}
    path = folder / "model.safetensors"
    state: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                name = key.removeprefix("transformer.")
                if name.endswith(_SKIPPED):
                    continue
                if name not in ours_of:
                    raise CheckpointError(f"{path}: unexpected tensor {key!r} for {config.n_layer} layers")
                ours, transposed = ours_of[name]
                tensor = file.get_tensor(key)
                tensor = tensor.t() if transposed and tensor.ndim == 2 else tensor
                if tensor.shape != shapes[ours]:
                    found, wanted = tuple(tensor.shape), tuple(shapes[ours])
                    raise CheckpointError(f"{path}: tensor {key!r} has shape {found}, config.json asks for {wanted}")
                state[ours] = tensor.to(dtype).contiguous()
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; is the file cut?") from error
    for theirs, (ours, _) in ours_of.items():
        if ours not in state:
            raise CheckpointError(f"{path}: tensor {theirs!r} is missing")
    return state


def save(
    model: GPT,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    record: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a checkpoint folder; `record` (how the model was trained) becomes training.json."""
    make_folder(folder)
    config = model.config
    state = model.state_dict()
    tensors = {}
    for ours, (theirs, transposed) in hub_names(config).items():
        tensor = state[ours].detach().to("cpu", dtype)
        tensors[f"transformer.{theirs}"] = (tensor.t() if transposed else tensor).contiguous()
    write_atomic(folder / "model.safetensors", to_safetensors(tensors, metadata={"format": "pt"}))
    tokenizer.save(folder, context=config.context)
    write_atomic(folder / "config.json", json.dumps(_hub_config(config, tokenizer, dtype), indent=2) + "\n")
    write_atomic(folder / "training.json", json.dumps(record, indent=2) + "\n")


def copy(source: Path, target: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Copy a checkpoint folder at another precision, without what only a training needs (make zoo)."""
    model, tokenizer = load(source)
    save(model, tokenizer, target, record=read_json(source / "training.json", CheckpointError), dtype=dtype)


def _hub_config(config: GPTConfig, tokenizer: Tokenizer, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "n_layer": config.n_layer,
        "n_embd": config.d_model,
        "n_head": config.n_head,
        "n_positions": config.context,
        "n_ctx": config.context,
        "vocab_size": config.vocab_size,
        "layer_norm_epsilon": config.epsilon,
        "attn_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "initializer_range": 0.02,
        "bos_token_id": tokenizer.end_of_text,
        "eos_token_id": tokenizer.end_of_text,
        "tie_word_embeddings": True,
        "dtype": str(dtype).removeprefix("torch."),
    }


def content_hash(folder: Path) -> str:
    """Return 16 hexadecimal digits of everything that decides a checkpoint's scores."""
    names = ("config.json", "model.safetensors", "tokenizer.json", "vocab.json", "merges.txt")
    return hash_files(*(folder / name for name in names if (folder / name).is_file()))[:16]
