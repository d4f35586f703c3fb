"""Training on a processor against nanoGPT: tokens per second, the share of the matrix products' rate, the loss.

    [NANOGPT=FOLDER] OMP_NUM_THREADS=2 python tests/benchmarks/measure_training_speed.py [--sizes 4x128,6x256,8x512]
        [--labels LABEL...] [--corpus world] [--vocab 8192] [--rounds 3] [--seconds 5] [--loss-steps 500]
        [--losses LABEL...]

FOLDER is a checkout of karpathy/nanoGPT; only its model.py is used, with the optimizer that it configures, in the step
of its train.py. All see the same batches (8 x 256 tokens), each in a process of its own, one at a time in turns; a rate
is that of the median step, the figure the median of the rounds. nanoGPT runs as it ships on a processor (fp32, no
compile) and with both (bf16 autocast and torch.compile, which its train.py leaves out there); evalkit with nanoGPT's
optimizer, AdamW, and as it is by default (Muon for the blocks); "compiled" is ours with --compile on. "first" is the
seconds of the first two steps, which shows what compiling costs.

"share" is the time that the matrix products of a step take by themselves over the time of the step: every product of
its forward and backward pass, those of attention included, in bf16 and at the step's own shapes, repeated with nothing
between, the shortest of ten times. Muon's products are not among them.

With --loss-steps each is trained that far, nanoGPT with the learning rates of its small character model, and the mean
loss of its last 50 steps is printed as well; --losses names those that go so far, if not all. "modern" is ours with
--arch modern, of the same layers, width and heads. Without NANOGPT only ours are measured, relative to the first.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from evalkit import corpus as corpora
from evalkit.corpus.prepare import prepare
from evalkit.model.config import GPTConfig, modern
from evalkit.tokenizer import Tokenizer
from evalkit.train.batches import Batches
from evalkit.train.config import TrainConfig
from evalkit.train.loop import Trainer
from evalkit.train.optim import OptimConfig

CONTEXT, SEQUENCES, LAST = 256, 8, 50
SHAPES = {"4x128": (4, 128, 4), "6x256": (6, 256, 8), "8x512": (8, 512, 8)}
# nanoGPT's config/train_shakespeare_char.py.
PEAK, LOWEST, WARMUP, BETAS, DECAY, CLIP = 1e-3, 1e-4, 100, (0.9, 0.99), 0.1, 1.0
ADAM = OptimConfig(muon_lr=0.0, adam_lr=PEAK, weight_decay=DECAY, beta2=BETAS[1], schedule="cosine", clip=CLIP)
THEIRS = {"nanoGPT": False, "nanoGPT, bf16 + compile": True}
OURS = {"evalkit, AdamW": ADAM, "evalkit, Muon": OptimConfig()}
OURS |= {f"{label}, modern": optim for label, optim in OURS.items()}
COMPILED = "evalkit, AdamW, compiled"
BLOCK = 128  # of attention's queries, as in model/attention.py
Step = Callable[[int], Any]
Products = tuple[tuple[torch.Tensor, torch.Tensor], ...]


def their_training(
    shape: GPTConfig, batches: Batches, *, compiled: bool, rate: Callable[[int], float]
) -> tuple[Step, torch.nn.Module]:
    """Return a function that takes a step of nanoGPT's training, and its model; compiled: in bf16, too."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", Path(os.environ["NANOGPT"]) / "model.py")
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.GPTConfig(
        block_size=shape.context, vocab_size=shape.vocab_size, n_layer=shape.n_layer, n_head=shape.n_head,
        n_embd=shape.d_model, dropout=0.0, bias=True,
    )  # fmt: skip
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        model: torch.nn.Module = module.GPT(config)
        optimizer = model.configure_optimizers(DECAY, PEAK, BETAS, "cpu")  # type: ignore[operator]
    called = torch.compile(model) if compiled else model

    def step(number: int) -> torch.Tensor:
        for group in optimizer.param_groups:
            group["lr"] = rate(number)
        inputs, targets = (tokens.contiguous() for tokens in batches.batch(number))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=compiled):
            _, loss = called(inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        detached: torch.Tensor = loss.detach()
        return detached

    return step, model


def their_rate(number: int, *, steps: int) -> float:
    """Return nanoGPT's learning rate at a step."""
    done = max(0.0, (number - WARMUP) / max(1, steps - WARMUP))
    falling = LOWEST + 0.5 * (1 + math.cos(math.pi * done)) * (PEAK - LOWEST)
    return PEAK * (number + 1) / (WARMUP + 1) if number < WARMUP else falling


def our_trainer(label: str, shape: GPTConfig, corpus: Path, *, steps: int) -> Trainer:
    """Return a training of ours, ready for its first step."""
    optim = replace(ADAM, warmup=WARMUP / steps) if OURS.get(label, ADAM) is ADAM else OURS[label]
    config = TrainConfig(
        model=built(label, shape), tokens=steps * SEQUENCES * CONTEXT, sequences=SEQUENCES, optim=optim,
        compile="on" if label == COMPILED else "off",
    )  # fmt: skip
    trainer = Trainer(config, corpora.load(corpus), Tokenizer.load(corpus), corpus)
    trainer.model.train()
    return trainer


def contender(label: str, shape: GPTConfig, corpus: Path, steps: int, pipe: Connection) -> None:
    """Take steps for as many seconds as the pipe says and send their median time; at 0 go on to the last."""
    if label in THEIRS:
        batches = Batches(corpora.load(corpus).train, context=CONTEXT, sequences=SEQUENCES, seed=0)
        step, _ = their_training(shape, batches, compiled=THEIRS[label], rate=partial(their_rate, steps=steps))
    else:
        trainer = our_trainer(label, shape, corpus, steps=steps)

        def step(number: int) -> torch.Tensor:
            trainer._one_step()
            return trainer._running.pop()

    start = time.perf_counter()
    seen = [float(step(number)) for number in range(2)]
    pipe.send(time.perf_counter() - start)
    while seconds := pipe.recv():
        times, end = [], time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            seen.append(float(step(len(seen))))
            times.append(time.perf_counter() - start)
        pipe.send(statistics.median(times))
    seen += [float(step(number)) for number in range(len(seen), steps)]
    pipe.send(statistics.mean(seen[:steps][-LAST:]))


def built(label: str, shape: GPTConfig) -> GPTConfig:
    """Return the shape that a contender trains."""
    return modern(shape) if label.endswith("modern") else shape


def products(shape: GPTConfig, *, dtype: torch.dtype) -> list[tuple[int, tuple[int, ...], Products]]:
    """Return the products of a step, forward and backward: how often, (batch,) rows, inner and columns, three of them.

    Each product of the forward pass has two in the backward pass. Attention is that of model/attention.py, which
    multiplies blocks of 128 queries with the keys before their end.
    """
    N, D = SEQUENCES * CONTEXT, shape.d_model
    in_blocks = [(D, 3 * D), (D, D), *[(D, shape.d_ff)] * (1 + shape.gated), (shape.d_ff, D)]
    found: list[tuple[int, tuple[int, ...], Products]] = []
    for (inner, outer), count in [*((sizes, shape.n_layer) for sizes in in_blocks), ((D, shape.vocab_size), 1)]:
        x, w, grad = (torch.randn(size).to(dtype) for size in ((N, inner), (outer, inner), (N, outer)))
        found.append((count, (N, inner, outer), ((x, w.t()), (grad, w), (grad.t(), x))))
    heads, K = SEQUENCES * shape.n_head, shape.d_head
    for keys in range(BLOCK, CONTEXT + 1, BLOCK):
        q, k, weights = (
            torch.randn(size).to(dtype) for size in ((heads, BLOCK, K), (heads, keys, K), (heads, BLOCK, keys))
        )
        three = ((q, k.transpose(1, 2)), (weights, k), (weights.transpose(1, 2), q))
        found.append((2 * shape.n_layer, (heads, BLOCK, K, keys), three))  # q k' and weights v, forward and backward
    return found


def products_seconds(shape: GPTConfig) -> tuple[float, float]:
    """Return the seconds of a step's products by themselves, in bf16, and their FLOP/s."""
    spent = flops = 0.0
    for count, sizes, three in products(shape, dtype=torch.bfloat16):
        for left, right in three:
            times = []
            for _ in range(10):
                start = time.perf_counter()
                torch.matmul(left, right)
                times.append(time.perf_counter() - start)
            spent += count * min(times)  # a bound: whatever else the machine does comes on top
            flops += count * 2 * math.prod(sizes)
    return spent, flops / spent


def measure(name: str, corpus: Path, arguments: argparse.Namespace) -> None:
    """Print the rates of one size, and the losses if wanted."""
    layers, width, heads = SHAPES[name]
    vocab = Tokenizer.load(corpus).size
    shape = GPTConfig(n_layer=layers, d_model=width, n_head=heads, context=CONTEXT, vocab_size=vocab)
    spawn = multiprocessing.get_context("spawn")
    pipes, processes, steps = {}, [], arguments.loss_steps or 10**6
    labels = [label for label in arguments.labels if label not in THEIRS or _nanogpt()]
    firsts = {}
    for label in labels:
        pipes[label], end = spawn.Pipe()
        processes.append(spawn.Process(target=contender, args=(label, shape, corpus, steps, end), daemon=True))
        processes[-1].start()
        firsts[label] = pipes[label].recv()
    times: dict[str, list[float]] = {label: [] for label in pipes}
    for _ in range(arguments.rounds):
        for label, pipe in pipes.items():
            pipe.send(arguments.seconds)
            times[label].append(pipe.recv())
    limits = {own: products_seconds(own) for own in {built(label, shape) for label in labels}}
    rates = {label: SEQUENCES * CONTEXT / statistics.median(values) for label, values in times.items()}
    bases = [label for label in labels if label in THEIRS] or labels[:1]
    alone = ", ".join(f"{seconds * 1e3:,.0f} ms ({rate / 1e9:,.0f} GFLOP/s)" for seconds, rate in limits.values())
    print(f"{name}: {shape.parameters:,} parameters; products by themselves: {alone}")
    heads = " ".join(f"{f'/ {base}':>24}" for base in bases)
    print(f"  {'':24} {'tokens/s':>9} {heads} {'share':>6} {'first':>6}")
    for label, rate in rates.items():
        ratios = " ".join(f"{rate / rates[base]:24.2f}" for base in bases)
        share = limits[built(label, shape)][0] * rate / (SEQUENCES * CONTEXT)
        print(f"  {label:24} {rate:9,.0f} {ratios} {share:6.0%} {firsts[label]:5.1f}s", flush=True)
    for label in [label for label in arguments.losses if label in pipes] if arguments.loss_steps else ():
        pipes[label].send(0)
        print(f"  {label:24} loss {pipes[label].recv():.3f} after {arguments.loss_steps} steps", flush=True)
    for process in processes:
        process.terminate()
        process.join()


def _nanogpt() -> bool:
    """Whether there is a nanoGPT to compare with."""
    return (Path(os.environ.get("NANOGPT", "")) / "model.py").is_file()


def main() -> None:
    """Read the options and measure each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default=",".join(SHAPES))
    everyone = [*THEIRS, *OURS, COMPILED]
    parser.add_argument("--labels", nargs="+", choices=everyone, default=[*THEIRS, *OURS], metavar="LABEL")
    parser.add_argument("--corpus", default="world", help="as of evalkit train")
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--loss-steps", type=int, default=0)
    parser.add_argument("--losses", nargs="+", choices=everyone, default=[*THEIRS, *OURS], metavar="LABEL")
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    with corpus_of(arguments.corpus, vocab_size=arguments.vocab) as corpus:
        for name in arguments.sizes.split(","):
            measure(name, corpus, arguments)


@contextlib.contextmanager
def corpus_of(source: str, *, vocab_size: int) -> Iterator[Path]:
    """Yield a built corpus's folder, or build one of a source in a temporary folder."""
    if (Path(source) / "corpus.json").exists():
        yield Path(source)
        return
    with tempfile.TemporaryDirectory() as place:
        prepare([source], Path(place), tokens=2_000_000, vocab_size=vocab_size, tokenizer=None, seed=0, reuse=False)
        yield Path(place)


if __name__ == "__main__":
    main()
