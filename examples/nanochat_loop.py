"""Evaluate inside a loop like nanochat's base_train.py, whose model gives a loss with targets and all logits without.

python examples/nanochat_loop.py --num-iterations 300 --eval-every 100

In nanochat's base_train.py, the lines marked with `evalkit` are all that has to be added, with `orig_model` (not the
compiled one) and its own `tokenizer`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

import evalkit  # evalkit
from evalkit import world
from evalkit.engine.encoders import encoder_of


@dataclass
class Config:
    """What nanochat's GPTConfig says, in small."""

    sequence_len: int = 128
    vocab_size: int = 3000
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 64


class Block(nn.Module):
    """Attention with rotary positions and normed queries and keys, then a perceptron of squared ReLU."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.n_head, width = config.n_head, config.n_embd
        self.c_qkv, self.c_proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.c_fc, self.c_out = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        """(batch, positions, width) -> the same."""
        heads = self.c_qkv(normed(x)).unflatten(-1, (3, self.n_head, -1)).permute(2, 0, 3, 1, 4)
        queries, keys = (normed(rotated(part, angles)) for part in heads[:2])
        mixed = F.scaled_dot_product_attention(queries, keys, heads[2], is_causal=True)
        x = x + self.c_proj(mixed.transpose(1, 2).flatten(2))
        y: torch.Tensor = x + self.c_out(F.relu(self.c_fc(normed(x))).square())
        return y


def normed(x: torch.Tensor) -> torch.Tensor:
    """RMS norm without parameters."""
    return F.rms_norm(x, (x.shape[-1],))


def rotated(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turn pairs of components by their position's angles."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos + second * sin, second * cos - first * sin], dim=-1)


class GPT(nn.Module):
    """A decoder that is called as nanochat's."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        half = config.n_embd // config.n_head // 2
        self.frequencies: torch.Tensor
        self.register_buffer("frequencies", 10000.0 ** -(torch.arange(half) / half), persistent=False)

    def forward(
        self, idx: torch.Tensor, targets: torch.Tensor | None = None, loss_reduction: str = "mean"
    ) -> torch.Tensor:
        """(batch, positions) token ids -> logits of all positions, or with targets the loss."""
        angles = torch.arange(idx.shape[1], device=idx.device)[:, None] * self.frequencies
        x = normed(self.wte(idx))
        for block in self.h:
            x = block(x, angles)
        logits: torch.Tensor = 15 * torch.tanh(self.lm_head(normed(x)).float() / 15)
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction=loss_reduction)


class Tokenizer:
    """A tokenizer with the methods of nanochat's that matter here."""

    def __init__(self) -> None:
        self._encoder = encoder_of("nano")

    def get_bos_token_id(self) -> int:
        """Return the token with which every document begins."""
        return self._encoder.end_of_text

    def get_vocab_size(self) -> int:
        """Return the number of token ids."""
        return self._encoder.size

    def encode(self, text: str, prepend: int | None = None) -> list[int]:
        """Return the token ids of a text."""
        return [*([] if prepend is None else [prepend]), *self._encoder.encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids."""
        return self._encoder.decode(ids)


def main(
    num_iterations: int = 300, eval_every: int = 100, out: str = "runs/nanochat", *, seconds: float = 10.0
) -> evalkit.LearningCurve:
    """Train on a generated text; return the learning curve."""
    torch.manual_seed(42)
    tokenizer = Tokenizer()
    bos, batch_size = tokenizer.get_bos_token_id(), 16
    data = torch.tensor([i for text in world.corpus(documents=300) for i in tokenizer.encode(text, prepend=bos)])
    orig_model = GPT(Config(vocab_size=tokenizer.get_vocab_size()))
    length = orig_model.config.sequence_len
    optimizer = torch.optim.AdamW(orig_model.parameters(), lr=1e-3)

    evaluated = evalkit.open_model(
        orig_model, tokenizer=tokenizer, name="nanochat", end_of_text=bos, begin=bos
    )  # evalkit
    curve = evalkit.LearningCurve(out, ["world_cloze", "world_lastword"], seconds=seconds)  # evalkit
    for step in range(num_iterations + 1):
        if step % eval_every == 0:  # in several processes: and master_process
            run = curve.add(evaluated, step=step, tokens=step * batch_size * length)  # evalkit
            print(f"step {step:05d} | " + " | ".join(f"{task} {value:.1f}" for task, value in run.scores().items()))
        starts = torch.randint(len(data) - length, (batch_size,))
        windows = torch.stack([data[start : start + length + 1] for start in starts])
        loss = orig_model(windows[:, :-1], windows[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return curve


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--num-iterations", type=int, default=300)
    parser.add_argument("--eval-every", type=int, default=100)
    main(**vars(parser.parse_args()))
