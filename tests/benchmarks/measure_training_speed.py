"""Training on a processor against nanoGPT: tokens per second, the share of the matrix products' rate, the loss.

    [NANOGPT=FOLDER] OMP_NUM_THREADS=2 python tests/benchmarks/measure_training_speed.py [--sizes 4x128,6x256,8x512]
        [--labels LABEL...] [--corpus world] [--vocab 8192] [--rounds 3] [--seconds 5] [--loss-steps 500]
        [--losses LABEL...] [--cpu-time]

FOLDER is a checkout of karpathy/nanoGPT; only its model.py is used, with the optimizer that it configures, in the step
of its train.py. All see the same batches (8 x 256 tokens), each in a process of its own, one at a time in turns; a rate
is that of the median step, the figure the median of the rounds. nanoGPT runs as it ships on a processor (fp32, no
compile) and with both (bf16 autocast and torch.compile, which its train.py leaves out there); evalkit with nanoGPT's
optimizer, AdamW, and as it is by default (Muon for the blocks); "compiled" is ours with --compile on. "first" is the
seconds of the first two steps, which shows what compiling costs.

"products" is the time that the matrix products of a step take by themselves, and "share" that time over the step's:
every product of the forward and backward pass, those of attention and, with Muon, of its iterations, in bf16, at the
step's own shapes, in its order and its threads, with nothing between. After each round it is the shortest of three
times, and the figure the median of the rounds. --cpu-time counts the processor's seconds: on a machine that does other
work, OMP_NUM_THREADS=1 and this show the share, while threads that wait for each other count as busy.

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
import timeit
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit import corpus as corpora
from evalkit.corpus.prepare import prepare
from evalkit.model.config import GPTConfig, modern
from evalkit.tokenizer import Tokenizer
from evalkit.train.batches import Batches
from evalkit.train.config import TrainConfig
from evalkit.train.loop import Trainer
from evalkit.train.memory import keep_freed_memory
from evalkit.train.optim import OptimConfig

CONTEXT, SEQUENCES, LAST = 256, 8, 50
# Layers, width, heads.
SHAPES = {
    "4x128": (4, 128, 4), "6x256": (6, 256, 8), "8x512": (8, 512, 8), "8x768": (8, 768, 12), "12x768": (12, 768, 12),
}  # fmt: skip
# nanoGPT's config/train_shakespeare_char.py.
PEAK, LOWEST, WARMUP, BETAS, DECAY, CLIP = 1e-3, 1e-4, 100, (0.9, 0.99), 0.1, 1.0
ADAM = OptimConfig(muon_lr=0.0, adam_lr=PEAK, weight_decay=DECAY, beta2=BETAS[1], schedule="cosine", clip=CLIP)
THEIRS = {"nanoGPT": False, "nanoGPT, bf16 + compile": True}
OURS = {"evalkit, AdamW": ADAM, "evalkit, Muon": OptimConfig()}
OURS |= {f"{label}, modern": optim for label, optim in OURS.items()}
COMPILED = "evalkit, AdamW, compiled"
BLOCK, CHUNK = 128, 256  # of attention's queries, as in model/attention.py, and of rows of logits, as in train/loss.py
Step = Callable[[int], Any]
Clock = Callable[[], float]
Pair = tuple[Tensor, Tensor]  # the factors of a product


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


def contender(label: str, shape: GPTConfig, corpus: Path, steps: int, clock: Clock, pipe: Connection) -> None:
    """Take steps for as many seconds as the pipe says and send their median time; at 0 go on to the last."""
    if label in THEIRS:
        batches = Batches(corpora.load(corpus).train, context=CONTEXT, sequences=SEQUENCES, seed=0)
        step, _ = their_training(shape, batches, compiled=THEIRS[label], rate=partial(their_rate, steps=steps))
    else:
        trainer = our_trainer(label, shape, corpus, steps=steps)

        def step(number: int) -> torch.Tensor:
            trainer._one_step()
            return trainer._running.pop()

    start = clock()
    seen = [float(step(number)) for number in range(2)]
    pipe.send(clock() - start)
    while seconds := pipe.recv():
        times: list[float] = []
        end = clock() + seconds
        while len(times) < 3 or clock() < end:
            start = clock()
            seen.append(float(step(len(seen))))
            times.append(clock() - start)
        pipe.send(statistics.median(times))
    seen += [float(step(number)) for number in range(len(seen), steps)]
    pipe.send(statistics.mean(seen[:steps][-LAST:]))


def built(label: str, shape: GPTConfig) -> GPTConfig:
    """Return the shape that a contender trains."""
    return modern(shape) if label.endswith("modern") else shape


class Row:
    """Seconds of a contender's step and of its products, as medians of the rounds, and of its first two steps."""

    def __init__(self, steps: list[float], products: list[float], *, flops: int, first: float):
        self.step, self.products = statistics.median(steps), statistics.median(products)
        self.flops, self.first = flops, first


class Products:
    """The matrix products of a step by themselves: each lane's forward and backward pass, then Muon's, if any.

    They have the step's shapes, order and threads, and each layer its own matrices and activations, but nothing stands
    between them.
    """

    def __init__(self, shape: GPTConfig, *, sequences: int, dtype: torch.dtype = torch.bfloat16, muon: bool = False):
        D, keys = shape.d_model, shape.n_kv_head * shape.d_head
        queries = shape.n_head * shape.d_head
        sizes = [(queries + 2 * keys, D), (D, queries), *[(shape.d_ff, D)] * (1 + shape.gated), (D, shape.d_ff)]
        layers = [[torch.randn(size).to(dtype) for size in sizes] for _ in range(shape.n_layer)]
        output, lanes = torch.randn(shape.vocab_size, D).to(dtype), min(torch.get_num_threads(), sequences)
        self._lanes = [_lane(shape, layers, output, sequences=sequences // lanes) for _ in range(lanes)]
        self._muon = _muon(shape, dtype) if muon else []
        pairs = [pair for pairs in (*self._lanes, self._muon) for pair in pairs]
        self.flops = sum(2 * left.numel() * right.shape[-1] for left, right in pairs)
        self._pool = ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(1,))
        keep_freed_memory()  # as a training does

    def multiply(self) -> None:
        """Compute all of them once."""
        list(self._pool.map(_multiply, self._lanes))
        _multiply(self._muon)


def _lane(shape: GPTConfig, layers: Sequence[Sequence[Tensor]], output: Tensor, *, sequences: int) -> list[Pair]:
    """Return the factors of a lane's products; each of the forward pass has two in the backward pass."""
    N = sequences * shape.context
    draw = partial(_random, dtype=output.dtype)
    grads = {len(matrix): draw(N, len(matrix)) for matrix in (*layers[0], output)}  # in the cache, as in a step
    scores = [
        pairs for keys in range(BLOCK, shape.context + 1, BLOCK) for pairs in _attention(shape, draw, sequences, keys)
    ]
    forward: list[Pair] = []
    backward: list[list[Pair]] = []

    def add(matrix: Tensor, *, rows: int) -> None:
        x, grad = draw(N, matrix.shape[1]), grads[len(matrix)]
        forward.extend((part, matrix.t()) for part in x.split(rows))
        backward.append([(grad, matrix), (grad.t(), x)])

    for qkv, *others in layers:
        add(qkv, rows=N)
        for pair, *gradients in scores:
            forward.append(pair)
            backward.append(gradients)
        for matrix in others:
            add(matrix, rows=N)
    add(output, rows=CHUNK)
    return forward + [pair for pairs in reversed(backward) for pair in pairs]


def _attention(shape: GPTConfig, draw: Callable[..., Tensor], sequences: int, keys: int) -> list[list[Pair]]:
    """Return the factors of a block's scores and of its outputs, each with those of the two gradients."""
    heads, K = sequences * shape.n_head, shape.d_head
    q, k, weights = draw(heads, BLOCK, K), draw(heads, keys, K), draw(heads, BLOCK, keys)
    score, by_query, by_key = (q, k.transpose(1, 2)), (weights, k), (weights.transpose(1, 2), q)
    return [[score, by_query, by_key], [by_query, score, by_key]]


def _muon(shape: GPTConfig, dtype: torch.dtype) -> list[Pair]:
    """Return the factors of the products of Muon's iterations, batched by shape as in train/muon.py."""
    D, pairs = shape.d_model, []
    for count, columns in ((4 * shape.n_layer, D), ((2 + shape.gated) * shape.n_layer, shape.d_ff)):
        x, gram = (_random(count, D, size, dtype=dtype) for size in (columns, D))
        pairs += 5 * [(x, x.transpose(1, 2)), (gram, gram), (gram, x)]
    return pairs


def _random(*size: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(size).to(dtype)


def _multiply(pairs: Iterable[Pair]) -> None:
    for left, right in pairs:
        torch.matmul(left, right)


def measure(name: str, corpus: Path, arguments: argparse.Namespace) -> None:
    """Print the rates of one size, and the losses if wanted."""
    layers, width, heads = SHAPES[name]
    vocab = Tokenizer.load(corpus).size
    shape = GPTConfig(n_layer=layers, d_model=width, n_head=heads, context=CONTEXT, vocab_size=vocab)
    spawn = multiprocessing.get_context("spawn")
    pipes, processes, steps = {}, [], arguments.loss_steps or 10**6
    labels = [label for label in arguments.labels if label not in THEIRS or _nanogpt()]
    firsts, clock = {}, time.process_time if arguments.cpu_time else time.perf_counter
    for label in labels:
        pipes[label], end = spawn.Pipe()
        processes.append(spawn.Process(target=contender, args=(label, shape, corpus, steps, clock, end), daemon=True))
        processes[-1].start()
        firsts[label] = pipes[label].recv()
    products = {
        kind: Products(kind[0], sequences=SEQUENCES, muon=kind[1]) for kind in {_kind(label, shape) for label in labels}
    }
    times: dict[str, list[float]] = {label: [] for label in labels}
    limits: dict[tuple[GPTConfig, bool], list[float]] = {kind: [] for kind in products}
    for _ in range(arguments.rounds):
        for label, pipe in pipes.items():
            pipe.send(arguments.seconds)
            times[label].append(pipe.recv())
        for kind, limit in limits.items():
            limit.append(min(timeit.repeat(products[kind].multiply, timer=clock, number=1, repeat=3)))
    print(f"{name}: {shape.parameters:,} parameters")
    rows = {}
    for label in labels:
        kind = _kind(label, shape)
        rows[label] = Row(times[label], limits[kind], flops=products[kind].flops, first=firsts[label])
    show(rows)
    for label in [label for label in arguments.losses if label in pipes] if arguments.loss_steps else ():
        pipes[label].send(0)
        print(f"  {label:24} loss {pipes[label].recv():.3f} after {arguments.loss_steps} steps", flush=True)
    for process in processes:
        process.terminate()
        process.join()


def show(rows: Mapping[str, Row]) -> None:
    """Print the table of a size."""
    bases = [label for label in rows if label in THEIRS] or list(rows)[:1]
    ratios = " ".join(f"{f'/ {base}':>24}" for base in bases)
    print(f"  {'':24} {'tokens/s':>9} {ratios} {'products':>8} {'GFLOP/s':>7} {'share':>6} {'first':>6}")
    for label, row in rows.items():
        ratios = " ".join(f"{rows[base].step / row.step:24.2f}" for base in bases)
        products = f"{row.products * 1e3:5,.0f} ms {row.flops / row.products / 1e9:7,.0f}"
        rate = SEQUENCES * CONTEXT / row.step
        print(
            f"  {label:24} {rate:9,.0f} {ratios} {products} {row.products / row.step:6.0%} {row.first:5.1f}s",
            flush=True,
        )


def _kind(label: str, shape: GPTConfig) -> tuple[GPTConfig, bool]:
    """Return what decides the products of a contender's step: its shape, and whether Muon's are among them."""
    return built(label, shape), label in OURS and OURS[label] is not ADAM


def _nanogpt() -> bool:
    """Whether there is a nanoGPT to compare with."""
    return (Path(os.environ.get("NANOGPT", "")) / "model.py").is_file()


def main() -> None:
    """Read the options and measure each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="4x128,6x256,8x512", help=f"of {', '.join(SHAPES)}")
    everyone = [*THEIRS, *OURS, COMPILED]
    parser.add_argument("--labels", nargs="+", choices=everyone, default=[*THEIRS, *OURS], metavar="LABEL")
    parser.add_argument("--corpus", default="world", help="as of evalkit train")
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--cpu-time", action="store_true", help="beside other work, with OMP_NUM_THREADS=1")
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
