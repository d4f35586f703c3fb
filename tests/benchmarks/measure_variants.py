"""Trials of architectures: each trained from nothing at several rates on the same text; the held-out loss of each.

    python tests/benchmarks/measure_variants.py --corpus FOLDER [--sizes nano] [--tokens 1M]
        [--variants gpt2,swiglu,relu2,swiglu-plain,relu2-plain] [--rates 0.01,0.02,0.04] [--jobs 1]

FOLDER is of `evalkit corpus build`. A variant is gpt2, or modern with SwiGLU of 8/3 the width or ReLU squared of four
times the width, "-plain" without a norm of queries and keys. A rate is Muon's, of the block matrices; AdamW, for the
rest, has half of it, as in the presets. Each training has one thread, no checkpoint and the preset's batch; its loss is
over the same held-out tokens. err: the standard error of a loss by itself; on the same tokens differences are known
better.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from dataclasses import replace
from pathlib import Path

import torch

from evalkit import corpus as corpora
from evalkit.commands import options
from evalkit.model.config import SIZES, GPTConfig, modern, with_shape
from evalkit.tokenizer import Tokenizer
from evalkit.train.config import TrainConfig
from evalkit.train.loop import Trainer
from evalkit.train.optim import OptimConfig
from evalkit.train.presets import preset

HELD_OUT = 200_000  # tokens at most


def variant(name: str, shape: GPTConfig) -> GPTConfig:
    """Return a shape built in a variant."""
    if name == "gpt2":
        return shape
    kind, _, rest = name.partition("-")
    built = modern(shape)
    if kind == "relu2":
        built = replace(built, activation="relu2", gated=False, d_ff=4 * shape.d_model)
    return replace(built, qk_norm=None) if rest == "plain" else built


def loss_of(task: tuple[str, str, float, Path, int]) -> tuple[float, float]:
    """Train one variant and return its held-out loss with the standard error."""
    name, size, rate, folder, tokens = task
    torch.set_num_threads(1)
    text, tokenizer = corpora.load(folder), Tokenizer.load(folder)
    shape = variant(name, with_shape(SIZES[size], vocab_size=tokenizer.size))
    config = TrainConfig(
        model=shape, tokens=tokens, sequences=preset(size).sequences, compile="off",
        optim=OptimConfig(muon_lr=rate, adam_lr=rate / 2),
    )  # fmt: skip
    trainer = Trainer(config, text, tokenizer, folder)
    trainer.model.train()
    for _ in range(config.steps):
        trainer._one_step()
        trainer._running.clear()
    held_out = trainer._validation.loss(trainer.model, config, tokens=HELD_OUT)
    assert held_out and held_out.stderr
    return held_out.loss, held_out.stderr


def main() -> None:
    """Read the options, train, print a table per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--sizes", default="nano")
    parser.add_argument("--tokens", default="1M")
    parser.add_argument("--variants", default="gpt2,swiglu,relu2,swiglu-plain,relu2-plain")
    parser.add_argument("--rates", default="0.01,0.02,0.04")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    sizes, names = arguments.sizes.split(","), arguments.variants.split(",")
    rates = [float(rate) for rate in arguments.rates.split(",")]
    tokens = options.count(arguments.tokens, "--tokens")
    tasks = [
        (name, size, rate, arguments.corpus, tokens) for size, name, rate in itertools.product(sizes, names, rates)
    ]
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        losses = pool.imap(loss_of, tasks)
        for size in sizes:
            print(f"{size}, {arguments.tokens} tokens of {arguments.corpus.name}, by Muon's rate")
            print("".join(f"{word:>14}" for word in ["", "parameters", *map(str, rates), "err"]), flush=True)
            for name in names:
                row = [next(losses) for _ in rates]
                count = f"{variant(name, SIZES[size]).block_parameters:,}"
                marked = [f"{loss:.3f}{'*' if loss == min(row)[0] else ' '}" for loss, _ in row]
                print("".join(f"{word:>14}" for word in [name, count, *marked, f"{row[0][1]:.3f}"]), flush=True)


if __name__ == "__main__":
    main()
