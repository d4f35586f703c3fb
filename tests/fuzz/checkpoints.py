"""Checkpoint folders and states of trainings: good ones, and what reads them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from evalkit.model import families, weights
from evalkit.model.config import GPTConfig, Llama3Scaling, Rotary
from evalkit.model.folder import stop_ids
from evalkit.model.formats.transformers import training_of
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.train import checkpoints, log

_SHAPE = GPTConfig(n_layer=1, d_model=8, n_head=2, context=16, vocab_size=270)
_RECORD = {
    "step": 3, "tokens": 300, "flops": 9000, "corpus": {"name": "made"}, "validation_loss": 2.5,
    "settings": {"seed": 1},
}  # fmt: skip
_SETTINGS = {"model": asdict(_SHAPE), "tokens": 300, "seed": 1}


def write(folder: Path) -> None:
    """Write a whole checkpoint with the log of its training."""
    tokenizer = Tokenizer.train(["words and words"], vocab_size=270)
    model = GPT(_SHAPE)
    model.initialize(torch.Generator().manual_seed(0))
    weights.save(model, tokenizer, folder, record=_RECORD)
    rows = ({"step": i, "tokens": 100 * i, "loss": 3.0 / i} for i in range(1, 4))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_families(folder: Path) -> None:
    """Write a model of Qwen's family, with everything that its settings can say, and GPT-Neo's settings beside."""
    tokenizer = Tokenizer.train(["words and words"], vocab_size=270)
    scaling = Llama3Scaling(factor=4.0, low=1.0, high=4.0, context=8)
    modern = GPTConfig(
        n_layer=2, d_model=8, n_head=2, context=16, vocab_size=270, norm_kind="rms", biases=("qkv", "out"),
        activation="silu", gated=True, qk_norm="head", rotary=Rotary(scaling=scaling), band=4, n_kv_head=1, untied=True,
    )  # fmt: skip
    model = GPT(modern)
    model.initialize(torch.Generator().manual_seed(0))
    weights.save(model, tokenizer, folder, record=None)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 5]}))
    settings = GPTConfig(
        **(asdict(_SHAPE) | {"biases": ("out", "mlp", "norm"), "attention_scale": 1.0, "band": 4, "banded": (0,)})
    )
    (folder / "neo").mkdir()
    (folder / "neo" / "config.json").write_text(json.dumps(families.FAMILIES["gpt_neo"].settings(settings)))


def load_families(folder: Path) -> Any:
    """Load the model, and read what ends its texts and the other family's settings."""
    return load(folder), stop_ids(folder), families.read_config(folder / "neo")


def write_shards(folder: Path) -> None:
    """Write the same with its weights in two files and their index."""
    write(folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(sorted(state))}
    for file in set(places.values()):
        save_file({name: state[name] for name in places if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def write_pickle(folder: Path) -> None:
    """Write the same with its weights pickled."""
    write(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def write_pair(folder: Path) -> None:
    """Write a tokenizer as transformers' older pair of files."""
    write(folder)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = (merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{merge}\n" for merge in merges), encoding="utf-8")


def write_added(folder: Path) -> None:
    """Write such a pair with a token of its own and a special one."""
    write_pair(folder)
    (folder / "added_tokens.json").write_text(json.dumps({"<user>": Tokenizer.load(folder).size}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "<user>"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": True, "eos_token": "<|endoftext|>"}))


def write_state(folder: Path) -> None:
    """Write the state of a training."""
    tensors = {"weight": torch.ones(4, 4)}
    checkpoints.write_state(folder / "state.pt", {"settings": _SETTINGS, "step": 3, "model": tensors})


def load(folder: Path) -> bool:
    """Load a model and ask it something."""
    model, tokenizer = weights.load(folder)
    with torch.inference_mode():
        model(torch.tensor([[tokenizer.end_of_text]]))
    return True


def tokenize(folder: Path) -> list[int]:
    """Load a tokenizer and use it both ways."""
    tokenizer = Tokenizer.load(folder)
    ids = tokenizer.encode("words é \n and 词")
    tokenizer.decode(ids)
    return tokenizer.encode_batch(["a\nb", "words"])[0]


def facts(folder: Path) -> Any:
    """Read what a report and a further training read of a training's records."""
    return training_of(folder), log.read_metrics(folder), weights.copy(folder, folder / "copy")


def read_state(folder: Path) -> Any:
    """Read the state that a training goes on from."""
    return checkpoints.read_state(folder / "state.pt", settings=_SETTINGS)["step"]
