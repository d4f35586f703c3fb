"""Evaluate inside loops like nanoGPT's and nanochat's, whose models are called with targets and return (logits, loss).

python examples/nanogpt_loop.py --max-iters 300 --eval-interval 100

In nanoGPT's train.py, the lines marked with `evalkit` are all that has to be added.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

import evalkit  # evalkit
from evalkit import world
from evalkit.engine.encoders import encoder_of


@dataclass
class Config:
    """What nanoGPT's GPTConfig says, in small."""

    block_size: int = 128
    vocab_size: int = 3000
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 64


class GPT(nn.Module):
    """A decoder that is called as nanoGPT's: without targets it gives the logits of the last position alone."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.wte, self.wpe = (nn.Embedding(size, config.n_embd) for size in (config.vocab_size, config.block_size))
        layer = nn.TransformerEncoderLayer(
            config.n_embd, config.n_head, 4 * config.n_embd, dropout=0.0, batch_first=True, norm_first=True
        )
        self.h = nn.TransformerEncoder(layer, config.n_layer, enable_nested_tensor=False)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(
        self, idx: torch.Tensor, targets: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(batch, positions) token ids, and what follows each -> logits, and the loss or None."""
        mask = nn.Transformer.generate_square_subsequent_mask(idx.shape[1], device=idx.device)
        x = self.wte(idx) + self.wpe(torch.arange(idx.shape[1], device=idx.device))
        x = self.h(x, mask=mask, is_causal=True)
        if targets is None:
            return self.lm_head(x[:, [-1], :]), None
        logits = self.lm_head(x)
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


def main(
    max_iters: int = 300, eval_interval: int = 100, out: str = "runs/nanogpt", *, seconds: float = 10.0
) -> evalkit.LearningCurve:
    """Train on a generated text; return the learning curve."""
    torch.manual_seed(1337)
    tokenizer = encoder_of("nano")  # for nanoGPT: tiktoken.get_encoding("gpt2")
    ids = [token for text in world.corpus(documents=300) for token in [*tokenizer.encode(text), tokenizer.end_of_text]]
    data, batch_size = torch.tensor(ids), 16
    model = GPT(Config(vocab_size=tokenizer.size))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    evaluated = evalkit.open_model(  # evalkit: before torch.compile and DDP wrap the model
        model, tokenizer=tokenizer, name="nanogpt", logits=lambda module, tokens: module(tokens, tokens)[0]
    )
    curve = evalkit.LearningCurve(out, ["world_cloze", "world_lastword"], seconds=seconds)  # evalkit
    for iter_num in range(max_iters + 1):
        if iter_num % eval_interval == 0:  # in several processes: and master_process
            run = curve.add(evaluated, step=iter_num, tokens=iter_num * batch_size * model.config.block_size)  # evalkit
            print(f"step {iter_num}: " + ", ".join(f"{task} {value:.1f}" for task, value in run.scores().items()))
        starts = torch.randint(len(data) - model.config.block_size, (batch_size,))
        windows = torch.stack([data[start : start + model.config.block_size + 1] for start in starts])
        _, loss = model(windows[:, :-1], windows[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return curve


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--max-iters", type=int, default=300)
    parser.add_argument("--eval-interval", type=int, default=100)
    main(**vars(parser.parse_args()))
