"""Time against the number of requests and of choices, as a figure: `make bench`.

    python -m tests.benchmarks.engine_peer.linear [--most 100000] [--out reports/engine-linear.svg]

A random nano scores answers of four tokens: 100 to --most of them, four to a document of 24 tokens; and 2 to 128 of
them to each of a few hundred documents. Each count is measured --repeat times, in turn; the fastest is drawn.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from evalkit.engine.gpt import GPTEngine
from evalkit.files import write_atomic
from evalkit.model.config import LADDER
from evalkit.model.gpt import GPT
from evalkit.report.figures import canvas
from evalkit.tokenizer import Tokenizer
from evalkit.types import Request
from evalkit.world import corpus

_CHOICES = (2, 4, 8, 16, 32, 64, 128)
_DOCUMENTS = 250


def main() -> None:
    """Measure both series, print them and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    engine = small_engine()
    counts = [n for n in (100, 300, 1000, 3000, 10_000, 30_000, 100_000) if n <= arguments.most]
    by_requests = [(n, fastest(engine, documents=n // 4, choices=4, repeat=arguments.repeat)) for n in counts]
    by_choices = [(n, fastest(engine, documents=_DOCUMENTS, choices=n, repeat=arguments.repeat)) for n in _CHOICES]
    for name, points in (("requests", by_requests), ("choices per document", by_choices)):
        for count, seconds in points:
            print(f"{count:>7,} {name}: {seconds:8.3f} s")
    if arguments.out:
        series = {"Requests": (by_requests, "requests"), "Choices": (by_choices, "choices per document")}
        panels = [
            canvas.Panel(title=title, draw=partial(draw, points=points, label=label), labels=False)
            for title, (points, label) in series.items()
        ]
        figure = canvas.Figure(name="engine-linear", title="Time is linear", caption="", panels=panels)
        write_atomic(arguments.out, canvas.render(figure).svg)


def small_engine() -> GPTEngine:
    """Build a random nano."""
    tokenizer = Tokenizer.train(corpus(seed=0, documents=500), vocab_size=1000)
    model = GPT(LADDER["nano"])
    model.initialize(torch.Generator().manual_seed(0))
    return GPTEngine(model, tokenizer, name="nano", content_hash="random")


def fastest(engine: GPTEngine, *, documents: int, choices: int, repeat: int) -> float:
    """Return the seconds of the fastest of several runs."""
    draw_ids = random.Random(0)
    asked = []
    for document in range(documents):
        context = tuple(draw_ids.choices(range(900), k=24))
        asked += [
            Request(
                kind="loglikelihood", task="t", doc_id=str(document), index=choice, context_ids=context,
                continuation_ids=tuple(draw_ids.choices(range(900), k=4)),
            )
            for choice in range(choices)
        ]  # fmt: skip
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        assert sum(1 for _ in engine.loglikelihood(asked)) == len(asked)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def draw(axes: Any, *, points: Sequence[tuple[int, float]], label: str) -> None:
    """Draw points and, through the last, the line of proportion."""
    counts, seconds = zip(*points, strict=True)
    axes.set_yscale("log")
    axes.plot(counts, seconds, "o", color=canvas.BLUE)
    last = seconds[-1] / counts[-1]
    axes.plot(counts, [last * count for count in counts], color=canvas.SOFT, linewidth=0.9, linestyle="--")
    canvas.sizes_axis(axes, counts, label=label)
    axes.set_ylabel("seconds")


if __name__ == "__main__":
    main()
