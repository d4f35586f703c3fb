"""Held-out loss at equal training time, against nanoGPT with bf16 and torch.compile, as a figure.

    NANOGPT=FOLDER OMP_NUM_THREADS=2 python -m tests.benchmarks.measure_equal_time --figure FILE.svg
        [--sizes 4x128,6x256] [--wall 120] [--slice 10] [--corpus world] [--vocab 8192] [--json FILE]

Contenders and batches are those of measure_training_speed.py. Each trains for the same wall time in a process of its
own, in turns of a slice, so that other work on the machine slows all alike; its clock counts its own steps only.
Learning rates follow that clock: nanoGPT and ours with AdamW warm up over 5% of the time to 1e-3 and fall along a
cosine to a tenth; ours with Muon has its default rates and schedule. After each slice all are asked for the loss of the
same held-out windows, with products in bf16. Not counted: that, the start, and the first two steps, in which nanoGPT is
compiled; their seconds are printed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from evalkit import corpus as corpora
from evalkit.model.config import GPTConfig
from evalkit.tokenizer import Tokenizer
from evalkit.train.batches import Batches
from evalkit.train.schedule import Schedule
from tests.benchmarks.measure_training_speed import (
    ADAM,
    CONTEXT,
    LOWEST,
    OURS,
    PEAK,
    SEQUENCES,
    SHAPES,
    Step,
    corpus_of,
    our_trainer,
    their_training,
)  # fmt: skip

LABELS = ("nanoGPT, bf16 + compile", "evalkit, AdamW", "evalkit, Muon")
WINDOWS = 4  # batches of held-out windows
_STEPS = 10**6  # the steps of a schedule whose steps are parts of the time
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Curve = list[tuple[float, int, float]]  # seconds of training, steps, held-out loss


class OwnTime:
    """A schedule over the share of the time that has passed."""

    def __init__(self, schedule: Schedule):
        self.passed = 0.0
        self._schedule = schedule

    def rate(self, step: int) -> float:
        """Return the rate as a share of the peak; the step does not matter."""
        return self._schedule.rate(min(int(self.passed * _STEPS), _STEPS - 1))


def prepared(label: str, shape: GPTConfig, corpus: Path) -> tuple[Step, Loss, OwnTime]:
    """Return what takes a step, the loss of its model, and its schedule."""
    if label in OURS:
        trainer = our_trainer(label, shape, corpus, steps=_STEPS)
        timed = OwnTime(_cosine() if OURS[label] is ADAM else OURS[label].over((0, _STEPS)))
        trainer.optimizers.schedule = timed  # type: ignore[assignment]
        return lambda number: trainer._one_step(), trainer.objective, timed
    timed = OwnTime(_cosine())
    batches = Batches(corpora.load(corpus).train, context=CONTEXT, sequences=SEQUENCES, seed=0)
    step, model = their_training(shape, batches, compiled=True, rate=lambda number: PEAK * timed.rate(number))

    def loss(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mean: torch.Tensor = model(inputs.contiguous(), targets.contiguous())[1]
        return mean

    return step, loss, timed


def _cosine() -> Schedule:
    assert LOWEST == PEAK / 10  # where our cosine ends
    return Schedule(shape="cosine", warmup=0.05, cooldown=0.5, budgets=((0, _STEPS),))


def contender(label: str, shape: GPTConfig, corpus: Path, wall: float, pipe: Connection) -> None:
    """Take the first two steps; then train for as many seconds as the pipe says and send the loss."""
    step, loss, timed = prepared(label, shape, corpus)
    held_out = Batches(corpora.load(corpus).validation, context=CONTEXT, sequences=SEQUENCES, seed=0)
    start, number, spent = time.perf_counter(), 2, 0.0
    for first in range(number):
        step(first)
    pipe.send(time.perf_counter() - start)
    while seconds := pipe.recv():
        start, before = time.perf_counter(), spent
        while spent < min(before + seconds, wall):
            timed.passed = spent / wall
            step(number)
            number += 1
            spent = before + time.perf_counter() - start
        with torch.no_grad():
            losses = [float(loss(*held_out.batch(window))) for window in range(WINDOWS)]
        pipe.send((spent, number, sum(losses) / len(losses)))


def measure(name: str, corpus: Path, *, wall: float, slice_seconds: float) -> dict[str, Any]:
    """Train all contenders at a size in turns; return their curves and the seconds of their first steps."""
    layers, width, heads = SHAPES[name]
    vocabulary = Tokenizer.load(corpus).size
    shape = GPTConfig(n_layer=layers, d_model=width, n_head=heads, context=CONTEXT, vocab_size=vocabulary)
    spawn = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    firsts: dict[str, float] = {}
    processes = []
    for label in LABELS:
        pipes[label], end = spawn.Pipe()
        processes.append(spawn.Process(target=contender, args=(label, shape, corpus, wall, end), daemon=True))
        processes[-1].start()
        firsts[label] = pipes[label].recv()
    curves: dict[str, Curve] = {label: [] for label in LABELS}
    for _ in range(-(-int(wall) // int(slice_seconds))):
        for label, pipe in pipes.items():
            pipe.send(slice_seconds)
            curves[label].append(pipe.recv())
    for process in processes:
        process.terminate()
        process.join()
    return {"curves": curves, "first_steps": firsts}


def show(name: str, measured: Mapping[str, Any]) -> None:
    """Print the last losses, and when each contender had nanoGPT's."""
    curves = measured["curves"]
    target = curves[LABELS[0]][-1][2]
    for label, curve in curves.items():
        seconds, steps, loss = curve[-1]
        reached = next((f"{at:.0f} s" for at, _, value in curve if value <= target), "never")
        facts = f"{loss:.3f} after {seconds:.0f} s and {steps:,} steps; nanoGPT's last loss after: {reached}"
        print(f"{name:6} {label:24} {facts}; first two steps {measured['first_steps'][label]:.1f} s", flush=True)


def draw(sizes: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw a panel for each size: held-out loss against seconds of training."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "evalkit", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(sizes), figsize=(4 * len(sizes), 3.2), squeeze=False, layout="constrained")
    colours = dict(zip(LABELS, ("#888888", "#3b76af", "#c44e52"), strict=True))
    for axis, (name, measured) in zip(axes[0], sizes.items(), strict=True):
        for label, curve in measured["curves"].items():
            seconds, _, losses = zip(*curve, strict=True)
            axis.plot(seconds, losses, marker=".", color=colours[label], label=label)
        axis.set_title(name.replace("x", " x "))
        axis.set_xlabel("seconds of its own training")
        axis.set_xlim(left=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("held-out loss, nats per token")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels) if len(sizes) > 1 else 1, frameon=False
    )
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Read the options, train at each size, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path, required=True)
    parser.add_argument("--sizes", default="4x128,6x256")
    parser.add_argument("--wall", type=float, default=120.0, help="seconds of training of each contender")
    parser.add_argument("--slice", type=float, default=10.0, help="seconds of a turn")
    parser.add_argument("--corpus", default="world", help="as of evalkit train")
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--json", type=Path, help="also write the curves here")
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    sizes = {}
    with corpus_of(arguments.corpus, vocab_size=arguments.vocab) as corpus:
        for name in arguments.sizes.split(","):
            sizes[name] = measure(name, corpus, wall=arguments.wall, slice_seconds=arguments.slice)
            show(name, sizes[name])
    draw(sizes, arguments.figure)
    if arguments.json:
        arguments.json.write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
