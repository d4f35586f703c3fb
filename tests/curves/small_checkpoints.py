"""Small checkpoints as trainers write them, and tasks that take no time."""

from __future__ import annotations

import json
from pathlib import Path

import torch

import evalkit
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["what is the colour of the sky? blue or red " * 3], vocab_size=290)
COLOURS = [{"q": f"What colour is thing {i}?", "a": ("blue", "red")[i % 2]} for i in range(24)]


def colours() -> evalkit.Task:
    return evalkit.task_from_rows("colours", COLOURS, query="{q}", answer="a", choices=["blue", "red"], metrics=["acc"])


def model(seed: int, *, blue: float = 0.0) -> GPT:
    """A GPT of random weights. blue: how much more it likes the word, so that scores can be forced."""
    made = GPT(GPTConfig(n_layer=1, d_model=16, n_head=2, context=64, vocab_size=TOKENIZER.size))
    made.initialize(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        made.norm.weight[0], made.norm.bias[0] = 0.0, 1.0  # so that the first column is added to the logits
        made.tokens.weight[:, 0] = 0.0
        made.tokens.weight[sorted({*TOKENIZER.encode(" blue")} - {*TOKENIZER.encode(" red")}), 0] = blue
    return made


def ours(folder: Path, step: int, *, seed: int | None = None, blue: float = 0.0) -> Path:
    """Write a checkpoint of our trainer."""
    record = {
        "step": step, "tokens": 10 * step, "flops": 1e6 * step, "validation_loss": 5.0 - step / 1000,
        "corpus": {"name": "colours", "fingerprint": "f"}, "settings": {"seed": 0},
    }  # fmt: skip
    weights.save(model(step if seed is None else seed, blue=blue), TOKENIZER, folder, record=record)
    return folder


def transformers_checkpoint(folder: Path, step: int) -> Path:
    """Write a checkpoint of transformers' Trainer, in the order in which it writes the files."""
    weights.save(model(step), TOKENIZER, folder, record=None)
    (folder / "optimizer.pt").write_bytes(b"large")
    state = {"global_step": step, "num_input_tokens_seen": 100 * step, "total_flos": 0}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    return folder
