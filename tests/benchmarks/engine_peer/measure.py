"""The engine against lm-evaluation-harness 0.4.13, as a table: `make bench`.

    python -m tests.benchmarks.engine_peer.measure --lm-eval .venv-lm-eval/bin/python [--out reports/engine.md]

Random weights of GPT-2 117M's shape are written as a transformers folder. Every line of the table is a set of requests
that both tools answer, each time in a new process, in turn; medians of --repeat. "Whole" is the wall clock from the
start of Python to its end, "engine" the time within the method that answers (texts are encoded in it, in both). Memory
is the largest resident set of the process. lm-eval runs with the fastest of --batches, found on each line's first
requests. Real documents (ARC, NQ-open, WikiText-2) are used where EVALKIT_DATA names their folder, else made-up ones.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from evalkit.files import write_atomic
from evalkit.tokenizer import Tokenizer
from tests.benchmarks.engine_peer import folder
from tests.benchmarks.engine_peer.process import Process
from tests.benchmarks.engine_peer.works import Work, works

# Texts for finding lm-eval's best batch size.
_PART = 32


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Medians of one tool on one line: seconds, MiB, and what the last run answered."""

    whole: float
    engine: float
    memory: float
    result: dict[str, Any]


def main() -> None:
    """Measure every line; print the table and write the page as they grow."""
    arguments = _arguments()
    if arguments.model:
        sys.exit(folder.main(arguments))
    data = Path(os.environ["EVALKIT_DATA"]) if os.environ.get("EVALKIT_DATA") else None
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), arguments)
        bench.make_model(data)
        tokenizer = Tokenizer.load(Path(name) / "model")
        lines: list[str] = []
        for line in table(bench, works(data, tokenizer, scale=arguments.scale), arguments.dtypes.split(",")):
            lines.append(line)
            print(line, flush=True)
            if arguments.out and len(lines) > 2:  # a header and a rule
                write_atomic(arguments.out, page(lines, real=data is not None, bench=bench))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lm-eval", required=True, metavar="PYTHON", help="the Python that has lm_eval")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the numbers of documents")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dtypes", default="fp32,default,bf16")
    parser.add_argument("--batches", help="lm-eval's batch sizes to choose from (default: 1,8,32; with --model more)")
    parser.add_argument("--model", metavar="FOLDER", help="a trained model in transformers' layout")
    parser.add_argument("--tools", default="native,hf,lm-eval", help="with --model: what to measure")
    parser.add_argument("--threads", type=int, help="with --model: of each process")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="with --model")
    parser.add_argument("--only", default="", help="lines whose name contains this")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


class Bench:
    """Runs jobs of both tools in processes of their own."""

    def __init__(self, folder: Path, arguments: argparse.Namespace):
        self._folder, self._theirs, self.repeat = folder, arguments.lm_eval, arguments.repeat
        self.batches = [int(size) for size in (arguments.batches or "1,8,32").split(",")]
        self.only: str = arguments.only

    def make_model(self, data: Path | None) -> None:
        """Write the model of both tools, in a process of its own: a child's peak memory is never less than ours."""
        self._run(
            sys.executable, "ours.py", {"kind": "model", "to": str(self._folder / "model"), "data": str(data or "")}
        )

    def throughput(self, dtype: str) -> float:
        """Return this machine's FLOP/s in matrix products."""
        return float(self._run(sys.executable, "ours.py", {"kind": "throughput", "dtype": dtype})[2]["flops"])

    def compare(self, work: Work, dtype: str) -> tuple[Timing, Timing]:
        """Return our timing and lm-eval's."""
        job = {
            "model": str(self._folder / "model"), "dtype": dtype, "kind": work.kind, "texts": work.texts,
            "until": ["\n"], "max_tokens": 16, "stride": work.stride,
        }  # fmt: skip
        # A document is one request, of which no part would be the same work.
        part = work.texts if work.kind == "loglikelihood_rolling" else work.texts[:_PART]
        batch = self._run(self._theirs, "theirs.py", {**job, "texts": part, "batches": self.batches})[2]["batch"]
        ours, theirs = [], []
        for _ in range(self.repeat):
            ours.append(self._run(sys.executable, "ours.py", job))
            theirs.append(self._run(self._theirs, "theirs.py", {**job, "batches": [batch]}))
        return _timing(ours), _timing(theirs)

    def _run(self, python: str, script: str, job: dict[str, Any]) -> tuple[float, float, dict[str, Any]]:
        """Return the seconds and MiB of a process, and what it wrote."""
        began = time.perf_counter()
        memory, result = Process(python, script, job).finish()
        return time.perf_counter() - began, memory, result


def _timing(runs: Sequence[tuple[float, float, dict[str, Any]]]) -> Timing:
    return Timing(
        whole=median(whole for whole, _, _ in runs),
        engine=median(result["seconds"] for _, _, result in runs),
        memory=median(memory for _, memory, _ in runs),
        result=runs[-1][2],
    )


def table(bench: Bench, lines: Sequence[Work], dtypes: Sequence[str]) -> Iterator[str]:
    """Yield the table's lines as they are measured."""
    header = ["work", "dtype", "engine s", "lm-eval s", "ratio", "whole s", "lm-eval s", "ratio", "required", "MiB",
              "lm-eval MiB", "of matmul", "answers"]  # fmt: skip
    yield f"| {' | '.join(header)} |"
    yield "|" + " --- |" * len(header)
    for dtype in dtypes:
        peak = None if dtype == "default" else bench.throughput(dtype)
        for work in lines[:1] if dtype == "default" else lines:
            if bench.only not in work.name:
                continue
            ours, theirs = bench.compare(work, dtype)
            required = f"{10 if dtype == 'default' else work.speed:g}"
            if work.memory < 1:
                required += f", {work.memory:g} of the memory"
            share = f"{ours.result['flops'] / ours.engine / peak:.0%}" if peak else ""
            cells = [
                work.name, ours.result["dtype"] + " / float32" if dtype == "default" else dtype,
                f"{ours.engine:.2f}", f"{theirs.engine:.2f}", f"**{theirs.engine / ours.engine:.1f}**",
                f"{ours.whole:.2f}", f"{theirs.whole:.2f}", f"**{theirs.whole / ours.whole:.1f}**", required,
                f"{ours.memory:,.0f}", f"{theirs.memory:,.0f}", share,
                folder.agreement(work.kind, ours.result["answers"], theirs.result["answers"]),
            ]  # fmt: skip
            yield f"| {' | '.join(cells)} |"


def page(lines: Sequence[str], *, real: bool, bench: Bench) -> str:
    """Return the page."""
    return "\n\n".join(
        [
            "# The engine against lm-evaluation-harness",
            "Made by `make bench`: " + " ".join(__doc__.split("\n\n", 2)[2].split()),
            f"Machine: {processor()}, {os.cpu_count()} cores; torch {version('torch')}, transformers "
            f"{version('transformers')}, Python {platform.python_version()}. Documents: "
            f"{'real' if real else 'made up'}; median of {bench.repeat}; lm-eval's batch size: on each line the "
            f"fastest of {', '.join(map(str, bench.batches))}.",
            "\n".join(lines),
            '"Of matmul": the FLOPs that the answers need at least (every distinct beginning read once, every score '
            "made once) per second of engine time, as a share of what this machine reaches in the products of a "
            "block's matrices with 1,024 rows.",
            "## Time is linear\n\nSeconds against the number of requests, and against the number of choices per "
            "document, of a small model; the broken line is proportion.\n\n![Time is linear](engine-linear.svg)",
        ]
    ) + "\n"  # fmt: skip


def processor() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return next(line.partition(":")[2].strip() for line in facts.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
