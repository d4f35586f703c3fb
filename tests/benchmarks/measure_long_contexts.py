"""Time and memory against the length of a text, of a Llama with random weights, as a table and a figure.

    python -m tests.benchmarks.measure_long_contexts [--layers 30] [--lengths 1024,...,32768] [--out NAME.svg]

The shape is SmolLM2-135M's (9 heads, 3 of keys and values, 576 wide, 49,152 tokens) with a context of 65,536. Two
works, each in a process of its own: "score" gives the log-likelihood of a text's last 16 tokens, "generate" reads it
and writes 16 tokens more. Memory is the largest resident set beyond that of the loaded model. --out writes a JSON
beside the SVG.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from evalkit.engine.gpt import GPTEngine
from evalkit.files import write_atomic
from evalkit.model import onednn
from evalkit.model.config import GPTConfig, Rotary
from evalkit.model.gpt import GPT
from evalkit.report.figures import canvas
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request
from evalkit.world import corpus

_WORKS = ("score", "generate")
_NEW = 16


def main() -> None:
    """Measure every length in a new process, print the table and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="1024,2048,4096,8192,16384,32768")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("WORK", "LENGTH"), help="measure one, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        work, length = arguments.one
        print(json.dumps(measured(work, int(length), layers=arguments.layers, dtype=getattr(torch, arguments.dtype))))
        return
    points: list[dict[str, Any]] = []
    for length in arguments.lengths.split(","):
        for work in _WORKS:
            command = [sys.executable, "-m", "tests.benchmarks.measure_long_contexts", "--one", work, length]
            command += ["--layers", str(arguments.layers), "--dtype", arguments.dtype]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            points.append(json.loads(done.stdout))
            print("{length:>7,} tokens, {work:8}: {seconds:8.2f} s, {mib:8,.0f} MiB".format(**points[-1]), flush=True)
    if arguments.out:
        write_atomic(arguments.out, figure(points))
        write_atomic(arguments.out.with_suffix(".json"), json.dumps(points, indent=1) + "\n")


def measured(work: str, length: int, *, layers: int, dtype: torch.dtype) -> dict[str, Any]:
    """Answer one request; return the seconds and the MiB beyond those of the loaded model."""
    config = GPTConfig(
        n_layer=layers, d_model=576, n_head=9, n_kv_head=3, context=1 << 16, vocab_size=49152, d_ff=1536,
        activation="silu", gated=True, norm_kind="rms", biases=(), rotary=Rotary(base=100_000.0),
    )  # fmt: skip
    model = GPT(config)
    model.initialize(torch.Generator().manual_seed(0))
    model = model.to(dtype).eval().requires_grad_(False)
    tokenizer = Tokenizer.train(corpus(seed=0, documents=20), vocab_size=300)
    packed = onednn.packed(model) if onednn.suits(model) else model
    engine = GPTEngine(packed, tokenizer, name="random", content_hash="random")
    ids = tuple(random.Random(0).choices(range(config.vocab_size), k=length))
    scoring = work == "score"
    request = Request(
        kind="loglikelihood" if scoring else "generate_until", task="t", doc_id="0",
        context_ids=ids[:-_NEW] if scoring else ids, continuation_ids=ids[-_NEW:] if scoring else (),
        decoding=Decoding(until=(), max_tokens=_NEW),
    )  # fmt: skip
    before, began = _resident(), time.perf_counter()
    [(_, response)] = getattr(engine, request.kind)([request])
    seconds = time.perf_counter() - began
    assert not response.error, response.error
    return {"work": work, "length": length, "layers": layers, "seconds": seconds, "mib": _peak() - before}


def _resident() -> float:
    """Return the MiB that this process holds now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / (1 << 20)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def figure(points: Sequence[Mapping[str, Any]]) -> str:
    """Draw seconds and memory against length."""
    panels = {"seconds": "seconds", "mib": "MiB beyond the model"}
    drawn = [
        canvas.Panel(title=title, draw=partial(draw, points=points, field=field), labels=False)
        for field, title in panels.items()
    ]
    return canvas.render(canvas.Figure(name="long-contexts", title="Long texts", caption="", panels=drawn)).svg


def draw(axes: Any, *, points: Sequence[Mapping[str, Any]], field: str) -> None:
    """Draw a line for each work; broken: proportion, from its shortest text."""
    lengths = sorted({point["length"] for point in points})
    for work, colour in zip(_WORKS, (canvas.BLUE, canvas.SOFT), strict=True):
        values = [point[field] for point in points if point["work"] == work]
        axes.plot(lengths, values, "o-", color=colour, label=work)
        axes.plot(lengths, [values[0] * n / lengths[0] for n in lengths], color=colour, linewidth=0.9, linestyle="--")
    canvas.sizes_axis(axes, lengths, label="tokens")
    axes.xaxis.set_major_formatter(lambda length, _: f"{length / 1024:g}k")
    canvas.log_scores(axes, [point[field] for point in points])
    axes.legend(frameon=False)


if __name__ == "__main__":
    main()
