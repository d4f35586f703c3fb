"""Evaluate any torch module while it trains: a score every few steps, and the training goes on as if nothing had been.

python examples/evaluate_while_training.py --steps 300 --every 100
"""

from __future__ import annotations

import argparse
from itertools import islice

import torch
from torch import nn
from torch.nn import functional as F

import evalkit
from evalkit import world
from evalkit.engine.encoders import encoder_of


class TinyGPT(nn.Module):
    """A small decoder of PyTorch's own layers: anything that gives logits will do."""

    def __init__(self, vocabulary: int, *, context_length: int = 128, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.context_length = context_length  # evalkit reads it; else: open_model(..., context_length=128)
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context_length, width)
        layer = nn.TransformerEncoderLayer(width, nhead=4, dim_feedforward=4 * width, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, positions) token ids -> (batch, positions, vocabulary) logits."""
        length = tokens.shape[1]
        x = self.tokens(tokens) + self.places(torch.arange(length, device=tokens.device))
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=tokens.device)
        out: torch.Tensor = self.head(self.blocks(x, mask=mask, is_causal=True))
        return out


def main(steps: int, every: int) -> list[float]:
    """Train on a generated text; return the accuracy at each evaluation."""
    torch.manual_seed(0)
    tokenizer = encoder_of("nano")
    ids = [token for text in world.corpus(documents=300) for token in [*tokenizer.encode(text), tokenizer.end_of_text]]
    module = TinyGPT(tokenizer.size)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    windows = torch.tensor(ids[: len(ids) // 129 * 129]).reshape(-1, 129)

    model = evalkit.open_model(module, tokenizer=tokenizer, name="tiny")
    tasks = evalkit.load_tasks(["world_cloze", "world_lastword"], limit=30)  # read once, asked at every evaluation
    scores = []
    batches = (windows[torch.randint(len(windows), (16,))] for _ in iter(int, 1))
    for step, batch in enumerate(islice(batches, steps), start=1):
        loss = F.cross_entropy(module(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % every == 0:
            run = evalkit.evaluate(model, tasks, out=f"runs/tiny/step-{step}")
            cloze = next(result for result in run.results if result.task == "world_cloze")
            scores.append(cloze.value)
            bounds = f"[{cloze.low:.1f}, {cloze.high:.1f}]"
            print(f"step {step}: loss {loss.item():.2f}, world_cloze {cloze.value:.1f} {bounds}")
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=100)
    main(**vars(parser.parse_args()))
