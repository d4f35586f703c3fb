"""A trained model in both of our engines and in lm-eval: the part of measure.py behind --model.

Every line of the table is a set of requests. Each tool has one process a line, with the model loaded, and they answer
in turn, --repeat times; medians are compared, of the time within the method that answers. lm-eval runs in fp32 as we
do, with the fastest of --batches. A model whose family our engine does not know is run by `hf:` alone.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from evalkit.engine.open import native
from evalkit.files import write_atomic
from evalkit.tokenizer import Tokenizer
from tests.benchmarks.engine_peer.process import Process
from tests.benchmarks.engine_peer.works import Work, model_works

# Texts for finding lm-eval's best batch size, and the sizes.
_PART = 12
_BATCHES = "1,4,16,32"


def main(arguments: argparse.Namespace) -> int:
    """Measure every line; print the table as it grows."""
    if not os.environ.get("EVALKIT_DATA"):
        sys.exit("--model needs the benchmark files: set EVALKIT_DATA")
    folder, asked = str(Path(arguments.model).resolve()), arguments.tools.split(",")
    if not (Path(folder) / "config.json").is_file() or set(asked) - {"native", "hf", "lm-eval"}:
        sys.exit("--model takes a folder in transformers' layout, --tools some of native, hf and lm-eval")
    tools = [tool for tool in asked if tool != "native" or native(folder, Path(folder))[0]]
    lines = []
    for line in table(folder, tools, arguments):
        lines.append(line)
        print(line, flush=True)
        if arguments.out:
            write_atomic(arguments.out, "\n".join(lines) + "\n")
    return 0


def table(folder: str, tools: Sequence[str], arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the table's lines as they are measured."""
    ours = [tool for tool in tools if tool != "lm-eval"]
    header = ["work", *(f"{tool} s" for tool in tools), *(f"{tool} ratio" for tool in ours), "required",
              *(f"{tool} MiB" for tool in tools), *(f"{tool} of matmul" for tool in ours),
              *(f"{tool} answers" for tool in ours)]  # fmt: skip
    yield f"| {' | '.join(header)} |"
    yield "|" + " --- |" * len(header)
    common = {"dtype": "fp32", "clock": arguments.clock, "folder": folder}
    job = {**common, "kind": "throughput"}
    peak = Process(sys.executable, "ours.py", job, threads=arguments.threads).finish()[1]["flops"]
    tokenizer = Tokenizer.load(Path(folder))
    for work in model_works(Path(os.environ["EVALKIT_DATA"]), tokenizer, scale=arguments.scale):
        if arguments.only not in work.name:
            continue
        found = compare(work, tools, common, arguments)
        seconds = {tool: median(result["every"]) for tool, (_, result) in found.items()}
        theirs = found.get("lm-eval")
        yield f"| {' | '.join(_cells(work, found, seconds, ours, peak, theirs))} |"


def compare(
    work: Work, tools: Sequence[str], common: Mapping[str, Any], arguments: argparse.Namespace
) -> dict[str, tuple[float, dict[str, Any]]]:
    """Return the memory and the result of each tool."""
    folder, python = common["folder"], arguments.lm_eval
    job = {**common, "kind": work.kind, "texts": work.texts, "until": ["\n"], "max_tokens": 16,
           "stride": work.stride}  # fmt: skip
    batches = [int(size) for size in (arguments.batches or _BATCHES).split(",")]
    if "lm-eval" in tools:
        part = work.texts if work.kind == "generate_until" else work.texts[:_PART]
        different = [size for size, less in zip(batches, [0, *batches], strict=False) if less < len(part)]
        search = {**job, "model": folder, "texts": part, "batches": different}
        batches = [Process(python, "theirs.py", search, threads=arguments.threads).finish()[1]["batch"]]
    job |= {"rounds": True, "batches": batches}
    processes = {}
    for tool in tools:
        by = (python, "theirs.py") if tool == "lm-eval" else (sys.executable, "ours.py")
        model = f"hf:{folder}" if tool == "hf" else folder
        processes[tool] = Process(*by, {**job, "model": model}, threads=arguments.threads)
    for process in processes.values():
        process.ready()
    for _ in range(arguments.repeat):
        for process in processes.values():
            process.answer()
    return {tool: process.finish() for tool, process in processes.items()}


def _cells(
    work: Work,
    found: Mapping[str, tuple[float, dict[str, Any]]],
    seconds: Mapping[str, float],
    ours: Sequence[str],
    peak: float,
    theirs: tuple[float, dict[str, Any]] | None,
) -> list[str]:
    """Return a line of the table."""
    name = f"{work.name} ({len(work.texts)} requests" + (f"; lm-eval: batch {theirs[1]['batch']})" if theirs else ")")
    return [
        name,
        *(f"{value:.2f}" for value in seconds.values()),
        *(f"**{seconds['lm-eval'] / seconds[tool]:.2f}**" if theirs else "" for tool in ours),
        ", ".join(f"{tool} {work.hf if tool == 'hf' else work.speed:g}" for tool in ours),
        *(f"{memory:,.0f}" for memory, _ in found.values()),
        *(f"{found[tool][1]['flops'] / seconds[tool] / peak:.0%}" for tool in ours),
        *(agreement(work.kind, found[tool][1]["answers"], theirs[1]["answers"]) if theirs else "" for tool in ours),
    ]


def agreement(kind: str, ours: Sequence[Any], theirs: Sequence[Any]) -> str:
    """Say how far the answers of two tools are apart: equal texts, or the largest difference per request."""
    pairs = list(zip(ours, theirs, strict=True))
    if kind == "generate_until":
        return f"{sum(a == b for a, b in pairs)} of {len(pairs)} texts equal"
    return f"within {max(abs(a - b) for a, b in pairs):.1g} of {max(abs(a) for a, _ in pairs):.4g} nats"
