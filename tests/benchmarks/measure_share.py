"""How much of a run of a small model is spent outside the engine, how long the engine takes, and how soon it begins.

    python -m tests.benchmarks.measure_share [--base CHECKOUT] [--pairs 3] [--threads 2] [--avx2]

runs the bundled nano on the world suite at 0, 1 and 4 shots, each time in a process of its own with nothing cached but
the items of the world, and prints the medians: of the run (from the opening of its folder to results.json), of what the
engine takes of it by the clock and of processor time, of the shares outside the engine, of the time from the start of
the process to the first response, and of the whole process, also without the time in which its main thread could have
run and another had the core. With --base, the evalkit of another checkout takes turns
with this one, and the medians of the ratios of each pair are printed too. --avx2 restricts torch and its libraries to
the instructions of an older processor. Beside other work, processor time with --threads 1 tells more than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
_AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
_FIGURES = {
    "run": "the run, seconds",
    "engine": "the engine, seconds",
    "outside": "outside the engine, percent of the run",
    "first": "first response after, seconds",
    "process": "the process, seconds",
    "alone": "the same without waiting for a core, seconds",
    "process_cpu": "the process, processor seconds",
    "first_cpu": "first response after, processor seconds",
    "run_cpu": "from then on, processor seconds",
    "engine_cpu": "the engine, processor seconds",
    "outside_cpu": "outside the engine, percent of these",
}


def _child(started: float, out: Path, words: Sequence[str]) -> None:
    """Run a command in this process, and write what was measured. started: seconds since the epoch."""
    from evalkit.cli import main
    from evalkit.engine import batched  # imports torch, as the command does before it opens the run folder

    spent = dict.fromkeys(("engine", "engine_cpu", "first", "first_cpu"), 0.0)

    def timed(answer: Any) -> Any:
        def answers(self: Any, requests: Any) -> Iterator[Any]:
            responses = answer(self, requests)
            while True:
                # Of this thread alone: another may build prompts at the same time.
                began, began_cpu = time.perf_counter(), time.thread_time()
                response = next(responses, None)
                spent["engine"] += time.perf_counter() - began
                spent["engine_cpu"] += time.thread_time() - began_cpu
                if response is None:
                    return
                if not spent["first"]:
                    spent["first"], spent["first_cpu"] = time.time() - started, time.process_time()
                yield response

        return answers

    for name in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
        setattr(batched.BatchedEngine, name, timed(getattr(batched.BatchedEngine, name)))
    main(words)
    spent["process_cpu"] = time.process_time()
    # Of the main thread, and on Linux only: nanoseconds on a core, those spent waiting for one, and how often.
    spent["waited"] = int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    out.write_text(json.dumps(spent), encoding="utf-8")


def measure(checkout: Path, words: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Run a command with the evalkit of a checkout; return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        out, run = Path(folder) / "spent.json", Path(folder) / "run"
        started = time.time()
        subprocess.run(
            [sys.executable, str(Path(__file__)), "--child", str(started), str(out), *words, "--out", str(run)],
            check=True, cwd=checkout, env={**os.environ, **environment, "PYTHONPATH": str(checkout)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        spent: dict[str, float] = json.loads(out.read_text(encoding="utf-8"))
        spent["process"] = time.time() - started
        spent["alone"] = spent["process"] - spent["waited"]
        spent["run"] = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["timing"]["seconds"]
    spent["outside"] = 100 * (1 - spent["engine"] / spent["run"])
    spent["run_cpu"] = spent["process_cpu"] - spent["first_cpu"]
    spent["outside_cpu"] = 100 * (1 - spent["engine_cpu"] / spent["run_cpu"])
    return spent


def _print(figures: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Print the medians of each checkout, and those of the ratios of the pairs."""
    print(f"{'':42}" + "".join(f"{name:>10}" for name in figures) + (f"{'ratio':>10}" if len(figures) > 1 else ""))
    for key, label in _FIGURES.items():
        medians = [statistics.median(each[key] for each in rows) for rows in figures.values()]
        line = f"{label:42}" + "".join(f"{value:10.2f}" for value in medians)
        if len(figures) > 1:
            pairs = zip(*figures.values(), strict=True)
            line += f"{statistics.median(before[key] / after[key] for before, after in pairs):10.2f}"
        print(line)


def main() -> None:
    """Parse the options, measure in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", type=Path, help="another checkout to compare with")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--tasks", default="world")
    parser.add_argument("--shots", default="0,1,4")
    options = parser.parse_args()
    words = ["run", "--no-cache", "--threads", str(options.threads)]
    words += ["--model", options.model, "--tasks", options.tasks, "--shots", options.shots]
    checkouts = {"before": options.base.resolve(), "after": HERE} if options.base else {"now": HERE}
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        # One cache for each, because the items of the world are cached by the code that makes them.
        environments = {
            name: {"EVALKIT_CACHE": f"{folder}/{name}", "OMP_WAIT_POLICY": "PASSIVE", **(_AVX2 if options.avx2 else {})}
            for name in checkouts
        }
        for name, checkout in checkouts.items():
            measure(checkout, [*words, "--limit", "1"], environments[name])
        for _ in range(options.pairs):
            for name, checkout in checkouts.items():
                figures[name].append(measure(checkout, words, environments[name]))
    _print(figures)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(float(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
    else:
        main()
